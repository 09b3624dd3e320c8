"""Register tiles in generic vector LLVM IR.

Loops that numba vectorises reach a third of what the core can do: they reload pixels for every output. A tile keeps
`rows` x `vectors` sums in registers and uses each loaded vector of pixels for all its rows. The IR names no instruction
set: LLVM lowers it to AVX-512, AVX2, SSE or NEON. Only the vector length depends on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

_FEATURES = llvm.get_host_cpu_features()
LANES: int = 16 if _FEATURES.get("avx512bw") else 8 if _FEATURES.get("avx2") else 4
"""32-bit lanes of the host's widest vector."""

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


class FloatLane:
    """float32 pixels and weights, fused multiply-add."""

    vector = ir.VectorType(ir.FloatType(), LANES)
    scalar = ir.FloatType()

    @staticmethod
    def multiply_add(builder: Any, total: Any, pixels: Any, weight: Any) -> Any:
        """Total plus pixels times weight."""
        contract = ("contract",)
        return builder.fadd(total, builder.fmul(pixels, weight, flags=contract), flags=contract)


class PairLane:
    """Two int16 pixels in each 32-bit lane times two int16 weights, summed into int32 (pmaddwd, vpdpwssd, smlal)."""

    vector = ir.VectorType(_I32, LANES)
    scalar = _I32

    @staticmethod
    def multiply_add(builder: Any, total: Any, pixels: Any, weight: Any) -> Any:
        """Total plus pixels times weight."""
        return builder.add(total, multiply_pairs(builder, pixels, weight, pixels.type.count))


def multiply_pairs(builder: Any, left: Any, right: Any, lanes: int) -> Any:
    """Sum of products of the int16 pairs in each 32-bit lane, in the form that LLVM recognises as pmaddwd."""
    halves = ir.VectorType(ir.IntType(16), 2 * lanes)
    wide = ir.VectorType(_I32, 2 * lanes)
    products = builder.mul(
        builder.sext(builder.bitcast(left, halves), wide), builder.sext(builder.bitcast(right, halves), wide)
    )
    undefined = ir.Constant(wide, ir.Undefined)
    pick = ir.VectorType(_I32, lanes)
    even = builder.shuffle_vector(products, undefined, ir.Constant(pick, [2 * k for k in range(lanes)]))
    odd = builder.shuffle_vector(products, undefined, ir.Constant(pick, [2 * k + 1 for k in range(lanes)]))
    return builder.add(even, odd)


def splat(builder: Any, scalar: Any, vector: Any) -> Any:
    """The scalar in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count))


def data_at(builder: Any, address: Any, pointee: Any) -> Any:
    """Pointer to the first element at an address."""
    return builder.inttoptr(address, pointee.as_pointer())


@intrinsic
def address_of(typing_context, array):
    """Address of a contiguous array's first element."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, _I64)

    return types.intp(array), generate


def _vector_at(builder: Any, base: Any, index: Any, lane: Any) -> Any:
    return builder.bitcast(builder.gep(base, [index]), lane.vector.as_pointer())


def correlation_tile(lane: Any, rows: int, vectors: int) -> Callable[..., None]:
    """Make a tile kernel of `rows` x `vectors` x LANES sums.

    The kernel called with (source, start, pitch, col_step, taps, tap_rows, tap_cols, out, out_start, out_pitch) stores

        out[out_start + r * out_pitch + x] =
            sum over p < tap_rows, j < tap_cols of source[start + (r + p) * pitch + j * col_step + x] * taps[p, j]

    for r < rows and x < vectors * LANES: source line r + p serves `rows` sums at once. Arrays are given as addresses,
    indices count elements; tap_rows >= rows - 1.
    """

    @intrinsic
    def tile(typing_context, source, start, pitch, col_step, taps, tap_rows, tap_cols, out, out_start, out_pitch):
        signature = types.void(*[types.intp] * 10)

        def generate(context, builder, signature, arguments):
            source, start, pitch, col_step, taps, tap_rows, tap_cols, out, out_start, out_pitch = arguments
            pixels = data_at(builder, source, lane.scalar)
            weights = data_at(builder, taps, lane.scalar)
            result = data_at(builder, out, lane.scalar)
            zero = ir.Constant(lane.vector, None)
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
            for line in sums:
                for cell in line:
                    builder.store(zero, cell)

            def accumulate(line: Any, active: range) -> None:
                line_start = builder.add(start, builder.mul(line, pitch))
                with cgutils.for_range(builder, tap_cols, intp=_I64) as loop:
                    at = builder.add(line_start, builder.mul(loop.index, col_step))
                    loaded = [
                        builder.load(
                            _vector_at(builder, pixels, builder.add(at, ir.Constant(_I64, v * LANES)), lane), align=4
                        )
                        for v in range(vectors)
                    ]
                    for r in active:
                        tap_row = builder.sub(line, ir.Constant(_I64, r))
                        tap_at = builder.add(builder.mul(tap_row, tap_cols), loop.index)
                        weight = splat(builder, builder.load(builder.gep(weights, [tap_at])), lane.vector)
                        for v in range(vectors):
                            total = builder.load(sums[r][v])
                            builder.store(lane.multiply_add(builder, total, loaded[v], weight), sums[r][v])

            for s in range(rows - 1):
                accumulate(ir.Constant(_I64, s), range(s + 1))
            with cgutils.for_range_slice(
                builder, ir.Constant(_I64, rows - 1), tap_rows, ir.Constant(_I64, 1), intp=_I64
            ) as (line, _):
                accumulate(line, range(rows))
            for s in range(rows - 1):
                accumulate(builder.add(tap_rows, ir.Constant(_I64, s)), range(s + 1, rows))
            for r in range(rows):
                row_at = builder.add(out_start, builder.mul(ir.Constant(_I64, r), out_pitch))
                for v in range(vectors):
                    at = builder.add(row_at, ir.Constant(_I64, v * LANES))
                    builder.store(builder.load(sums[r][v]), _vector_at(builder, result, at, lane), align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


def float_tile(rows: int, vectors: int) -> Callable[..., None]:
    """Tile of float32 sums over float32 pixels."""
    return correlation_tile(FloatLane, rows, vectors)


def pair_tile(rows: int, vectors: int) -> Callable[..., None]:
    """Tile of int32 sums over pairs of int16 pixels."""
    return correlation_tile(PairLane, rows, vectors)


@intrinsic
def blurred_maximum(typing_context, scores, inverses, start, count, blur):
    """Largest of scores[k] + blur * inverses[k] for start <= k < start + count, count a multiple of LANES, no NaN.

    LLVM does not vectorise the floating-point maximum that numba writes.
    """
    signature = types.float32(types.intp, types.intp, types.intp, types.intp, types.float32)

    def generate(context, builder, signature, arguments):
        scores, inverses, start, count, blur = arguments
        lane = FloatLane
        left, right = data_at(builder, scores, lane.scalar), data_at(builder, inverses, lane.scalar)
        factor = splat(builder, blur, lane.vector)
        best = cgutils.alloca_once_value(builder, ir.Constant(lane.vector, [-8.0] * LANES))
        builder.store(ir.Constant(lane.vector, [-8.0] * LANES), best)
        stop, step = builder.add(start, count), ir.Constant(_I64, LANES)
        with cgutils.for_range_slice(builder, start, stop, step, intp=_I64) as (at, _):
            score = builder.load(_vector_at(builder, left, at, lane), align=4)
            inverse = builder.load(_vector_at(builder, right, at, lane), align=4)
            value, old = lane.multiply_add(builder, score, inverse, factor), builder.load(best)
            builder.store(builder.select(builder.fcmp_ordered(">", value, old), value, old), best)
        vector, lanes = builder.load(best), LANES
        result = builder.extract_element(vector, ir.Constant(_I32, 0))
        for k in range(1, lanes):
            value = builder.extract_element(vector, ir.Constant(_I32, k))
            result = builder.select(builder.fcmp_ordered(">", value, result), value, result)
        return result

    return signature, generate


@register_jitable
def padded(columns: int) -> int:
    """Columns rounded up to whole vectors; tiles read up to a vector past the end of a line."""
    return (columns + LANES - 1) // LANES * LANES
