"""The full int16 map from three quarters of its products, by a Karatsuba step along the lines.

Source : Z.-J. Mou and P. Duhamel, "Short-length FIR filters and their use in fast nonrecursive filtering", IEEE Trans.
         Signal Process. 39(6), 1991, doi:10.1109/78.136539.
"""

from __future__ import annotations

import numpy as np

from gating.tracking.zncc.dense import correlate_pairs, pair_lines
from gating.tracking.zncc.intrinsics import LANES
from gating.tracking.zncc.memory import helper, part


@helper
def _pair_differences(levels, lines, pitch, pairs):
    """pairs[y, x] = (levels[y] - levels[y + 1])[x] and (levels[y + 2] - levels[y + 3])[x] in one int32; all flat."""
    for y in range(lines):
        a, b = part(levels, y * pitch, pitch), part(levels, (y + 1) * pitch, pitch)
        c, d = part(levels, (y + 2) * pitch, pitch), part(levels, (y + 3) * pitch, pitch)
        pair = part(pairs, y * pitch, pitch)
        for x in range(pitch):
            upper, lower = np.int16(a[x] - b[x]), np.int16(c[x] - d[x])
            pair[x] = (np.int32(upper) & np.int32(0xFFFF)) | (np.int32(lower) << np.int32(16))


@helper
def _combine(common, other, sign, size, out):
    for x in range(size):
        out[x] = np.int32(common[x] + sign * other[x])


@helper
def folded_products(levels, pairs, products, pitch, map_pitch, rows, cols, taps, height, width):
    """The map that `correlate_pairs` makes of the levels with all taps, exact modulo 2**32 like that.

    With E and O the even and odd lines of the window, G and H those of the template, and D the lines minus the next:
    even lines of the map are D_even * G + O * (G + H), odd ones O * (G + H) - D_odd * H.

    Parameters
    ----------
    levels : flat, int16
    pairs : flat, int32, overwritten
    products : flat, int32, the map, and then room for three maps of half its lines
    taps : flat, int32, G, G + H and H, each paired as the template's taps are
    """
    half_rows, tap_rows = (rows + 1) // 2, ((height + 1) // 2 + 1) // 2
    size, count, lines = half_rows * map_pitch, tap_rows * width, rows + height
    vectors = (cols + LANES - 1) // LANES
    room = rows * map_pitch + 8 * LANES
    common, even, odd = (
        part(products, room, size),
        part(products, room + size, size),
        part(products, room + 2 * size, size),
    )
    upper, both, lower = part(taps, 0, count), part(taps, count, count), part(taps, 2 * count, count)
    below = part(pairs, pitch, pairs.size - pitch)
    pair_lines(levels, lines, pitch, 2, pairs)
    correlate_pairs(below, 2 * pitch, 2, 1, both, tap_rows, width, half_rows, vectors, common, map_pitch)
    _pair_differences(levels, lines, pitch, pairs)
    correlate_pairs(pairs, 2 * pitch, 2, 1, upper, tap_rows, width, half_rows, vectors, even, map_pitch)
    correlate_pairs(below, 2 * pitch, 2, 1, lower, tap_rows, width, rows // 2, vectors, odd, map_pitch)
    one = np.int32(1)
    for r in range(half_rows):
        at = r * map_pitch
        line = part(common, at, map_pitch)
        _combine(line, part(even, at, map_pitch), one, map_pitch, part(products, 2 * at, map_pitch))
        if 2 * r + 1 < rows:
            _combine(line, part(odd, at, map_pitch), -one, map_pitch, part(products, 2 * at + map_pitch, map_pitch))
