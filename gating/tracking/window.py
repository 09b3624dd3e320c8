"""A search window made ready for correlation: levels, and the mean and contrast of the patch at every placement."""

from __future__ import annotations

import numpy as np
from numba import njit

from gating.tracking.intrinsics import LANES, address_of, halve_float32, halve_uint8, halve_uint16

HALF_RANGE = 2047
"""Largest level: 16 times it still fits int16, so that 4x4 sums of levels are exact."""
FLAT_ENERGY = 1e-3
"""Squared levels. A patch with less energy is flat: its contrast is below float32's resolution of the window."""

INFINITE_BITS = 0x7F800000

_FAST = {"contract", "reassoc", "nsz"}


@njit(nogil=True, cache=True)
def _range_of_integers(pixels, top, left, height, width):
    low = pixels[top, left]
    high = low
    for y in range(top, top + height):
        line = pixels[y, left : left + width]
        for x in range(width):
            low = min(low, line[x])
            high = max(high, line[x])
    return np.float64(low), np.float64(high)


@njit(nogil=True, cache=True)
def _range_of_floats(pixels, top, left, height, width, scaling):
    """Range by the order of the bit patterns, which vectorises and finds NaN and infinity on the way (as NaN, NaN)."""
    low = np.int32(0x7FFFFFFF)
    high = np.int32(-0x7FFFFFFF)
    mask = np.int32(0x7FFFFFFF)
    for y in range(top, top + height):
        line = pixels[y, left : left + width].view(np.int32)
        for x in range(line.size):
            bits = line[x]
            key = np.int32(bits ^ (np.int32(bits >> np.int32(31)) & mask))
            low = min(low, key)
            high = max(high, key)
    if high >= np.int32(INFINITE_BITS) or low <= np.int32(~INFINITE_BITS):
        return np.nan, np.nan
    bits_of = scaling[:1].view(np.int32)
    bits_of[0] = low ^ (np.int32(low >> np.int32(31)) & mask)
    bits_of[1] = high ^ (np.int32(high >> np.int32(31)) & mask)
    values = scaling[:1].view(np.float32)
    return np.float64(values[0]), np.float64(values[1])


@njit(nogil=True, cache=True, fastmath=_FAST)
def _fill(pixels, top, left, height, width, middle, scale, raw, levels, pitch):
    middle = np.float32(middle)
    scale = np.float32(scale)
    half = np.float32(0.5)
    for y in range(height):
        line = pixels[top + y, left : left + width]
        value = raw[y * pitch : y * pitch + width]
        level = levels[y * pitch : y * pitch + width]
        for x in range(width):
            v = np.float32(line[x])
            value[x] = v
            level[x] = np.int16(np.int32(np.floor((v - middle) * scale + half)))


@njit(nogil=True, cache=True)
def load_window(pixels, top, left, height, width, integral, raw, levels, scaling):
    """Copy pixels[top:top + height, left:left + width] as float32 and as levels of -HALF_RANGE..HALF_RANGE.

    pixels  : (H, W) uint8, uint16 or float32
    raw     : flat float32, `padded(width)` a line, the pixels as they are
    levels  : flat int16, the pixels minus the middle of their range, scaled where that does not fit or is not whole
    scaling : (3,) float64, overwritten: middle, levels per unit of intensity, largest rounding error in levels

    Returns False when a pixel is not finite.
    """
    if integral:
        low, high = _range_of_integers(pixels, top, left, height, width)
    else:
        low, high = _range_of_floats(pixels, top, left, height, width, scaling)
        if np.isnan(low):
            return False
    scaling[0] = np.floor(0.5 * (low + high))
    scaling[1] = 1.0
    scaling[2] = 0.0
    if not integral or high - low > 2 * HALF_RANGE:
        scaling[0] = np.float64(np.float32(0.5 * (low + high)))
        scaling[1] = (2.0 * HALF_RANGE - 1.0) / (high - low) if high > low else 1.0
        scaling[2] = 0.51  # half a level and float32's own error
    _fill(pixels, top, left, height, width, scaling[0], scaling[1], raw, levels, padded(width))
    return True


@njit(nogil=True, cache=True, fastmath=_FAST)
def _quantise(raw, size, middle, scale, levels):
    middle = np.float32(middle)
    scale = np.float32(scale)
    half = np.float32(0.5)
    for k in range(size):
        levels[k] = np.int16(np.int32(np.floor((raw[k] - middle) * scale + half)))


@njit(nogil=True, cache=True)
def _halve_line(upper, lower, width, out):
    if width < LANES:
        for x in range(width):
            k = 2 * x
            out[x] = np.float32(upper[k]) + np.float32(lower[k]) + (np.float32(upper[k + 1]) + np.float32(lower[k + 1]))
    elif upper.itemsize == 1:
        halve_uint8(address_of(upper), address_of(lower), width, address_of(out))
    elif upper.itemsize == 2:
        halve_uint16(address_of(upper), address_of(lower), width, address_of(out))
    else:
        halve_float32(address_of(upper), address_of(lower), width, address_of(out))


@njit(nogil=True, cache=True)
def load_halved(pixels, top, left, height, width, integral, raw, levels, scaling):
    """As `load_window` at half the resolution: height x width sums of 2x2 pixels, whose rounding is not told."""
    pitch = padded(width)
    for y in range(height):
        upper = pixels[top + 2 * y, left : left + 2 * width]
        lower = pixels[top + 2 * y + 1, left : left + 2 * width]
        _halve_line(upper, lower, width, raw[y * pitch : y * pitch + width])
    sums = raw[: height * pitch].reshape(height, pitch)
    low, high = _range_of_floats(sums, 0, 0, height, width, scaling)
    if np.isnan(low):
        return False
    full = (2.0 * HALF_RANGE - 1.0) / (high - low) if high > low else 1.0
    scaling[0] = np.float64(np.float32(0.5 * (low + high)))
    scaling[1] = min(full, 1.0) if integral else full
    scaling[2] = 0.0
    _quantise(raw, height * pitch, scaling[0], scaling[1], levels)
    return True


@njit(nogil=True, cache=True, fastmath=_FAST)
def _add_line(line, middle, width, sums, squares):
    for x in range(width):
        v = np.float64(line[x]) - middle
        sums[x] += v
        squares[x] += v * v


@njit(nogil=True, cache=True, fastmath=_FAST)
def _slide_line(come, gone, middle, width, sums, squares):
    for x in range(width):
        new = np.float64(come[x]) - middle
        old = np.float64(gone[x]) - middle
        sums[x] += new - old
        squares[x] += new * new - old * old


@njit(nogil=True, cache=True, fastmath=_FAST)
def _first_sums(columns, column_squares, width):
    total = 0.0
    square = 0.0
    for x in range(width):
        total += columns[x]
        square += column_squares[x]
    return total, square


@njit(nogil=True, cache=True)
def _slide_across(columns, column_squares, cols, width, sums, squares):
    total, square = _first_sums(columns, column_squares, width)
    sums[0] = total
    squares[0] = square
    for c in range(1, cols):
        total += columns[c + width - 1] - columns[c - 1]
        square += column_squares[c + width - 1] - column_squares[c - 1]
        sums[c] = total
        squares[c] = square
    for c in range(cols, sums.size):
        sums[c] = 0.0
        squares[c] = 0.0


@njit(nogil=True, cache=True)
def _box_sums(raw, middle, pitch, rows, cols, height, width, columns, column_squares, sums, squares, map_pitch):
    region = cols + width - 1
    columns[:region] = 0.0
    column_squares[:region] = 0.0
    for y in range(height):
        _add_line(raw[y * pitch : y * pitch + region], middle, region, columns, column_squares)
    _slide_across(columns, column_squares, cols, width, sums[:map_pitch], squares[:map_pitch])
    for r in range(1, rows):
        come, gone = (r + height - 1) * pitch, (r - 1) * pitch
        _slide_line(raw[come : come + region], raw[gone : gone + region], middle, region, columns, column_squares)
        at = r * map_pitch
        _slide_across(columns, column_squares, cols, width, sums[at : at + map_pitch], squares[at : at + map_pitch])


@njit(nogil=True, cache=True, fastmath=_FAST)
def _add_run(prefix, prefix_squares, start, stop, cols, sums, squares):
    before, after = prefix[start : start + cols], prefix[stop : stop + cols]
    before_squares, after_squares = prefix_squares[start : start + cols], prefix_squares[stop : stop + cols]
    for c in range(cols):
        sums[c] += after[c] - before[c]
        squares[c] += after_squares[c] - before_squares[c]


@njit(nogil=True, cache=True)
def _run_sums(raw, middle, pitch, rows, cols, height, width, runs, prefix, prefix_squares, sums, squares, map_pitch):
    region = cols + width - 1
    for r in range(rows):
        sums[r * map_pitch : (r + 1) * map_pitch] = 0.0
        squares[r * map_pitch : (r + 1) * map_pitch] = 0.0
    for y in range(rows + height - 1):
        prefix[0] = 0.0
        prefix_squares[0] = 0.0
        for x in range(region):
            v = np.float64(raw[y * pitch + x]) - middle
            prefix[x + 1] = prefix[x] + v
            prefix_squares[x + 1] = prefix_squares[x] + v * v
        for k in range(runs.shape[0]):
            r = y - runs[k, 0]
            if 0 <= r < rows:
                line = slice(r * map_pitch, r * map_pitch + cols)
                _add_run(prefix, prefix_squares, runs[k, 1], runs[k, 2], cols, sums[line], squares[line])


@njit(nogil=True, cache=True, fastmath=_FAST)
def _finish(share, scale, size, sums, squares, means, inverses):
    floor = np.float32(FLAT_ENERGY)
    for c in range(size):
        mean = sums[c] * share
        energy = np.float32((squares[c] - mean * sums[c]) * scale * scale)
        means[c] = np.float32(mean * scale)
        inverse = np.float32(1.0) / np.sqrt(max(energy, floor))
        inverses[c] = inverse if energy > floor else np.float32(0.0)


@njit(nogil=True, cache=True)
def patch_statistics(raw, scaling, pitch, rows, cols, height, width, runs, count, lines, means, inverses, map_pitch):
    """Mean level and 1 / Euclidean norm about it (0 for a flat patch) of the patch at every placement.

    runs  : (k, 3) int64, runs of the mask as row, first column, one past the last column; none: the whole box
    count : pixels inside the mask
    lines : flat float64 scratch, 2 * (pitch + 1) + 2 * rows * map_pitch
    """
    edge = pitch + 1
    map_size = rows * map_pitch
    first, second = lines[:edge], lines[edge : 2 * edge]
    sums = lines[2 * edge : 2 * edge + map_size]
    squares = lines[2 * edge + map_size : 2 * edge + 2 * map_size]
    middle, scale = scaling[0], scaling[1]
    if runs.shape[0] == 0:
        _box_sums(raw, middle, pitch, rows, cols, height, width, first, second, sums, squares, map_pitch)
    else:
        _run_sums(raw, middle, pitch, rows, cols, height, width, runs, first, second, sums, squares, map_pitch)
    _finish(1.0 / count, scale, map_size, sums, squares, means, inverses)


@njit(nogil=True, cache=True)
def pair_lines(levels, lines, pitch, distance, pairs):
    """pairs[y, x] = levels[y, x] and levels[y + distance, x] in one int32, for `lines` lines; all flat."""
    for y in range(lines):
        upper = levels[y * pitch : (y + 1) * pitch]
        lower = levels[(y + distance) * pitch : (y + distance + 1) * pitch]
        pair = pairs[y * pitch : (y + 1) * pitch]
        for x in range(pitch):
            pair[x] = (np.int32(upper[x]) & np.int32(0xFFFF)) | (np.int32(lower[x]) << np.int32(16))


@njit(nogil=True, cache=True)
def padded(columns):
    """Columns rounded up to whole vectors; tiles read a vector past the end of a line, into the next or spare space."""
    return (columns + LANES - 1) // LANES * LANES
