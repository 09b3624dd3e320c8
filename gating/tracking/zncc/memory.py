"""Arrays at addresses, lines of pixels as float32, and how helpers of the kernels are compiled.

numba takes a tenth of a second to compile each slice, view or reshape of an array and each wrapper for calls from
Python. These intrinsics and options avoid both, which shortens a cold start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from gating.tracking.zncc.intrinsics import LANES

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FAST = {"contract", "reassoc", "nsz"}

_BARE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

helper: Callable[..., Any] = njit(**_BARE)
"""For functions that only compiled code calls: without wrappers, cached with their callers."""
fast_helper: Callable[..., Any] = njit(**_BARE, fastmath=_FAST)
"""The same, with products and sums in any order; NaN and infinity are respected."""
finite_helper: Callable[..., Any] = njit(**_BARE, fastmath=_FAST | {"nnan"})


def _array(context: Any, builder: Any, array_type: Any, data: Any, size: Any) -> Any:
    array = context.make_array(array_type)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
    populate_array(array, data=data, shape=[size], strides=[item], itemsize=item, meminfo=None)
    return array._getvalue()


def _array_in_slot(element: Any) -> Callable[..., Any]:
    """Make a kernel (block_at, slot) -> the flat array whose address and size stand in a slot of a block."""

    @intrinsic
    def array_in_slot(typing_context, block_at, slot):
        result = types.Array(element, 1, "C")

        def generate(context, builder, signature, arguments):
            block = builder.inttoptr(arguments[0], _I64.as_pointer())
            first = builder.mul(arguments[1], ir.Constant(_I64, 2))
            address, size = (
                builder.load(builder.gep(block, [builder.add(first, ir.Constant(_I64, k))])) for k in (0, 1)
            )
            data = builder.inttoptr(address, context.get_data_type(element).as_pointer())
            return _array(context, builder, result, data, size)

        return result(types.intp, types.intp), generate

    return array_in_slot


reals_of, floats_of, shorts_of, words_of, integers_of = (
    _array_in_slot(t) for t in (types.float64, types.float32, types.int16, types.int32, types.int64)
)


@intrinsic
def part(typing_context, array, start, size):
    """array[start:start + size] of a flat array, not checked."""
    result = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return _array(context, builder, result, builder.gep(data, [arguments[1]]), arguments[2])

    return result(array, types.intp, types.intp), generate


def _cast(element: Any) -> Callable[..., Any]:
    """Make a kernel (array) -> the bytes of a flat array of 4 or 8 bytes an element as `element`, of 4 bytes."""

    @intrinsic
    def cast(typing_context, array):
        result = types.Array(element, 1, "C")

        def generate(context, builder, signature, arguments):
            source = context.make_array(signature.args[0])(context, builder, arguments[0])
            size = builder.mul(
                builder.extract_value(source.shape, 0), ir.Constant(_I64, signature.args[0].dtype.bitwidth // 32)
            )
            data = builder.bitcast(source.data, context.get_data_type(element).as_pointer())
            return _array(context, builder, result, data, size)

        return result(array), generate

    return cast


bits_of, float32_of = _cast(types.int32), _cast(types.float32)


@helper
def fill(array, start, size, value):
    """Set array[start:start + size] of a flat array."""
    for k in range(start, start + size):
        array[k] = value


def _line_loader(element: Any, side: int) -> Callable[..., Any]:
    """Make a kernel (line, below, width, pitch, out): `width` float32 pixels of a line, or sums of 2x2 (side 2) of two.

    Lines and `out` are addresses. Lines of LANES pixels or more end with a vector that overlaps the one before, so that
    nothing past the line is read. Pixels of the line itself fill it up to `pitch`, which is whole vectors.
    """

    def load(builder: Any, lines: list[Any], at: Any, result: Any, to: Any, lanes: int) -> None:
        """Store the sums of `lanes` times side x side pixels from place `at` on in the result, from place `to` on."""
        many, wide = ir.VectorType(element, side * lanes), ir.VectorType(ir.FloatType(), side * lanes)
        values = []
        for line in lines:
            place = builder.gep(line, [builder.mul(at, ir.Constant(_I64, side))])
            value = builder.load(builder.bitcast(place, many.as_pointer()), align=1)
            values.append(value if many == wide else builder.uitofp(value, wide))
        total = values[0]
        if side == 2:
            both = builder.fadd(*values)
            pick = ir.VectorType(_I32, lanes)
            even, odd = (
                builder.shuffle_vector(both, both, ir.Constant(pick, [2 * k + first for k in range(lanes)]))
                for first in (0, 1)
            )
            total = builder.fadd(even, odd)
        place = builder.bitcast(builder.gep(result, [to]), ir.VectorType(ir.FloatType(), lanes).as_pointer())
        builder.store(total, place, align=4)

    @intrinsic
    def load_line(typing_context, line, below, width, pitch, out):
        def generate(context, builder, signature, arguments):
            line, below, width, pitch, out = arguments
            result = builder.inttoptr(out, ir.FloatType().as_pointer())
            lines = [builder.inttoptr(each, element.as_pointer()) for each in (line, below)[:side]]
            lanes, zero, one = (ir.Constant(_I64, n) for n in (LANES, 0, 1))
            with builder.if_else(builder.icmp_signed("<", width, lanes)) as (narrow, whole):
                with narrow, cgutils.for_range_slice(builder, zero, pitch, one, intp=_I64) as (at, _):
                    load(builder, lines, builder.select(builder.icmp_signed("<", at, width), at, zero), result, at, 1)
                with whole:
                    last = builder.sub(width, lanes)
                    load(builder, lines, last, result, builder.sub(pitch, lanes), LANES)
                    with cgutils.for_range_slice(builder, zero, width, lanes, intp=_I64) as (first, _):
                        place = builder.select(builder.icmp_signed("<", first, last), first, last)
                        load(builder, lines, place, result, place, LANES)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), generate

    return load_line


_elements = ir.IntType(8), ir.IntType(16), ir.FloatType()
copy_uint8, copy_uint16, copy_float32 = (_line_loader(element, 1) for element in _elements)
halve_uint8, halve_uint16, halve_float32 = (_line_loader(element, 2) for element in _elements)
