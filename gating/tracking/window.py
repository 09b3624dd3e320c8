"""A search window made ready for correlation: levels, and the mean and contrast of the patch at every placement."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from gating.tracking.dots import column_sums
from gating.tracking.intrinsics import LANES, address_of
from gating.tracking.memory import (
    bits_of,
    copy_float32,
    copy_uint8,
    copy_uint16,
    fast_helper,
    fill,
    float32_of,
    halve_float32,
    halve_uint8,
    halve_uint16,
    helper,
    part,
)  # fmt: skip

HALF_RANGE = 2047
"""Largest level: 16 times it still fits int16, so that 4x4 sums of levels are exact."""
FLAT_ENERGY = 1e-3
"""Squared levels. A patch with less energy is flat: its contrast is below float32's resolution of the window."""

MAX_SUMMED_LINES = 512
"""So many squared levels fit int32."""
INFINITE_BITS = 0x7F800000


@helper
def _load_line(line, item_bytes, line_bytes, width, pitch, halved, out):
    """`width` float32 pixels of a line, or sums of 2x2 of it and the next."""
    below = line + line_bytes
    if item_bytes == 1:
        if halved:
            halve_uint8(line, below, width, pitch, out)
        else:
            copy_uint8(line, below, width, pitch, out)
    elif item_bytes == 2:
        if halved:
            halve_uint16(line, below, width, pitch, out)
        else:
            copy_uint16(line, below, width, pitch, out)
    elif halved:
        halve_float32(line, below, width, pitch, out)
    else:
        copy_float32(line, below, width, pitch, out)


@helper
def _load_lines(pixels, item_bytes, frame_cols, height, width, reduction, raw, pitch, lines):
    """float32 pixels, or sums of 2x2 or 4x4, of `height` lines; the padding of a line repeats pixels of it."""
    line_bytes = item_bytes * frame_cols
    upper = address_of(lines)
    lower = upper + 8 * pitch
    for y in range(height):
        line, out = pixels + reduction * y * line_bytes, address_of(raw) + 4 * pitch * y
        if reduction < 4:
            _load_line(line, item_bytes, line_bytes, width, pitch, reduction == 2, out)
        else:
            _load_line(line, item_bytes, line_bytes, 2 * width, padded(2 * width), True, upper)
            _load_line(line + 2 * line_bytes, item_bytes, line_bytes, 2 * width, padded(2 * width), True, lower)
            halve_float32(upper, lower, width, pitch, out)


@helper
def _range_bits(bits, size):
    """Least and greatest of float32 bit patterns as keys in the order of their values, which vectorises."""
    low = np.int32(0x7FFFFFFF)
    high = np.int32(-0x7FFFFFFF)
    mask = np.int32(0x7FFFFFFF)
    for k in range(size):
        key = np.int32(bits[k] ^ (np.int32(bits[k] >> np.int32(31)) & mask))
        low = key if key < low else low
        high = key if key > high else high
    return low, high


@helper
def _range(raw, size, scaling):
    """Least and greatest value; NaN, NaN when one is not finite."""
    low, high = _range_bits(bits_of(raw), size)
    if high >= np.int32(INFINITE_BITS) or low <= np.int32(~INFINITE_BITS):
        return np.nan, np.nan
    mask = np.int32(0x7FFFFFFF)
    bits = bits_of(scaling)
    bits[0] = low ^ (np.int32(low >> np.int32(31)) & mask)
    bits[2] = high ^ (np.int32(high >> np.int32(31)) & mask)
    values = float32_of(scaling)
    return np.float64(values[0]), np.float64(values[2])


@fast_helper
def _quantise(raw, size, middle, scale, levels):
    middle = np.float32(middle)
    scale = np.float32(scale)
    half = np.float32(0.5)
    for k in range(size):
        levels[k] = np.int16(np.int32(np.floor((raw[k] - middle) * scale + half)))


@helper
def load_window(pixels, item_bytes, frame_cols, top, left, height, width, reduction, raw, levels, scaling, lines):
    """Copy the height x width pixels from (top, left) as float32 and as levels of -HALF_RANGE..HALF_RANGE.

    pixels    : address of a frame of uint8, uint16 or float32, told apart by `item_bytes`
    reduction : 1 for the pixels as they are, 2 or 4 for sums of 2x2 or 4x4, whose rounding is not told
    raw       : flat float32, `padded(width)` a line
    levels    : flat int16, the pixels minus the middle of their range, scaled where that does not fit or is not whole
    scaling   : (3,) float64, overwritten: middle, levels per unit of intensity, largest rounding error in levels
    lines     : scratch of 16 bytes times `padded(width)` or more

    Returns False when a pixel is not finite.
    """
    pitch = padded(width)
    first = pixels + item_bytes * (top * frame_cols + left)
    _load_lines(first, item_bytes, frame_cols, height, width, reduction, raw, pitch, lines)
    low, high = _range(raw, height * pitch, scaling)
    if np.isnan(low):
        return False
    integral = item_bytes < 4
    full = (2.0 * HALF_RANGE - 1.0) / (high - low) if high > low else 1.0
    if reduction > 1:
        scaling[0] = np.float64(np.float32(0.5 * (low + high)))
        scaling[1] = full if full < 1.0 or not integral else 1.0
        scaling[2] = 0.0
    elif integral and high - low <= 2 * HALF_RANGE:
        scaling[0] = np.floor(0.5 * (low + high))
        scaling[1] = 1.0
        scaling[2] = 0.0
    else:
        scaling[0] = np.float64(np.float32(0.5 * (low + high)))
        scaling[1] = full
        scaling[2] = 0.51  # half a level and float32's own error
    _quantise(raw, height * pitch, scaling[0], scaling[1], levels)
    return True


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
    """From the sums of the first lines down the columns."""
    region = cols + width - 1
    _slide_across(columns, column_squares, cols, width, part(sums, 0, map_pitch), part(squares, 0, map_pitch))
    for r in range(1, rows):
        come, gone = part(pixels, (r + height - 1) * pitch, region), part(pixels, (r - 1) * pitch, region)
        _slide_line(come, gone, middle, region, columns, column_squares)
        line, line_squares = part(sums, r * map_pitch, map_pitch), part(squares, r * map_pitch, map_pitch)
        _slide_across(columns, column_squares, cols, width, line, line_squares)


@fast_helper
def _add_run(prefix, prefix_squares, start, stop, cols, sums, squares):
    before, after = part(prefix, start, cols), part(prefix, stop, cols)
    before_squares, after_squares = part(prefix_squares, start, cols), part(prefix_squares, stop, cols)
    for c in range(cols):
        sums[c] += after[c] - before[c]
        squares[c] += after_squares[c] - before_squares[c]


@helper
def _run_sums(raw, middle, pitch, rows, cols, height, width, runs, prefix, prefix_squares, sums, squares, map_pitch):
    region = cols + width - 1
    fill(sums, 0, rows * map_pitch, 0.0)
    fill(squares, 0, rows * map_pitch, 0.0)
    for y in range(rows + height - 1):
        prefix[0] = 0.0
        prefix_squares[0] = 0.0
        for x in range(region):
            v = np.float64(raw[y * pitch + x]) - middle
            prefix[x + 1] = prefix[x] + v
            prefix_squares[x + 1] = prefix_squares[x] + v * v
        for k in range(0, runs.size, 3):
            r = y - runs[k]
            if 0 <= r < rows:
                line, line_squares = part(sums, r * map_pitch, cols), part(squares, r * map_pitch, cols)
                _add_run(prefix, prefix_squares, runs[k + 1], runs[k + 2], cols, line, line_squares)


@fast_helper
def _finish(share, scale, size, sums, squares, means, inverses):
    floor = np.float32(FLAT_ENERGY)
    for c in range(size):
        mean = sums[c] * share
        energy = np.float32((squares[c] - mean * sums[c]) * scale * scale)
        means[c] = np.float32(mean * scale)
        inverse = np.float32(1.0) / np.sqrt(max(energy, floor))
        inverses[c] = inverse if energy > floor else np.float32(0.0)


@helper
def patch_statistics(
    raw, levels, scaling, rounded, pitch, rows, cols, height, width, runs, count, lines, means, inverses, map_pitch
):
    """Mean level and 1 / Euclidean norm about it (0 for a flat patch) of the patch at every placement.

    rounded : 1 where statistics of the rounded levels will do
    runs    : flat int64, runs of the mask as row, first column, one past the last column; none: the whole box
    count   : pixels inside the mask
    lines   : flat float64 scratch, 2 * (pitch + 1) + 2 * rows * map_pitch + pitch
    """
    edge = pitch + 1
    map_size = rows * map_pitch
    first, second = part(lines, 0, edge), part(lines, edge, edge)
    sums = part(lines, 2 * edge, map_size)
    squares = part(lines, 2 * edge + map_size, map_size)
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
    _finish(1.0 / count, scale, map_size, sums, squares, means, inverses)


@helper
def pair_lines(levels, lines, pitch, distance, pairs):
    """pairs[y, x] = levels[y, x] and levels[y + distance, x] in one int32, for `lines` lines; all flat."""
    for y in range(lines):
        upper = part(levels, y * pitch, pitch)
        lower = part(levels, (y + distance) * pitch, pitch)
        pair = part(pairs, y * pitch, pitch)
        for x in range(pitch):
            pair[x] = (np.int32(upper[x]) & np.int32(0xFFFF)) | (np.int32(lower[x]) << np.int32(16))


@register_jitable
def padded(columns: int) -> int:
    """Columns rounded up to whole vectors; tiles read a vector past the end of a line, into the next or spare space."""
    return (columns + LANES - 1) // LANES * LANES
