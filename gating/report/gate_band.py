"""The gate band in the motion trace: how far the target may move along one patient axis before the gate closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import CELLS_PER_PX, mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.messages import TargetReference

LPS_INDEX: Final = {"lr": 0, "ap": 1, "si": 2}
PLOTTED_SIGN: Final = {"si": 1.0, "ap": -1.0, "lr": 1.0}
"""Signs from LPS to the plot, which shows anterior upward."""

FARTHEST_MM: Final = 60.0
_STEPS: Final = 14


def gate_band_mm(
    reference: TargetReference, plane: ImagePlane, axis: str, max_out_fraction: float
) -> tuple[float, float]:
    """Return the lower and upper displacement, mm, at which the target reaches the target-out limit.

    Parameters
    ----------
    reference
        Target and gating boundary.
    plane
        Their image plane.
    axis
        "si", "ap" or "lr": the target moves rigidly along this axis alone.
    max_out_fraction
        Target-out limit.

    Returns
    -------
    tuple of float
        With the signs of the plot; NaN if the target never reaches the limit or there is no boundary.
    """
    if not reference.contour_px or not reference.boundary_px:
        return float("nan"), float("nan")
    along_px = _px_per_mm(plane, axis)
    target, boundary = np.array(reference.contour_px), np.array(reference.boundary_px)
    reach_px = FARTHEST_MM * np.abs(along_px) + 2
    corner = np.minimum(target.min(axis=0), boundary.min(axis=0)) - reach_px
    far = np.maximum(target.max(axis=0), boundary.max(axis=0)) + reach_px
    columns, rows = (np.ceil((far - corner) * CELLS_PER_PX)).astype(int)
    allowed = _mask(boundary - corner, (rows, columns))

    def out_fraction(displacement_mm: float) -> float:
        covered = _mask(target - corner + displacement_mm * along_px, (rows, columns))
        return 1.0 - float((covered & allowed).sum()) / max(1, int(covered.sum()))

    low, high = (_crossing(out_fraction, farthest, max_out_fraction) for farthest in (-FARTHEST_MM, FARTHEST_MM))
    return low, high


def _crossing(out_fraction: Callable[[float], float], farthest_mm: float, limit: float) -> float:
    """Bisect between the reference position (inside) and the farthest one (outside)."""
    inside, outside = 0.0, farthest_mm
    if not out_fraction(outside) > limit:
        return float("nan")
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if out_fraction(middle) > limit:
            outside = middle
        else:
            inside = middle
    return inside


def _px_per_mm(plane: ImagePlane, axis: str) -> NDArray[np.float64]:
    """Return the (x, y) motion in the image for 1 mm along a patient axis, with the sign of the plot."""
    index, sign = LPS_INDEX[axis], PLOTTED_SIGN[axis]
    return sign * np.array(
        [plane.along_columns[index] / plane.spacing_mm[1], plane.along_rows[index] / plane.spacing_mm[0]]
    )


def _mask(contour_px: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    return mask_from_contour(contour_px * CELLS_PER_PX + (CELLS_PER_PX - 1) / 2, shape)
