"""A picture seen at the moved places of a template: the motion itself, bilinear values, and their score.

A place costs four pixels from anywhere in the image, which no vector instruction reads fast. So every pass over the
places is taken apart: indices, in vectors; two pairs of neighbouring pixels, one by one; and what is made of them, in
vectors again.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]

WORK_ROWS: Final = 8
"""Rows of a template's work: motion in x and y, the image there, whether it is there, and two for each pair."""
SEEN, INSIDE, UPPER, LOWER = 2, 3, 4, 6
CHUNK: Final = 4
"""Functions that are summed in one loop: with more, LLVM gives up proving that the rows do not overlap."""
_FAST = {"contract", "reassoc", "nsz"}


def work_for(places: int) -> Image:
    """Return the work of a template with so many places."""
    return np.zeros((WORK_ROWS, places), np.float32)


@register_jitable
def _displace_by(basis: Image, coefficients: Array, k: int, x: Image, y: Image) -> None:
    """Add `CHUNK` functions from the k-th on."""
    f0, f1, f2, f3 = basis[k], basis[k + 1], basis[k + 2], basis[k + 3]
    x0, x1 = np.float32(coefficients[k, 0]), np.float32(coefficients[k + 1, 0])
    x2, x3 = np.float32(coefficients[k + 2, 0]), np.float32(coefficients[k + 3, 0])
    y0, y1 = np.float32(coefficients[k, 1]), np.float32(coefficients[k + 1, 1])
    y2, y3 = np.float32(coefficients[k + 2, 1]), np.float32(coefficients[k + 3, 1])
    for i in range(x.size):
        x[i] += x0 * f0[i] + x1 * f1[i] + x2 * f2[i] + x3 * f3[i]
        y[i] += y0 * f0[i] + y1 * f1[i] + y2 * f2[i] + y3 * f3[i]


@njit("void(float32[:, ::1], float64[:, ::1], float32[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def displace(basis: Image, coefficients: Array, motion: Image) -> None:
    """Write the motion of every place, px: (K, n) functions times (K, 2) coefficients, to rows 0 and 1 of `motion`."""
    x, y = motion[0], motion[1]
    x[:] = 0.0
    y[:] = 0.0
    count = basis.shape[0]
    whole = count - count % CHUNK
    for k in range(0, whole, CHUNK):
        _displace_by(basis, coefficients, k, x, y)
    for k in range(whole, count):
        function = basis[k]
        in_x, in_y = np.float32(coefficients[k, 0]), np.float32(coefficients[k, 1])
        for i in range(x.size):
            x[i] += in_x * function[i]
            y[i] += in_y * function[i]


@register_jitable
def is_inside(image: Image, x: Any, y: Any) -> Any:
    """Return whether an image shows a place; NaN is nowhere."""
    right, bottom = np.float32(image.shape[1] - 1), np.float32(image.shape[0] - 1)
    return (x >= np.float32(0.0)) & (y >= np.float32(0.0)) & (x <= right) & (y <= bottom)


def _pair_copier(typing_context: Any, image: Any, at: Any, pairs: Any, to: Any) -> Any:
    """Copy two neighbours of a flat image, from index `at`, to index `to` of another, at once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        two = ir.IntType(64).as_pointer()
        source, target = (
            context.make_array(signature.args[one])(context, builder, arguments[one]).data for one in (0, 2)
        )
        values = builder.load(builder.bitcast(builder.gep(source, [arguments[1]]), two), align=4)
        builder.store(values, builder.bitcast(builder.gep(target, [arguments[3]]), two), align=4)
        return context.get_dummy_value()

    return types.void(image, types.intp, pairs, types.intp), generate


_copy_pair: Any = intrinsic(_pair_copier)


@register_jitable
def _gather(image: Image, places: Image, work: Image) -> None:
    """Fetch the four pixels around every place + motion; the first ones of the image where it has left the image."""
    x_px, y_px, x_by, y_by = places[0], places[1], work[0], work[1]
    indices = work[INSIDE].view(np.int32)
    columns = np.int32(image.shape[1])
    last_column, last_row = columns - np.int32(2), np.int32(image.shape[0] - 2)
    for i in range(x_px.size):
        x, y = x_px[i] + x_by[i], y_px[i] + y_by[i]
        inside = is_inside(image, x, y)
        x = x if inside else np.float32(0.0)
        y = y if inside else np.float32(0.0)
        indices[i] = min(np.int32(y), last_row) * columns + min(np.int32(x), last_column)
    pixels, size = image.reshape(image.size), 2 * x_px.size
    upper, lower = work[UPPER:LOWER].reshape(size), work[LOWER:].reshape(size)
    for i in range(x_px.size):
        at = np.intp(indices[i])
        _copy_pair(pixels, at, upper, 2 * i)
        _copy_pair(pixels, at + image.shape[1], lower, 2 * i)


@register_jitable
def look(image: Image, places: Image, work: Image) -> int:
    """Write the bilinear value of an image at every place + motion to row `SEEN` of `work`, 0 beyond its border.

    Row `INSIDE` has 1 for every place that the image shows, otherwise 0. Returns their number.
    """
    _gather(image, places, work)
    x_px, y_px, x_by, y_by, seen, inside = places[0], places[1], work[0], work[1], work[SEEN], work[INSIDE]
    upper, lower = work[UPPER:LOWER].reshape(2 * seen.size), work[LOWER:].reshape(2 * seen.size)
    last_column, last_row = np.int32(image.shape[1] - 2), np.int32(image.shape[0] - 2)
    for i in range(seen.size):
        x, y = x_px[i] + x_by[i], y_px[i] + y_by[i]
        right, down = x - np.float32(min(np.int32(x), last_column)), y - np.float32(min(np.int32(y), last_row))
        above = upper[2 * i] + right * (upper[2 * i + 1] - upper[2 * i])
        below = lower[2 * i] + right * (lower[2 * i + 1] - lower[2 * i])
        value = above + down * (below - above)
        seen[i] = value if is_inside(image, x, y) else np.float32(0.0)
    count: np.float32 = np.float32(0.0)
    for i in range(seen.size):
        is_there = is_inside(image, x_px[i] + x_by[i], y_px[i] + y_by[i])
        inside[i] = np.float32(1.0) if is_there else np.float32(0.0)
        count += inside[i]
    return int(count)


@njit("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])", cache=True, nogil=True, fastmath=_FAST)
def sample(image: Image, places: Image, work: Image, values: Image) -> None:
    """Write the bilinear value of an image at every place + motion; beyond its border `values` keeps what it has."""
    look(image, places, work)
    seen, inside = work[SEEN], work[INSIDE]
    for i in range(values.size):
        if inside[i] > np.float32(0.0):
            values[i] = seen[i]


@njit(
    "UniTuple(float64, 2)(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])",
    cache=True,
    nogil=True,
    fastmath=_FAST,
)
def score_at(image: Image, places: Image, work: Image, values: Image) -> tuple[float, float]:
    """ZNCC between `values` and an image at places + motion, and the share of the places that the image shows.

    Parameters
    ----------
    image : (rows, columns) float32; interpolated bilinearly
    places : (2, n) float32, x and y
    work : (WORK_ROWS, n) float32
        The motion in its first two rows; the others are overwritten.
    values : (n,) float32

    Returns
    -------
    ZNCC over the places inside the image, 0 where either side is flat; and their share.
    """
    seen = look(image, places, work)
    there, inside = work[SEEN], work[INSIDE]
    ours = 0.0
    theirs = 0.0
    ours_squared = 0.0
    theirs_squared = 0.0
    product = 0.0
    for i in range(values.size):
        own, value = np.float64(values[i] * inside[i]), np.float64(there[i])
        ours += own
        theirs += value
        ours_squared += own * own
        theirs_squared += value * value
        product += own * value
    if seen == 0:
        return 0.0, 0.0
    spread = ours_squared - ours * ours / seen
    other_spread = theirs_squared - theirs * theirs / seen
    share = seen / values.size
    if not (spread > 1e-9 * ours_squared and other_spread > 1e-9 * theirs_squared):
        return 0.0, share
    return (product - ours * theirs / seen) / math.sqrt(spread * other_spread), share
