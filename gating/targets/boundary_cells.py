"""Counts how much of a contour lies in a region, in cells of a sixteenth of a pixel. Compiled code."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gating.geometry.contours import CELLS_PER_PX

FAR_PX = 1e5
"""Larger than any image."""


@njit("int64(float32[:, ::1], float64, int64, int32[::1], float64[::1])", cache=True, nogil=True)
def _cross_rows(
    contour: NDArray[np.float32],
    top_px: float,
    first_row: int,
    ends: NDArray[np.int32],
    crossings: NDArray[np.float64],
) -> int:
    """Find where a contour crosses the centre lines of rows of cells.

    The outline is followed twice: first to count the crossings of each row, which gives each row its place in
    `crossings`, then to store them. Those of one row are in no order.

    Parameters
    ----------
    contour
        Array (n, 2) of (x, y), px.
    top_px
        Upper edge of row 0.
    first_row
        Number of the first row, to which `ends[0]` belongs.
    ends
        Array (rows,). On return, the index in `crossings` after the last crossing of each row.
    crossings
        On return, the x of every crossing, row by row.

    Returns
    -------
    int
        Number of crossings, or -1 if `crossings` is too small.
    """
    n, rows = contour.shape[0], ends.shape[0]
    ends[:] = 0
    for fill in range(2):
        j = n - 1
        for i in range(n):
            x0, y0, x1, y1 = contour[j, 0], contour[j, 1], contour[i, 0], contour[i, 1]
            first = int(np.ceil((min(y0, y1) - top_px) * CELLS_PER_PX - 0.5)) - first_row
            last = int(np.ceil((max(y0, y1) - top_px) * CELLS_PER_PX - 0.5)) - first_row
            for row in range(first, last):
                if fill:
                    y = top_px + (first_row + row + 0.5) / CELLS_PER_PX
                    crossings[ends[row]] = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                ends[row] += 1
            j = i
        if not fill:
            begin = 0
            for row in range(rows):
                begin, ends[row] = begin + ends[row], begin
            if begin > crossings.shape[0]:
                return -1
    return int(ends[rows - 1])


@njit(
    "UniTuple(int64, 2)(float32[:, ::1], float64, float64, int64[:, ::1], int32[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def covered_cells(
    contour: NDArray[np.float32],
    left_px: float,
    top_px: float,
    runs: NDArray[np.int64],
    ends: NDArray[np.int32],
    crossings: NDArray[np.float64],
) -> tuple[int, int]:
    """Count the cells whose centres lie in a contour (even-odd rule), in all and inside the boundary.

    Parameters
    ----------
    contour
        Array (n, 2) of (x, y), px.
    left_px, top_px
        Position of the outer corner of cell [0, 0].
    runs
        Array (n, 3) of the boundary's cells, sorted by row: row, first column, one past the last column.
    ends, crossings
        Work space.

    Returns
    -------
    tuple of int
        Both counts; each is 0 if the work space is too small, or the contour is far away or not finite.
    """
    low, high = np.inf, -np.inf
    for i in range(contour.shape[0]):
        x, y = contour[i, 0], contour[i, 1]
        if not (abs(x) < FAR_PX and abs(y) < FAR_PX):
            return 0, 0
        low, high = min(low, y), max(high, y)
    first_row = int(np.floor((low - top_px) * CELLS_PER_PX))
    rows = int(np.ceil((high - top_px) * CELLS_PER_PX)) - first_row + 1
    if rows > ends.shape[0] or _cross_rows(contour, top_px, first_row, ends[:rows], crossings) < 0:
        return 0, 0
    total = 0
    inside = 0
    begin = 0
    run = 0
    for k in range(rows):
        for place in range(begin + 1, ends[k]):
            x, at = crossings[place], place
            while at > begin and crossings[at - 1] > x:
                crossings[at] = crossings[at - 1]
                at -= 1
            crossings[at] = x
        row = first_row + k
        while run < runs.shape[0] and runs[run, 0] < row:
            run += 1
        for pair in range(begin, ends[k] - 1, 2):
            start = int(np.ceil((crossings[pair] - left_px) * CELLS_PER_PX - 0.5))
            stop = int(np.ceil((crossings[pair + 1] - left_px) * CELLS_PER_PX - 0.5))
            total += stop - start
            of_row = run
            while of_row < runs.shape[0] and runs[of_row, 0] == row:
                inside += max(0, min(stop, runs[of_row, 2]) - max(start, runs[of_row, 1]))
                of_row += 1
        begin = ends[k]
    return total, inside
