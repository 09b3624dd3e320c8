"""The gating boundary: the target contour plus a margin in each direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import CELLS_PER_PX, mask_from_contour, runs_of_mask

MAX_VERTICES, MAX_ROWS, MAX_CROSSINGS = 4096, 4 * 4096, 2**17
"""Largest numbers for a contour: its vertices, the rows of cells it spans, and its crossings of their centre lines."""


class GatingBoundary:
    """The region in which the target may be while the beam is on.

    Parameters
    ----------
    contour_px
        Array (n, 2) of (x, y): the target in the reference frame.
    margins_px
        Margins towards -x, +x, -y and +y, each 0 or more. Between two directions the margin follows an ellipse: the
        boundary is the Minkowski sum of the target and four quarter ellipses.
    """

    def __init__(self, contour_px: NDArray[np.floating], margins_px: tuple[float, float, float, float]) -> None:
        # It compiles on import, so not before `gating.tracking.zncc.stages` has started.
        from gating.targets.boundary_cells import covered_cells

        self._covered_cells = covered_cells
        contour = np.ascontiguousarray(contour_px, dtype=np.float32)
        pad = max(margins_px) + 2
        self._left_px, self._top_px = (float(np.floor(v)) for v in contour.min(axis=0) - pad)
        width_px, height_px = np.ceil(contour.max(axis=0) + pad) - (self._left_px, self._top_px)
        rows, columns = int(height_px) * CELLS_PER_PX, int(width_px) * CELLS_PER_PX
        self._ends, self._crossings = np.empty(MAX_ROWS, np.int32), np.empty(MAX_CROSSINGS, np.float64)
        left, right, up, down = (margin * CELLS_PER_PX for margin in margins_px)
        mask = grown(self._rasterise(contour, rows, columns), (left, right, up, down))
        self._runs = runs_of_mask(mask)
        self.outline_px = self._outline(mask)

    def out_fraction(self, contour_px: NDArray[np.float32]) -> float:
        """Return the fraction of the target's area outside the boundary, 0 to 1; 1 for a contour without area.

        Parameters
        ----------
        contour_px
            C-contiguous float32 array (n, 2) of (x, y). With NaN, or beyond the limits above, it counts as outside.
        """
        if not 3 <= len(contour_px) <= MAX_VERTICES:
            return 1.0
        contour = contour_px
        if contour.dtype != np.float32 or not (contour.flags.c_contiguous and contour.flags.writeable):
            contour = np.array(contour_px, np.float32, order="C")
        total, inside = self._covered_cells(
            contour, self._left_px, self._top_px, self._runs, self._ends, self._crossings
        )
        return 1.0 - inside / total if total > 0 else 1.0

    def _rasterise(self, contour: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.bool_]:
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


def grown(mask: NDArray[np.bool_], margins: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Return the Minkowski sum of a mask and four quarter ellipses.

    Parameters
    ----------
    mask
        (rows, columns).
    margins
        Semi-axes towards -x, +x, -y and +y, in cells of the mask.

    Returns
    -------
    (rows, columns) bool
        Whether any cell of the mask reaches this one. What would lie beyond the mask's edges is cut off.
    """
    import cv2

    reach = int(np.ceil(max(margins)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    left, right, up, down = (max(margin, 0.25) for margin in margins)
    ellipses = (x / np.where(x < 0, left, right)) ** 2 + (y / np.where(y < 0, up, down)) ** 2 <= 1
    reflected = np.ascontiguousarray(ellipses[::-1, ::-1], np.uint8)  # as `cv2.dilate` looks back from each cell
    return cv2.dilate(mask.astype(np.uint8), reflected) > 0
