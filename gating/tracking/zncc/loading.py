"""A search window as float32 and as int16 levels, from frames of every type."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import LEVELS_AT, LINES_AT, RAW_AT, SCALING_AT
from gating.tracking.zncc.intrinsics import address_of, padded
from gating.tracking.zncc.memory import (  # fmt: skip
    bits_of,
    copy_float32,
    copy_uint8,
    copy_uint16,
    fast_helper,
    float32_of,
    floats_of,
    halve_float32,
    halve_uint8,
    halve_uint16,
    helper,
    reals_of,
    shorts_of,
)

HALF_RANGE = 2047
"""Largest level: 16 times it still fits int16, so that 4x4 sums of levels are exact."""
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
    """Least and greatest of float32 bit patterns, as keys in the order of their values: this loop vectorises."""
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
    """Least and greatest value; NaN, NaN if one is not finite."""
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

    Parameters
    ----------
    pixels : address of a frame of uint8, uint16 or float32, which `item_bytes` tells apart
    reduction : 1 for the pixels as they are, 2 or 4 for sums of 2x2 or 4x4, whose rounding error is not stated
    raw : flat, float32, `padded(width)` a line
    levels : flat, int16, the pixels minus the middle of their range, scaled if that does not fit or is not whole
    scaling : (3,), float64, overwritten: middle, levels per unit of intensity, largest rounding error in levels
    lines : work space of 16 bytes times `padded(width)` or more

    Returns
    -------
    False if a pixel is not finite.
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


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _load(pixels, item_bytes, frame_cols, top, left, height, width, reduction, block_at):
    """Load height x width pixels (or sums of 2x2 or 4x4) from (top, left) of the frame at an address."""
    raw, levels, scaling = floats_of(block_at, RAW_AT), shorts_of(block_at, LEVELS_AT), reals_of(block_at, SCALING_AT)
    lines = reals_of(block_at, LINES_AT)
    return load_window(pixels, item_bytes, frame_cols, top, left, height, width, reduction, raw, levels, scaling, lines)


llvm.add_symbol("cinegate_load", _load.address)
