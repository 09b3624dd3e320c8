"""Mean and contrast of the patch at every placement of a search window."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    COUNT,
    FACTS_AT,
    FLAT_ENERGY,
    FLOATS_AT,
    HEIGHT,
    LEVELS_AT,
    LINES_AT,
    RAW_AT,
    RUNS_AT,
    SCALING_AT,
    WIDTH,
)
from gating.tracking.zncc.dots import add_run, column_sums
from gating.tracking.zncc.intrinsics import address_of, padded
from gating.tracking.zncc.memory import (  # fmt: skip
    bits_of,
    fast_helper,
    fill,
    floats_of,
    helper,
    integers_of,
    part,
    reals_of,
    shorts_of,
)

MAX_SUMMED_LINES = 512
"""This many squared levels can be summed in int32."""


@fast_helper
def _add_line(line, middle, width, sums, squares):
    for x in range(width):
        v = np.float64(line[x]) - middle
        sums[x] += v
        squares[x] += v * v


@fast_helper
def _slide_line(come, gone, middle, width, sums, squares):
    for x in range(width):
        new = np.float64(come[x]) - middle
        old = np.float64(gone[x]) - middle
        sums[x] += new - old
        squares[x] += new * new - old * old


@fast_helper
def _first_sums(columns, column_squares, width):
    total = 0.0
    square = 0.0
    for x in range(width):
        total += columns[x]
        square += column_squares[x]
    return total, square


@helper
def _slide_across(columns, column_squares, cols, width, sums, squares):
    total, square = _first_sums(columns, column_squares, width)
    more, more_squares = part(columns, width, cols), part(column_squares, width, cols)
    next_sums, next_squares = part(sums, 1, cols), part(squares, 1, cols)
    sums[0] = total
    squares[0] = square
    for c in range(cols - 1):
        total += more[c] - columns[c]
        square += more_squares[c] - column_squares[c]
        next_sums[c] = total
        next_squares[c] = square
    for c in range(cols, sums.size):
        sums[c] = 0.0
        squares[c] = 0.0


@helper
def _first_columns(raw, middle, pitch, height, region, columns, column_squares):
    fill(columns, 0, region, 0.0)
    fill(column_squares, 0, region, 0.0)
    for y in range(height):
        _add_line(part(raw, y * pitch, region), middle, region, columns, column_squares)


@helper
def _first_level_columns(levels, pitch, height, region, scratch, columns, column_squares):
    sums, squares = part(scratch, 0, pitch), part(scratch, pitch, pitch)
    column_sums(address_of(levels), 0, pitch, height, region, address_of(sums), address_of(squares))
    for x in range(region):
        columns[x] = sums[x]
        column_squares[x] = squares[x]


@helper
def _box_sums(pixels, middle, pitch, rows, cols, height, width, columns, column_squares, sums, squares, map_pitch):
    """Sums over the patch at every placement, from those of the first lines down the columns."""
    region = cols + width - 1
    _slide_across(columns, column_squares, cols, width, part(sums, 0, map_pitch), part(squares, 0, map_pitch))
    for r in range(1, rows):
        come, gone = part(pixels, (r + height - 1) * pitch, region), part(pixels, (r - 1) * pitch, region)
        _slide_line(come, gone, middle, region, columns, column_squares)
        line, line_squares = part(sums, r * map_pitch, map_pitch), part(squares, r * map_pitch, map_pitch)
        _slide_across(columns, column_squares, cols, width, line, line_squares)


@helper
def _run_sums(raw, middle, pitch, rows, cols, height, width, runs, prefix, prefix_squares, sums, squares, map_pitch):
    fill(sums, 0, rows * map_pitch, 0.0)
    fill(squares, 0, rows * map_pitch, 0.0)
    sums_at, squares_at = address_of(sums), address_of(squares)
    prefix_at, prefix_squares_at = address_of(prefix), address_of(prefix_squares)
    for y in range(rows + height - 1):
        total, square = 0.0, 0.0
        line = part(raw, y * pitch, pitch)
        for x in range(cols + width - 1):
            prefix[x], prefix_squares[x] = total, square
            v = np.float64(line[x]) - middle
            total += v
            square += v * v
        prefix[cols + width - 1], prefix_squares[cols + width - 1] = total, square
        for k in range(0, runs.size, 3):
            r = y - runs[k]
            if 0 <= r < rows:
                at = 8 * r * map_pitch
                start, stop = runs[k + 1], runs[k + 2]
                add_run(prefix_at, prefix_squares_at, start, stop, cols, sums_at + at, squares_at + at)
    for r in range(rows):
        fill(sums, r * map_pitch + cols, map_pitch - cols, 0.0)
        fill(squares, r * map_pitch + cols, map_pitch - cols, 0.0)


@fast_helper
def _finish(share, scale, size, sums, squares, means, inverses):
    floor = np.float32(FLAT_ENERGY)
    for c in range(size):
        mean = sums[c] * share
        energy = np.float32((squares[c] - mean * sums[c]) * scale * scale)
        means[c] = np.float32(mean * scale)
        inverse = np.float32(1.0) / np.sqrt(max(energy, floor))
        inverses[c] = inverse if energy > floor else np.float32(0.0)


@cfunc(types.void(*[types.intp] * 4), cache=True)
def _statistics(rows, cols, rounded, block_at):
    """Mean level and 1 / Euclidean norm about it (0 for a flat patch) of the patch at every placement.

    They go into the second and third map of `floats`. Rounded: those of the rounded levels are accurate enough.
    """
    facts, scaling, lines = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT), reals_of(block_at, LINES_AT)
    raw, levels, floats = floats_of(block_at, RAW_AT), shorts_of(block_at, LEVELS_AT), floats_of(block_at, FLOATS_AT)
    runs = integers_of(block_at, RUNS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    pitch, map_pitch = padded(cols + width - 1), padded(cols)
    edge, size = pitch + 1, rows * map_pitch
    first, second = part(lines, 0, edge), part(lines, edge, edge)
    sums, squares = part(lines, 2 * edge, size), part(lines, 2 * edge + size, size)
    middle, scale = scaling[0], scaling[1]
    if runs.size > 0:
        _run_sums(raw, middle, pitch, rows, cols, height, width, runs, first, second, sums, squares, map_pitch)
    elif (rounded or scaling[2] == 0.0) and height <= MAX_SUMMED_LINES:
        scale = 1.0
        _first_level_columns(levels, pitch, height, pitch, bits_of(part(lines, 2 * edge, pitch)), first, second)
        _box_sums(levels, 0.0, pitch, rows, cols, height, width, first, second, sums, squares, map_pitch)
    else:
        _first_columns(raw, middle, pitch, height, cols + width - 1, first, second)
        _box_sums(raw, middle, pitch, rows, cols, height, width, first, second, sums, squares, map_pitch)
    means, inverses = part(floats, size, size), part(floats, 2 * size, size)
    _finish(1.0 / facts[COUNT], scale, size, sums, squares, means, inverses)


llvm.add_symbol("cinegate_statistics", _statistics.address)
