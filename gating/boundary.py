"""The gating boundary: target contour plus a margin per direction, and how much of the target lies outside it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CELLS_PER_PX = 4
"""Sub-pixel resolution of areas: a cell is a sixteenth of a pixel."""

MAX_VERTICES, MAX_ROWS, MAX_CROSSINGS = 4096, 4 * 4096, 2**17
"""Of a contour: its vertices, the rows of cells it spans, the places where they enter or leave it."""
FAR_PX = 1e5
"""No image reaches this far."""


@njit("int64(float32[:, ::1], float64, int64, int32[::1], float64[::1])", cache=True, nogil=True)
def _cross_rows(
    contour: NDArray[np.float32],
    top_px: float,
    first_row: int,
    ends: NDArray[np.int32],
    crossings: NDArray[np.float64],
) -> int:
    """Write down where a contour crosses the centre lines of rows of cells, row by row, each row in no order.

    Twice along the outline: first how often each row is crossed, which gives every row its place, then where.

    ends : (rows,) int32, on return the index in `crossings` after the last one of each row. Returns that of the last
    row, or -1 where there is no room.
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
    "UniTuple(int64, 2)(float32[:, ::1], float64, float64, int32[:, ::1], int32[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _covered_cells(
    contour: NDArray[np.float32],
    left_px: float,
    top_px: float,
    filled: NDArray[np.int32],
    ends: NDArray[np.int32],
    crossings: NDArray[np.float64],
) -> tuple[int, int]:
    """Count the cells whose centres lie in the contour (even-odd rule): in all, and inside the boundary.

    contour : (n, 2) float32 of (x, y), px. left_px, top_px : position of the outer corner of cell [0, 0].
    filled : (rows, columns + 1) int32, running sums of the boundary's cells along each row.
    ends, crossings : work space. None are counted where it is too small, or the contour is far away or not finite.
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
    for k in range(rows):
        for place in range(begin + 1, ends[k]):
            x, at = crossings[place], place
            while at > begin and crossings[at - 1] > x:
                crossings[at] = crossings[at - 1]
                at -= 1
            crossings[at] = x
        row = first_row + k
        for pair in range(begin, ends[k] - 1, 2):
            start = int(np.ceil((crossings[pair] - left_px) * CELLS_PER_PX - 0.5))
            stop = int(np.ceil((crossings[pair + 1] - left_px) * CELLS_PER_PX - 0.5))
            total += stop - start
            if 0 <= row < filled.shape[0]:
                start = min(max(start, 0), filled.shape[1] - 1)
                stop = min(max(stop, 0), filled.shape[1] - 1)
                inside += filled[row, stop] - filled[row, start]
        begin = ends[k]
    return total, inside


class GatingBoundary:
    """Region in which the target may be while the beam is on.

    Parameters
    ----------
    contour_px : (n, 2) of (x, y), the target in the reference frame.
    margins_px : margins towards (-x, +x, -y, +y), px, each 0 or more. Between two directions the margin follows an
        ellipse: the boundary is the Minkowski sum of the target and four quarter ellipses.
    """

    def __init__(self, contour_px: NDArray[np.floating], margins_px: tuple[float, float, float, float]) -> None:
        from scipy.ndimage import binary_dilation

        contour = np.ascontiguousarray(contour_px, dtype=np.float32)
        pad = max(margins_px) + 2
        self._left_px, self._top_px = (float(np.floor(v)) for v in contour.min(axis=0) - pad)
        width_px, height_px = np.ceil(contour.max(axis=0) + pad) - (self._left_px, self._top_px)
        rows, columns = int(height_px) * CELLS_PER_PX, int(width_px) * CELLS_PER_PX
        self._ends, self._crossings = np.empty(MAX_ROWS, np.int32), np.empty(MAX_CROSSINGS, np.float64)
        mask = self._rasterise(contour, rows, columns)
        mask = binary_dilation(mask, _quarter_ellipses(margins_px))
        self._filled = np.zeros((rows, columns + 1), np.int32)
        np.cumsum(mask, axis=1, out=self._filled[:, 1:])
        self.outline_px = self._outline(mask)

    def out_fraction(self, contour_px: NDArray[np.float32]) -> float:
        """Return the fraction of the target's area outside the boundary, 0 to 1; 1 for a contour that has no area.

        Parameters
        ----------
        contour_px : (n, 2) float32, C-contiguous, of (x, y); beyond the limits above, or NaN, it counts as outside.
        """
        if not 3 <= len(contour_px) <= MAX_VERTICES:
            return 1.0
        contour = contour_px
        if contour.dtype != np.float32 or not (contour.flags.c_contiguous and contour.flags.writeable):
            contour = np.array(contour_px, np.float32, order="C")
        total, inside = _covered_cells(contour, self._left_px, self._top_px, self._filled, self._ends, self._crossings)
        return 1.0 - inside / total if total > 0 else 1.0

    def _rasterise(self, contour: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.bool_]:
        from gating.geometry import mask_from_contour

        in_cells = (contour - (self._left_px, self._top_px)) * CELLS_PER_PX - 0.5
        return mask_from_contour(in_cells, (rows, columns))

    def _outline(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        import cv2

        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        longest = cv2.approxPolyDP(max(contours, key=len), 0.75, closed=True).reshape(-1, 2)
        outline: NDArray[np.float32] = ((longest + 0.5) / CELLS_PER_PX + (self._left_px, self._top_px)).astype(
            np.float32
        )
        return outline


def _quarter_ellipses(margins_px: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Structuring element of `scipy.ndimage.binary_dilation` with its own radius in each direction, in cells."""
    reach = int(np.ceil(max(margins_px) * CELLS_PER_PX))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    left, right, up, down = (max(m * CELLS_PER_PX, 0.25) for m in margins_px)
    ellipse: NDArray[np.bool_] = (x / np.where(x < 0, left, right)) ** 2 + (y / np.where(y < 0, up, down)) ** 2 <= 1
    return ellipse
