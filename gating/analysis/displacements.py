"""How far a target was from its reference, as the rules judged it: in the plane, or in 3D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gating.geometry.plane import ImagePlane
from gating.messages import TargetEstimate


def judged_in_3d(estimates: Sequence[TargetEstimate]) -> bool:
    """Return whether rules judged a target's position in 3D."""
    return any(estimate.displacement_mm is not None for estimate in estimates)


def displacements_mm(
    estimates: Sequence[TargetEstimate], reference_mm: tuple[float, float, float], plane: ImagePlane | None = None
) -> NDArray[np.float64]:
    """Return how far a target was from its reference, (n, 3) LPS, as the rules judged it.

    Rules judge in the plane; what another plane adds to a position, counted from where that plane lies, is left out if
    `plane` is given. Where they judge in 3D it is what they judged, and NaN where they knew no position.
    """
    if judged_in_3d(estimates):
        away = [(np.nan, np.nan, np.nan) if e.displacement_mm is None else e.displacement_mm for e in estimates]
        return np.array(away, float)
    position = np.array([e.position_mm for e in estimates], float).reshape(-1, 3)
    moved: NDArray[np.float64] = position - np.array(reference_mm)
    if plane is None or not any(e.ages_ms for e in estimates):
        return moved
    axes = np.stack([plane.along_columns, plane.along_rows])
    return np.asarray(moved @ axes.T @ axes, np.float64)
