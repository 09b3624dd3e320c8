"""Correlation maps from register tiles: the stages that take longest to compile."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba import cfunc, types

from gating.tracking.zncc.intrinsics import LANES, float_tile, pair_tile
from gating.tracking.zncc.memory import helper

TALL = 4
"""Rows of a tall tile: enough to hide the loads, few enough for the 16 registers of an AVX2 core at three vectors.

A single row waits for its own sums, so a map of 4 n + 1 rows, as windows of radius 8, 16 and 24 px have, ends with a
tile of five.
"""

_float_4x3, _float_4x2, _float_4x1, _float_1x1 = float_tile(4, 3), float_tile(4, 2), float_tile(4, 1), float_tile(1, 1)
_pair_4x3, _pair_4x2, _pair_4x1, _pair_1x1 = pair_tile(4, 3), pair_tile(4, 2), pair_tile(4, 1), pair_tile(1, 1)
_float_5x2, _float_5x1, _pair_5x2, _pair_5x1 = float_tile(5, 2), float_tile(5, 1), pair_tile(5, 2), pair_tile(5, 1)


@helper
def _tile_rows(left, tap_rows):
    if left < TALL or tap_rows < TALL:
        return 1
    return left if left == TALL + 1 else TALL


@cfunc(types.void(*[types.intp] * 10), cache=True)
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
