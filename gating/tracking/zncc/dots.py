"""Sums over single patches and small windows, in generic vector LLVM IR."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gating.tracking.zncc.intrinsics import LANES, FloatLane, PairLane, data_at, splat

DOT_ROWS = 4
"""Lines of a template that a dot product takes at once; zero lines fill up the last group."""
WINDOW_PX, COLUMN_PX = 5, 8
"""Side of the windows of `pair_window`, and placements in a column of `pair_column`."""
LEAD = COLUMN_PX - 1
"""Lines of zeros before and after the taps of both."""
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def _zeros(builder: Any, vector: Any, count: int) -> list[Any]:
    """Variables that are set to zero here, in every turn of a loop around this."""
    zero = ir.Constant(vector, None)
    variables = [cgutils.alloca_once_value(builder, zero) for _ in range(count)]
    for variable in variables:
        builder.store(zero, variable)
    return variables


def _load_vector(builder: Any, base: Any, at: Any, vector: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(base, [at]), vector.as_pointer()), align=2)


def _over_patch(
    builder: Any,
    start: Any,
    pitch: Any,
    tap_rows: Any,
    tap_pitch: Any,
    step: int,
    visit: Callable[[int, Any, Any], None],
) -> None:
    """Call visit(k, place among the pixels, place among the taps) for every `step` taps of line k of DOT_ROWS."""
    groups = builder.udiv(tap_rows, ir.Constant(_I64, DOT_ROWS))
    with cgutils.for_range(builder, groups, intp=_I64) as group:
        first = builder.mul(group.index, ir.Constant(_I64, DOT_ROWS))
        lines = [builder.add(first, ir.Constant(_I64, k)) for k in range(DOT_ROWS)]
        pixel_lines = [builder.add(start, builder.mul(line, pitch)) for line in lines]
        tap_lines = [builder.mul(line, tap_pitch) for line in lines]
        stride = ir.Constant(_I64, step)
        with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), tap_pitch, stride, intp=_I64) as (at, _):
            for k in range(DOT_ROWS):
                visit(k, builder.add(pixel_lines[k], at), builder.add(tap_lines[k], at))


def _dot(lane: Any, lanes: int, per_lane: int, element: Any) -> Callable[..., Any]:
    """Make a kernel (source, start, pitch, taps, tap_rows, tap_pitch) -> sum of products over lines of tap_pitch.

    DOT_ROWS sums run side by side.

    Parameters
    ----------
    source, taps : addresses of pixels and weights
    start, pitch : first element, and elements from line to line
    tap_rows, tap_pitch : lines of taps, a multiple of DOT_ROWS, and their length, a multiple of lanes * per_lane
    """

    @intrinsic
    def dot(typing_context, source, start, pitch, taps, tap_rows, tap_pitch):
        signature = (types.float32 if lane is FloatLane else types.int32)(*[types.intp] * 6)

        def generate(context, builder, signature, arguments):
            source, start, pitch, taps, tap_rows, tap_pitch = arguments
            chunk = ir.VectorType(lane.scalar, lanes)
            bases = data_at(builder, source, element), data_at(builder, taps, element)
            totals = _zeros(builder, chunk, DOT_ROWS)

            def visit(k: int, *places: Any) -> None:
                left, right = (_load_vector(builder, base, at, chunk) for base, at in zip(bases, places, strict=True))
                builder.store(lane.multiply_add(builder, builder.load(totals[k]), left, right), totals[k])

            _over_patch(builder, start, pitch, tap_rows, tap_pitch, lanes * per_lane, visit)
            add = builder.fadd if lane is FloatLane else builder.add
            return _sum_lanes(builder, functools.reduce(add, [builder.load(total) for total in totals]), add)

        return signature, generate

    return dot


def _pair_dots(rows: int, columns: int) -> Callable[..., None]:
    """Make a kernel (source, pitch, taps, tap_rows, tap_pitch, out, out_pitch) for rows x columns placements.

    out[r, c] = sum of products of int16 source[r + y, c + x] and taps[y, x], as int32. All arguments are addresses and
    counts of elements. LEAD lines of zeros stand before and after the taps; tap_pitch is a multiple of LANES. Each line
    of pixels is loaded once for all rows.
    """

    @intrinsic
    def pair_dots(typing_context, source, pitch, taps, tap_rows, tap_pitch, out, out_pitch):
        def generate(context, builder, signature, arguments):
            source, pitch, taps, tap_rows, tap_pitch, out, out_pitch = arguments
            lane, lanes = PairLane, LANES // 2
            chunk, element = ir.VectorType(_I32, lanes), ir.IntType(16)
            pixels, weights = data_at(builder, source, element), data_at(builder, taps, element)
            totals = [_zeros(builder, chunk, columns) for _ in range(rows)]
            zero, step = ir.Constant(_I64, 0), ir.Constant(_I64, 2 * lanes)
            lines = builder.add(tap_rows, ir.Constant(_I64, rows - 1))
            with (
                cgutils.for_range_slice(builder, zero, tap_pitch, step, intp=_I64) as (at, _),
                cgutils.for_range(builder, lines, intp=_I64) as line,
            ):
                place = builder.add(builder.mul(line.index, pitch), at)
                places = [builder.add(place, ir.Constant(_I64, c)) for c in range(columns)]
                seen = [_load_vector(builder, pixels, place, chunk) for place in places]
                for r in range(rows):
                    tap_line = builder.sub(line.index, ir.Constant(_I64, r))
                    weight = _load_vector(builder, weights, builder.add(builder.mul(tap_line, tap_pitch), at), chunk)
                    for total, pixel in zip(totals[r], seen, strict=True):
                        builder.store(lane.multiply_add(builder, builder.load(total), pixel, weight), total)
            result = data_at(builder, out, _I32)
            for r in range(rows):
                for c in range(columns):
                    at = builder.add(builder.mul(out_pitch, ir.Constant(_I64, r)), ir.Constant(_I64, c))
                    total = _sum_lanes(builder, builder.load(totals[r][c]), builder.add)
                    builder.store(total, builder.gep(result, [at]))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), generate

    return pair_dots


@intrinsic
def patch_sums(typing_context, pixels, start, pitch, middle, weights, keep, tap_rows, tap_pitch):
    """Sums of product, value and squared value over a patch, in float64; a value is a pixel minus the middle.

    Parameters
    ----------
    pixels, weights, keep : addresses of float32, float32 and int16; a pixel counts where keep is not 0
    start, pitch, tap_rows, tap_pitch : as in `_dot`
    """
    result = types.UniTuple(types.float64, 3)
    lanes = LANES // 2
    wide, mask_type = ir.VectorType(ir.DoubleType(), lanes), ir.VectorType(ir.IntType(16), lanes)
    narrow, contract = ir.VectorType(ir.FloatType(), lanes), ("contract",)

    def generate(context, builder, signature, arguments):
        pixels, start, pitch, middle, weights, keep, tap_rows, tap_pitch = arguments
        bases = [data_at(builder, pixels, ir.FloatType()), data_at(builder, weights, ir.FloatType())]
        bases.append(data_at(builder, keep, ir.IntType(16)))
        zero, centre = ir.Constant(wide, None), splat(builder, middle, wide)
        totals = [_zeros(builder, wide, 3) for _ in range(DOT_ROWS)]

        def visit(k: int, pixel_at: Any, tap_at: Any) -> None:
            pixel, weight = (
                _load_vector(builder, base, at, narrow) for base, at in zip(bases, (pixel_at, tap_at), strict=False)
            )
            kept = _load_vector(builder, bases[2], tap_at, mask_type)
            inside = builder.icmp_signed("!=", kept, ir.Constant(mask_type, None))
            value = builder.select(inside, builder.fsub(builder.fpext(pixel, wide), centre), zero)
            for cell, factor in zip(totals[k], (builder.fpext(weight, wide), None, value), strict=True):
                more = builder.fmul(value, factor, flags=contract) if factor else value
                builder.store(builder.fadd(builder.load(cell), more, flags=contract), cell)

        _over_patch(builder, start, pitch, tap_rows, tap_pitch, lanes, visit)
        wholes = []
        for k in range(3):
            lines = functools.reduce(builder.fadd, [builder.load(total[k]) for total in totals])
            wholes.append(_sum_lanes(builder, lines, builder.fadd))
        return context.make_tuple(builder, result, wholes)

    return result(*[types.intp] * 3, types.float64, *[types.intp] * 4), generate


@intrinsic
def column_sums(typing_context, levels, start, pitch, lines, columns, sums, squares):
    """Sums and sums of squares of `lines` lines of int16, for `columns` columns rounded up to whole vectors, as int32.

    By itself, LLVM loads and stores the sums at every line.
    """
    wide, narrow = ir.VectorType(_I32, LANES), ir.VectorType(ir.IntType(16), LANES)

    def generate(context, builder, signature, arguments):
        levels, start, pitch, lines, columns, sums, squares = arguments
        pixels = data_at(builder, levels, ir.IntType(16))
        results = [data_at(builder, each, _I32) for each in (sums, squares)]
        zero = ir.Constant(wide, None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in results]
        step = ir.Constant(_I64, LANES)
        with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), columns, step, intp=_I64) as (at, _):
            for total in totals:
                builder.store(zero, total)
            first = builder.add(start, at)
            with cgutils.for_range(builder, lines, intp=_I64) as line:
                place = builder.gep(pixels, [builder.add(first, builder.mul(line.index, pitch))])
                value = builder.sext(builder.load(builder.bitcast(place, narrow.as_pointer()), align=2), wide)
                for total, more in zip(totals, (value, builder.mul(value, value)), strict=True):
                    builder.store(builder.add(builder.load(total), more), total)
            for total, result in zip(totals, results, strict=True):
                place = builder.bitcast(builder.gep(result, [at]), wide.as_pointer())
                builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), generate


def _sum_lanes(builder: Any, vector: Any, add: Callable[[Any, Any], Any]) -> Any:
    lanes = vector.type.count
    while lanes > 1:
        lanes //= 2
        pick = ir.VectorType(_I32, lanes)
        undefined = ir.Constant(vector.type, ir.Undefined)
        low = builder.shuffle_vector(vector, undefined, ir.Constant(pick, list(range(lanes))))
        high = builder.shuffle_vector(vector, undefined, ir.Constant(pick, list(range(lanes, 2 * lanes))))
        vector = add(low, high)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


float_dot = _dot(FloatLane, LANES, 1, ir.FloatType())
pair_window, pair_column = _pair_dots(WINDOW_PX, WINDOW_PX), _pair_dots(COLUMN_PX, 1)
pair_dot = _dot(PairLane, LANES // 2, 2, ir.IntType(16))


@intrinsic
def add_run(typing_context, prefix, prefix_squares, start, stop, count, sums, squares):
    """sums[c] += prefix[stop + c] - prefix[start + c], and squares from prefix_squares, for c < count.

    Arrays are given as addresses of float64. The work is done in whole vectors: up to LANES / 2 - 1 more places are
    read and overwritten.
    """

    def generate(context, builder, signature, arguments):
        prefix, prefix_squares, start, stop, count, sums, squares = arguments
        element, lanes = ir.DoubleType(), LANES // 2
        chunk = ir.VectorType(element, lanes)
        zero, step = ir.Constant(_I64, 0), ir.Constant(_I64, lanes)
        pairs = [
            (data_at(builder, source, element), data_at(builder, out, element))
            for source, out in ((prefix, sums), (prefix_squares, squares))
        ]
        with cgutils.for_range_slice(builder, zero, count, step, intp=_I64) as (at, _):
            for source, out in pairs:
                after = _load_vector(builder, source, builder.add(stop, at), chunk)
                before = _load_vector(builder, source, builder.add(start, at), chunk)
                total = builder.fadd(_load_vector(builder, out, at, chunk), builder.fsub(after, before))
                place = builder.bitcast(builder.gep(out, [at]), chunk.as_pointer())
                builder.store(total, place, align=8)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), generate
