"""Where the anatomy around the target has moved, for frames in which other places look like the target.

A target looks like many places if it has no texture of its own, in noise, or where the anatomy that moves through the
slice changes it. Its surroundings move nearly as it does and are unmistakable. They decide between places; they make no
frame confident.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.rivals import doubt
from gating.tracking.template import SearchRegion, continued, masked_around, reduce, reduction_for
from gating.tracking.zncc.matcher import TemplateMatcher

Image = NDArray[np.float32]

CONTEXT_MM = 30.0


class ContextMatch(Struct, frozen=True):
    """Where the surroundings fit in one frame.

    Attributes
    ----------
    x_px, y_px : float
        Target centre for which they fit best.
    worth : (rows, columns) float32
        ZNCC minus the cost of the distance, on the grid of block means.
    top, left : float
        Target centre that worth[0, 0] belongs to, px of the full grid.
    step_px : int
        Step of that grid.
    """

    x_px: float
    y_px: float
    worth: Image
    top: float
    left: float
    step_px: int

    def worth_at(self, x_px: float, y_px: float) -> float:
        """Return the best worth within a step of a target centre; -1 outside the window."""
        row, column = round((y_px - self.top) / self.step_px), round((x_px - self.left) / self.step_px)
        near = self.worth[max(row - 1, 0) : max(row + 2, 0), max(column - 1, 0) : max(column + 2, 0)]
        return float(near.max()) if near.size else -1.0


class Surroundings:
    """The reference frame around the target, as block means.

    Parameters
    ----------
    pixels : (rows, columns) real numbers
        The reference frame.
    contour_px : (n, 2) float32
        Points (x, y) of the target in it.
    margin_px, spacing_mm, reach_px : float, float, int
        As for the template of the target, see `gating.tracking.template.cut_template`.

    Raises
    ------
    ValueError
        If there is no contrast.
    """

    def __init__(
        self, pixels: NDArray[Any], contour_px: NDArray[np.float32], margin_px: float, spacing_mm: float, reach_px: int
    ) -> None:
        margin_px += CONTEXT_MM / spacing_mm
        self._step = reduction_for(contour_px, margin_px)
        reduced = reduce(pixels, self._step)
        mask = masked_around(contour_px, margin_px, pixels.shape)
        inside = reduce(mask.astype(np.float32), self._step) >= 0.5
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self._top, self._left = int(rows[0]), int(columns[0])
        self._centre = contour_centroid(contour_px)
        self._matcher = TemplateMatcher(reduced[here], mask=inside[here], max_radius_px=reach_px // self._step + 2)

    def find(self, pixels: NDArray[Any], reach: SearchRegion) -> ContextMatch:
        """Find the surroundings in a frame."""
        step, matcher = self._step, self._matcher
        border = max(matcher.shape) // 2 + 1
        image = continued(reduce(pixels, step), border)
        row = self._top + border + (reach.y_px - self._centre[1]) / step
        column = self._left + border + (reach.x_px - self._centre[0]) / step
        radius = min(math.ceil(reach.radius_px / step), matcher.max_radius_px)
        start_row, start_column = (
            min(max(round(at), 0), side - own)
            for at, side, own in zip((row, column), image.shape, matcher.shape, strict=True)
        )
        scores, top, left = matcher.surface(image, start_row, start_column, radius)
        worth = self._worth(scores, row - top, column - left, reach)
        best_row, best_column = divmod(int(np.argmax(worth)), worth.shape[1])
        first_y, first_x = reach.y_px - (row - top) * step, reach.x_px - (column - left) * step
        return ContextMatch(first_x + best_column * step, first_y + best_row * step, worth, first_y, first_x, step)

    def _worth(self, scores: Image, row: float, column: float, reach: SearchRegion) -> Image:
        """Return the scores minus the cost of the distance from a place of the map; see `rivals.doubt`."""
        down, right = np.arange(scores.shape[0])[:, None] - row, np.arange(scores.shape[1]) - column
        excess = np.maximum(np.hypot(down, right) * self._step - reach.free_px, 0.0)
        return np.asarray(scores - reach.cost_per_px * excess * doubt.py_func(scores), np.float32)
