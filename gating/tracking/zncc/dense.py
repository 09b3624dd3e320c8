"""Full correlation maps, whose time does not depend on the pixels, and the correlation of single placements."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import register_jitable

from gating.tracking.zncc.dots import (  # fmt: skip
    COLUMN_PX,
    DOT_ROWS,
    LEAD,
    float_dot,
    pair_column,
    pair_dot,
    pair_window,
)
from gating.tracking.zncc.intrinsics import LANES, address_of
from gating.tracking.zncc.memory import helper, part

_float_map_symbol = types.ExternalFunction("cinegate_float_map", types.void(*[types.intp] * 10))
_pair_map_symbol = types.ExternalFunction("cinegate_pair_map", types.void(*[types.intp] * 11))


@helper
def spare_columns(cols):
    """Columns to sum one by one: windows of radius 8, 16 or 24 px have one column more than whole vectors."""
    return cols % LANES if cols > LANES and cols % LANES <= 1 else 0


@register_jitable
def padded_rows(rows: int) -> int:
    """Lines of a template rounded up to whole groups of DOT_ROWS."""
    return (rows + DOT_ROWS - 1) // DOT_ROWS * DOT_ROWS


@helper
def correlate_floats(source, pitch, taps, row_taps, tap_rows, tap_cols, rows, cols, out, out_pitch):
    """out[r, c] = sum over p, j of source[r + p, c + j] * taps[p, j].

    Parameters
    ----------
    source, taps, out : flat, float32; source has a vector to spare at its end
    row_taps : flat, float32, the taps with zeros after lines and columns, up to whole groups and vectors
    pitch, out_pitch : elements from line to line; out_pitch is a multiple of LANES
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

    Parameters
    ----------
    source, taps : flat, int32, two int16 each
    rows, vectors : rows of the map, and its width in vectors of LANES
    out : flat, int32, modulo 2**32
    out_pitch : elements from line to line, a multiple of LANES
    """
    _pair_map_symbol(
        address_of(source), pitch, row_step, col_step, address_of(taps), tap_rows, tap_cols, rows, vectors,
        address_of(out), out_pitch,
    )  # fmt: skip


@register_jitable
def padded_lines(rows: int) -> int:
    """Lines of the int16 taps of single placements: `padded_rows` and the lines of zeros around them."""
    return padded_rows(rows) + 2 * LEAD


@helper
def dot_pairs(source, at, pitch, row_taps, tap_rows):
    """Correlation of one placement.

    Parameters
    ----------
    source : flat, int16; `at` is the first pixel of the placement
    row_taps : flat, int16, the taps and then a mask, each of `padded_lines`
    """
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    return pair_dot(address_of(source), at, pitch, taps, padded_rows(tap_rows), tap_pitch)


@helper
def correlate_window(source, pitch, row_taps, tap_rows, out, out_pitch):
    """out[r, c] as by `dot_pairs`, for a window of WINDOW_PX a side."""
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    pair_window(address_of(source), pitch, taps, tap_rows, tap_pitch, address_of(out), out_pitch)


@helper
def correlate_column(source, pitch, row_taps, tap_rows, rows, out, out_pitch):
    """out[r, 0] as by `dot_pairs`, for a column of placements; up to COLUMN_PX - 1 more rows are written."""
    tap_pitch = row_taps.size // 2 // padded_lines(tap_rows)
    taps = address_of(row_taps) + 2 * LEAD * tap_pitch
    for r in range(0, rows, COLUMN_PX):
        pixels, sums = address_of(source) + 2 * r * pitch, address_of(out) + 4 * r * out_pitch
        pair_column(pixels, pitch, taps, tap_rows, tap_pitch, sums, out_pitch)


@helper
def pair_lines(levels, lines, pitch, distance, pairs):
    """pairs[y, x] = levels[y, x] and levels[y + distance, x] in one int32, for `lines` lines; all are flat."""
    for y in range(lines):
        upper = part(levels, y * pitch, pitch)
        lower = part(levels, (y + distance) * pitch, pitch)
        pair = part(pairs, y * pitch, pitch)
        for x in range(pitch):
            pair[x] = (np.int32(upper[x]) & np.int32(0xFFFF)) | (np.int32(lower[x]) << np.int32(16))
