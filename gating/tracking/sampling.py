"""A picture seen at the moved places of a template: the motion itself, bilinear values, and their score."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]

_FAST = {"contract", "reassoc", "nsz"}


@njit("void(float32[:, ::1], float64[:, ::1], float32[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def displace(basis: Image, coefficients: Array, motion: Image) -> None:
    """Write the motion of every place, px: (K, n) functions times (K, 2) coefficients, to rows 0 and 1 of `motion`."""
    x, y = motion[0], motion[1]
    x[:] = 0.0
    y[:] = 0.0
    for k in range(basis.shape[0]):
        function = basis[k]
        in_x, in_y = np.float32(coefficients[k, 0]), np.float32(coefficients[k, 1])
        for i in range(x.size):
            x[i] += in_x * function[i]
            y[i] += in_y * function[i]


@register_jitable
def is_inside(image: Image, x: float, y: float) -> bool:
    """Return whether an image shows a place; NaN is nowhere."""
    height, width = image.shape
    return x >= 0.0 and y >= 0.0 and x <= width - 1 and y <= height - 1


@register_jitable
def between(image: Image, x: Any, y: Any) -> Any:
    """Return the bilinear value of an image at a place inside it."""
    height, width = image.shape
    column, row = min(int(x), width - 2), min(int(y), height - 2)
    right, down = x - np.float32(column), y - np.float32(row)
    upper = image[row, column] + right * (image[row, column + 1] - image[row, column])
    lower = image[row + 1, column] + right * (image[row + 1, column + 1] - image[row + 1, column])
    return upper + down * (lower - upper)


@njit("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])", cache=True, nogil=True, fastmath=_FAST)
def sample(image: Image, places: Image, motion: Image, values: Image) -> None:
    """Write the bilinear value of an image at every place + motion; beyond its border `values` keeps what it has."""
    for i in range(places.shape[1]):
        x, y = places[0, i] + motion[0, i], places[1, i] + motion[1, i]
        if is_inside(image, x, y):
            values[i] = between(image, x, y)


@njit("UniTuple(float64, 2)(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])", cache=True, nogil=True)
def score_at(image: Image, places: Image, motion: Image, values: Image) -> tuple[float, float]:
    """ZNCC between `values` and an image at places + motion, and the share of the places that the image shows.

    Parameters
    ----------
    image : (rows, columns) float32; interpolated bilinearly
    places : (2, n) float32, x and y
    motion : (2 or more, n) float32, x and y in its first two rows
    values : (n,) float32

    Returns
    -------
    ZNCC over the places inside the image, 0 where either side is flat; and their share.
    """
    seen = 0
    ours = 0.0
    theirs = 0.0
    ours_squared = 0.0
    theirs_squared = 0.0
    product = 0.0
    for i in range(values.size):
        x, y = places[0, i] + motion[0, i], places[1, i] + motion[1, i]
        if is_inside(image, x, y):
            value = np.float64(between(image, x, y))
            own = np.float64(values[i])
            seen += 1
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
