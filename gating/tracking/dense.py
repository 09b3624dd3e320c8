"""Full correlation maps in constant time, built from register tiles.

The maps are compiled once, as C functions that the other kernels call by symbol: numba would otherwise compile all
tiles again inside every kernel that calls them, for a minute.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types
from numba.extending import register_jitable

from gating.tracking.dots import (
    COLUMN_PX,
    DOT_ROWS,
    LEAD,
    float_dot,
    pair_column,
    pair_dot,
    pair_window,
)  # fmt: skip
from gating.tracking.intrinsics import LANES, address_of, float_tile, pair_tile
from gating.tracking.memory import helper, part

TALL = 4
"""Rows of a tall tile: enough to hide the loads, few enough for 16 registers at three vectors of an AVX2 core.

One row alone waits for its own sums: a map of 4 n + 1 rows, as windows of radius 8, 16 and 24 px have, ends with five.
"""

_float_4x3, _float_4x2, _float_4x1, _float_1x1 = float_tile(4, 3), float_tile(4, 2), float_tile(4, 1), float_tile(1, 1)
_pair_4x3, _pair_4x2, _pair_4x1, _pair_1x1 = pair_tile(4, 3), pair_tile(4, 2), pair_tile(4, 1), pair_tile(1, 1)
_float_5x2, _float_5x1, _pair_5x2, _pair_5x1 = float_tile(5, 2), float_tile(5, 1), pair_tile(5, 2), pair_tile(5, 1)

_MAP_SIGNATURE = types.void(*[types.intp] * 10)


@helper
def _tile_rows(left, tap_rows):
    if left < TALL or tap_rows < TALL:
        return 1
    return left if left == TALL + 1 else TALL


@cfunc(_MAP_SIGNATURE, cache=True)
def _float_map(source, pitch, taps, tap_rows, tap_cols, rows, vectors, out, out_pitch, unused):
    r = 0
    while r < rows:
        tall = _tile_rows(rows - r, tap_rows)
        at, out_at, left = r * pitch, r * out_pitch, vectors
        while left > 0:
            width = 1
            if tall == 1:
                _float_1x1(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            elif tall == 5 and left >= 2:
                width = 2
                _float_5x2(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            elif tall == 5:
                _float_5x1(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            elif left >= 3:
                width = 3
                _float_4x3(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            elif left == 2:
                width = 2
                _float_4x2(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            else:
                _float_4x1(source, at, pitch, 1, taps, tap_rows, tap_cols, out, out_at, out_pitch)
            at += width * LANES
            out_at += width * LANES
            left -= width
        r += tall


@cfunc(types.void(*[types.intp] * 11), cache=True)
def _pair_map(source, pitch, row_step, col_step, taps, tap_rows, tap_cols, rows, vectors, out, out_pitch):
    line, out_line = row_step * pitch, row_step * out_pitch
    for first in range(min(row_step, rows)):
        r = first
        while r < rows:
            tall = _tile_rows((rows - r + row_step - 1) // row_step, tap_rows)
            at, out_at, left = r * pitch, r * out_pitch, vectors
            while left > 0:
                width = 1
                if tall == 1:
                    _pair_1x1(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                elif tall == 5 and left >= 2:
                    width = 2
                    _pair_5x2(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                elif tall == 5:
                    _pair_5x1(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                elif left >= 3:
                    width = 3
                    _pair_4x3(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                elif left == 2:
                    width = 2
                    _pair_4x2(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                else:
                    _pair_4x1(source, at, line, col_step, taps, tap_rows, tap_cols, out, out_at, out_line)
                at += width * LANES
                out_at += width * LANES
                left -= width
            r += tall * row_step


llvm.add_symbol("cinegate_float_map", _float_map.address)
llvm.add_symbol("cinegate_pair_map", _pair_map.address)
_float_map_symbol = types.ExternalFunction("cinegate_float_map", _MAP_SIGNATURE)
_pair_map_symbol = types.ExternalFunction("cinegate_pair_map", types.void(*[types.intp] * 11))


@helper
def spare_columns(cols):
    """Columns better summed one by one: the one beyond whole vectors that windows of radius 8, 16 or 24 px have."""
    return cols % LANES if cols > LANES and cols % LANES <= 1 else 0


@register_jitable
def padded_rows(rows: int) -> int:
    """Lines of a template rounded up to whole groups of DOT_ROWS."""
    return (rows + DOT_ROWS - 1) // DOT_ROWS * DOT_ROWS


@helper
def correlate_floats(source, pitch, taps, row_taps, tap_rows, tap_cols, rows, cols, out, out_pitch):
    """out[r, c] = sum over p, j of source[r + p, c + j] * taps[p, j], all float32 and flat.

    row_taps  : taps with lines and columns padded with zeros to whole groups and vectors
    out_pitch : a multiple of LANES; source has a vector to spare at its end
    """
    spare = spare_columns(cols)
    vectors = (cols - spare + LANES - 1) // LANES
    pixels, weights = address_of(source), address_of(row_taps)
    _float_map_symbol(pixels, pitch, address_of(taps), tap_rows, tap_cols, rows, vectors, address_of(out), out_pitch, 0)
    dot_rows = padded_rows(tap_rows)
    tap_pitch = row_taps.size // dot_rows
    for c in range(cols - spare, cols):
        for r in range(rows):
            out[r * out_pitch + c] = float_dot(pixels, r * pitch + c, pitch, weights, dot_rows, tap_pitch)


@helper
def correlate_pairs(source, pitch, row_step, col_step, taps, tap_rows, tap_cols, rows, vectors, out, out_pitch):
    """out[r, c] = sum over p, j of pairs source[r + p * row_step, c + j * col_step] with pairs taps[p, j].

    source, taps  : flat int32, two int16 each
    rows, vectors : rows of the map and its width in vectors of LANES
    out           : flat int32, modulo 2**32; out_pitch a multiple of LANES
    """
    _pair_map_symbol(
        address_of(source), pitch, row_step, col_step, address_of(taps), tap_rows, tap_cols, rows, vectors,
        address_of(out), out_pitch,
    )  # fmt: skip


@register_jitable
def padded_lines(rows: int) -> int:
    """Lines of the int16 taps of single placements: `padded_rows`, between lines of zeros."""
    return padded_rows(rows) + 2 * LEAD


@helper
def dot_pairs(source, at, pitch, row_taps, tap_rows):
    """Correlation of one placement: flat int16 pixels with flat int16 taps, then a mask, each of `padded_lines`."""
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    return pair_dot(address_of(source), at, pitch, taps, padded_rows(tap_rows), tap_pitch)


@helper
def correlate_window(source, pitch, row_taps, tap_rows, out, out_pitch):
    """out[r, c] as `dot_pairs`, of a window of WINDOW_PX a side."""
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    pair_window(address_of(source), pitch, taps, tap_rows, tap_pitch, address_of(out), out_pitch)


@helper
def correlate_column(source, pitch, row_taps, tap_rows, rows, out, out_pitch):
    """out[r, 0] as `dot_pairs`, for a column of placements, and of COLUMN_PX - 1 rows more at most."""
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    for r in range(0, rows, COLUMN_PX):
        pixels, sums = address_of(source) + 2 * r * pitch, address_of(out) + 4 * r * out_pitch
        pair_column(pixels, pitch, taps, tap_rows, tap_pitch, sums, out_pitch)


@helper
def pair_lines(levels, lines, pitch, distance, pairs):
    """pairs[y, x] = levels[y, x] and levels[y + distance, x] in one int32, for `lines` lines; all flat."""
    for y in range(lines):
        upper = part(levels, y * pitch, pitch)
        lower = part(levels, (y + distance) * pitch, pitch)
        pair = part(pairs, y * pitch, pitch)
        for x in range(pitch):
            pair[x] = (np.int32(upper[x]) & np.int32(0xFFFF)) | (np.int32(lower[x]) << np.int32(16))
