"""Template matching: the best placement of one template in a search window of a cine frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gating.tracking import kernels

Method = Literal["exact", "coarse_to_fine", "dense"]
MIN_TEMPLATE_PX = 4


@dataclass(frozen=True, slots=True)
class Match:
    """Best placement of a template.

    Attributes
    ----------
    row, col : float
        Sub-pixel placement of the template's top-left pixel, in frame pixels.
    score : float
        ZNCC at the integer peak, in [-1, 1]; a flat patch scores 0, never NaN.
    at_edge : bool
        The integer peak lies on the border of the search window, so the true peak may lie outside it.
    """

    row: float
    col: float
    score: float
    at_edge: bool


class TemplateMatcher:
    """One template and the buffers to find it within `max_radius_px` of an expected placement.

    Parameters
    ----------
    template : (h, w) array
        Intensities in any unit; kept as float32.
    mask : (h, w) boolean array, optional
        True where the template counts.
    max_radius_px : int
        Largest search radius that `match` and `surface` accept.

    Raises
    ------
    ValueError
        If the template is tiny, flat or not finite, the mask is empty or misshapen, or the radius is negative.
    """

    def __init__(self, template: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, max_radius_px: int) -> None:
        template = np.ascontiguousarray(template, dtype=np.float32)
        _check_template(template, mask, max_radius_px)
        inside = np.ones(template.shape, bool) if mask is None else np.asarray(mask, bool)
        values = template.astype(np.float64)
        weights = np.where(inside, values - values[inside].mean(), 0.0)
        self.shape: tuple[int, int] = (template.shape[0], template.shape[1])
        self.max_radius_px = int(max_radius_px)
        self._weights = weights.astype(np.float32)
        self._mask = inside.astype(np.float32)
        self._norm = float(np.linalg.norm(weights))
        side = 2 * self.max_radius_px + 1
        self._scores = np.zeros((side, side), np.float32)

    def surface(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[NDArray[np.float32], int, int]:
        """Score every placement within `radius_px` of (row, col), clipped to the image.

        Returns
        -------
        scores : (n, m) float32 view of a buffer that the next call overwrites
        top, left : int
            Placement that scores[0, 0] belongs to.
        """
        top, left, rows, cols = self._window(pixels, row, col, radius_px)
        kernels.zncc_surface(pixels, top, left, rows, cols, self._weights, self._mask, self._norm, self._scores)
        return self._scores[:rows, :cols], top, left

    def match(self, pixels: NDArray[Any], row: int, col: int, radius_px: int, method: Method = "exact") -> Match:
        """Find the best placement within `radius_px` of the expected top-left placement (row, col)."""
        scores, top, left = self.surface(pixels, row, col, radius_px)
        rows, cols = scores.shape
        r, c = divmod(int(np.argmax(scores)), cols)
        at_edge = r in (0, rows - 1) or c in (0, cols - 1)
        d_row = _vertex(scores[r - 1 : r + 2, c]) if 0 < r < rows - 1 else 0.0
        d_col = _vertex(scores[r, c - 1 : c + 2]) if 0 < c < cols - 1 else 0.0
        return Match(top + r + d_row, left + c + d_col, float(scores[r, c]), at_edge)

    def _window(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[int, int, int, int]:
        if not 0 <= radius_px <= self.max_radius_px:
            raise ValueError(f"radius_px is {radius_px}; it must lie in 0..{self.max_radius_px} (max_radius_px)")
        height, width = pixels.shape
        top, left = max(row - radius_px, 0), max(col - radius_px, 0)
        rows = min(row + radius_px, height - self.shape[0]) - top + 1
        cols = min(col + radius_px, width - self.shape[1]) - left + 1
        if rows < 1 or cols < 1:
            raise ValueError(
                f"placement row {row}, col {col} with radius_px {radius_px} leaves no room for a template of "
                f"{self.shape[0]}x{self.shape[1]} in a frame of {height}x{width}"
            )
        return top, left, rows, cols


def _vertex(triple: NDArray[np.float32]) -> float:
    before, peak, after = (float(v) for v in triple)
    curvature = before - 2.0 * peak + after
    return 0.5 * (before - after) / curvature if curvature < 0.0 else 0.0


def _check_template(template: NDArray[np.float32], mask: NDArray[np.bool_] | None, max_radius_px: int) -> None:
    if template.ndim != 2 or min(template.shape) < MIN_TEMPLATE_PX:
        raise ValueError(f"template has shape {template.shape}; it must be 2D and {MIN_TEMPLATE_PX} px or more a side")
    if not np.isfinite(template).all():
        raise ValueError("template holds NaN or infinite pixels; every pixel must be finite")
    if mask is not None and np.shape(mask) != template.shape:
        raise ValueError(f"mask has shape {np.shape(mask)}; it must be the template's, {template.shape}")
    inside = template if mask is None else template[np.asarray(mask, bool)]
    if inside.size < MIN_TEMPLATE_PX**2:
        raise ValueError(f"mask keeps {inside.size} pixels of the template; it must keep {MIN_TEMPLATE_PX**2} or more")
    if not float(np.ptp(inside)) > 1e-6 * float(np.abs(inside).max()):
        raise ValueError(f"template is flat (every pixel about {inside.flat[0]:g}); it must have contrast")
    if max_radius_px < 0:
        raise ValueError(f"max_radius_px is {max_radius_px}; it must be 0 or more")
