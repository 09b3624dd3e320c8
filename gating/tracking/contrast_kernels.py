"""The passes of local contrast over a whole frame, each as one loop: smoothing, means of cells, deviations, division.

Sizes are checked by `gating.tracking.local_contrast`, which owns the buffers.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Image = NDArray[np.float32]

TAPS: Final = 5
"""Weights on one side of the smoothing, with the middle: beyond four deviations a Gaussian weighs nothing."""
_FAST = {"contract", "reassoc", "nsz"}


def gaussian_taps(sigma_px: float) -> Image:
    """Return the weights of a Gaussian at 0, 1 ... px from its middle, (TAPS,) float32; all of them sum up to 1."""
    weights = np.exp(-0.5 * (np.arange(TAPS) / sigma_px) ** 2)
    return np.asarray(weights / (2.0 * weights.sum() - weights[0]), np.float32)


@njit("void(float32[:, ::1], float32[::1], float32[::1], float32[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def smooth(image: Image, taps: Image, line: Image, out: Image) -> None:
    """Smooth an image by a symmetric kernel along columns and rows.

    Parameters
    ----------
    image, out : (rows, columns) float32
        At least TAPS a side; mirrored about the outermost pixels.
    taps : (TAPS,) float32
    line : (columns + 2 TAPS - 2,) float32
        Overwritten.
    """
    rows, columns = image.shape
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    last, ahead = rows - 1, TAPS - 1
    middle = line[ahead : ahead + columns]
    l1, l2, l3, l4 = line[3 : columns + 3], line[2 : columns + 2], line[1 : columns + 1], line[:columns]
    r1, r2, r3, r4 = line[5 : columns + 5], line[6 : columns + 6], line[7 : columns + 7], line[8 : columns + 8]
    for r in range(rows):
        here, result = image[r], out[r]
        u1, u2, u3, u4 = image[abs(r - 1)], image[abs(r - 2)], image[abs(r - 3)], image[abs(r - 4)]
        d1, d2 = image[last - abs(last - r - 1)], image[last - abs(last - r - 2)]
        d3, d4 = image[last - abs(last - r - 3)], image[last - abs(last - r - 4)]
        for c in range(columns):
            middle[c] = (
                t0 * here[c] + t1 * (u1[c] + d1[c]) + t2 * (u2[c] + d2[c]) + t3 * (u3[c] + d3[c]) + t4 * (u4[c] + d4[c])
            )
        for j in range(1, TAPS):
            line[ahead - j] = line[ahead + j]
            line[ahead + columns - 1 + j] = line[ahead + columns - 1 - j]
        for c in range(columns):
            result[c] = (
                t0 * middle[c]
                + t1 * (l1[c] + r1[c])
                + t2 * (l2[c] + r2[c])
                + t3 * (l3[c] + r3[c])
                + t4 * (l4[c] + r4[c])
            )


@register_jitable
def _sums(line: Image, side: int, weight: Any, out: Image) -> None:
    """Write weighted sums of `side` neighbours; the usual numbers as loops that LLVM can see through."""
    if side == 1:
        for c in range(out.size):
            out[c] = weight * line[c]
    elif side == 2:
        for c in range(out.size):
            out[c] = weight * (line[2 * c] + line[2 * c + 1])
    elif side == 4:
        for c in range(out.size):
            out[c] = weight * (line[4 * c] + line[4 * c + 1] + line[4 * c + 2] + line[4 * c + 3])
    else:
        for c in range(out.size):
            total: np.float32 = np.float32(0.0)
            for j in range(side):
                total += line[c * side + j]
            out[c] = weight * total


@njit("void(float32[:, ::1], int64, float32[::1], float32[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def block_means(image: Image, side: int, line: Image, means: Image) -> None:
    """Write the mean of an image over blocks of `side` pixels a side.

    Parameters
    ----------
    image : (rows, columns) float32
        What fills no block at its lower and right edge does not count.
    line : (columns,) float32
        Overwritten.
    means : (rows // side, columns // side) float32
    """
    weight = np.float32(1.0 / (side * side))
    width = means.shape[1] * side
    for r in range(means.shape[0]):
        first = image[r * side]
        for c in range(width):
            line[c] = first[c]
        for j in range(1, side):
            pixels = image[r * side + j]
            for c in range(width):
                line[c] += pixels[c]
        _sums(line, side, weight, means[r])


@njit(
    "void(float32[:, ::1], float32, int64, float32[:, ::1], float32[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    fastmath=_FAST,
)
def cell_means(image: Image, offset: Any, side: int, lines: Image, values: Image, squares: Image) -> None:
    """Write the mean of an image minus an offset, and of its square, over cells of `side` pixels a side.

    Parameters
    ----------
    image : (rows, columns) float32
        Mirrored at its lower and right edge where it does not fill the last cells.
    offset : float32
        Without it, the squares of an image of large values would lose their precision.
    lines : (2, side times columns of the cells) float32
        Overwritten.
    values, squares : (rows of cells, columns of cells) float32
    """
    rows, columns = image.shape
    line, squared = lines[0], lines[1]
    weight = np.float32(1.0 / (side * side))
    for r in range(values.shape[0]):
        for c in range(columns):
            line[c] = squared[c] = np.float32(0.0)
        for j in range(side):
            at = r * side + j
            pixels = image[at if at < rows else 2 * rows - 1 - at]
            for c in range(columns):
                value = pixels[c] - offset
                line[c] += value
                squared[c] += value * value
        for c in range(columns, line.size):
            line[c], squared[c] = line[2 * columns - 1 - c], squared[2 * columns - 1 - c]
        _sums(line, side, weight, values[r])
        _sums(squared, side, weight, squares[r])


@njit("void(float32[:, ::1], float32[:, ::1], float64)", cache=True, nogil=True, fastmath=_FAST)
def deviations(means: Image, squares: Image, least: float) -> None:
    """Replace means of squares by standard deviations; the square of `least` of the mean one is added to each."""
    total = 0.0
    for r in range(means.shape[0]):
        mean, square = means[r], squares[r]
        for c in range(mean.size):
            square[c] = max(square[c] - mean[c] * mean[c], np.float32(0.0))
            total += square[c]
    floor = np.float32(max(least * least * total / squares.size, 1e-12))
    for r in range(means.shape[0]):
        square = squares[r]
        for c in range(square.size):
            square[c] = math.sqrt(square[c] + floor)


@register_jitable
def _between_cells(cells: Image, row: float, side: int, line: Image, out: Image) -> None:
    """Write a row of a map of cells on the full grid, linear between their middles; `out` has room for whole cells."""
    last, columns = cells.shape[0] - 1, cells.shape[1]
    upper = min(max(math.floor(row), 0), last)
    share = np.float32(min(max(row - upper, 0.0), 1.0))
    above, below = cells[upper], cells[min(upper + 1, last)]
    for c in range(columns):
        line[c + 1] = above[c] + share * (below[c] - above[c])
    line[0], line[columns + 1] = line[1], line[columns]
    if side == 2:
        for c in range(columns):
            here = np.float32(0.75) * line[c + 1]
            out[2 * c] = here + np.float32(0.25) * line[c]
            out[2 * c + 1] = here + np.float32(0.25) * line[c + 2]
    elif side == 4:
        for c in range(columns):
            before, here, after = line[c], line[c + 1], line[c + 2]
            out[4 * c] = np.float32(0.375) * before + np.float32(0.625) * here
            out[4 * c + 1] = np.float32(0.125) * before + np.float32(0.875) * here
            out[4 * c + 2] = np.float32(0.875) * here + np.float32(0.125) * after
            out[4 * c + 3] = np.float32(0.625) * here + np.float32(0.375) * after
    else:
        for c in range(columns):
            for j in range(side):
                at = (j + 0.5) / side - 0.5
                other = line[c] if at < 0.0 else line[c + 2]
                out[c * side + j] = line[c + 1] + np.float32(abs(at)) * (other - line[c + 1])


@njit(
    "void(float32[:, ::1], float32, int64, float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    fastmath=_FAST,
    error_model="numpy",
)
def divide(image: Image, offset: Any, side: int, means: Image, spreads: Image, lines: Image, out: Image) -> None:
    """Write an image, minus an offset and the mean around each pixel, divided by the deviation there.

    Parameters
    ----------
    image, out : (rows, columns) float32
    offset : float32
        As for `cell_means`.
    side : int
        Pixels a side of a cell.
    means, spreads : (rows of cells, columns of cells) float32
        Linear between the middles of the cells. Deviations are above 0.
    lines : (3, side times columns of cells, or 2 more than these) float32
        Overwritten.
    """
    for r in range(image.shape[0]):
        pixels, result, mean, deviation = image[r], out[r], lines[0], lines[1]
        if side == 1:
            mean, deviation = means[r], spreads[r]
        else:
            row = (r + 0.5) / side - 0.5
            _between_cells(means, row, side, lines[2], mean)
            _between_cells(spreads, row, side, lines[2], deviation)
        for c in range(pixels.size):
            result[c] = (pixels[c] - offset - mean[c]) / deviation[c]
