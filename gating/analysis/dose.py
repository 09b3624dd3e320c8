"""The dose proxy of TrackRAD2025 under residual motion: an assumed dose around the target, not a plan."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

GROWN_MM: Final = 3.0
SMOOTHED_MM: Final = 4.0
LEVEL: Final = 0.25
CELL_MM: Final = 0.5
_ROOM_MM: Final = 25.0
"""Margin of the grid around the target, beyond which there is no dose."""


def relative_d98(displacement_mm: NDArray[np.float64], radius_mm: float = 15.0) -> float:
    """Return D98 of a round target with residual motion, relative to D98 without motion; NaN without displacements.

    As in the organisers' program (`gating.evaluation.metrics.relative_d98`, doi:10.1002/mp.17964), the dose is the
    target grown by 3 mm, smoothed with 4 mm and cut at 0.25. Here the displacements from the middle of the window blur
    it, in the plane of the two axes with the most motion, on a grid of 0.5 mm, and D98 is not read from bins of 0.1.

    Parameters
    ----------
    displacement_mm
        (n, 3), finite.
    radius_mm
        Radius of the target.
    """
    if len(displacement_mm) == 0:
        return float("nan")
    dose, target = _static(radius_mm)
    moving = np.sort(np.argsort(np.ptp(displacement_mm, axis=0))[1:])
    cells, counts = np.unique(np.rint(displacement_mm[:, moving] / CELL_MM).astype(int), axis=0, return_counts=True)
    row, column = np.nonzero(target)
    received = np.zeros(len(row))
    for (down, across), count in zip(cells.tolist(), counts.tolist(), strict=True):
        # The rim of the grid has no dose, so a target that leaves the grid receives none.
        there = (row + down).clip(0, len(dose) - 1), (column + across).clip(0, len(dose) - 1)
        received += count * dose[there]
    return _d98(received / len(displacement_mm)) / _d98(dose[target])


@lru_cache(maxsize=8)
def _static(radius_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the dose without motion (0 or 1) and the target, on the grid."""
    half = round((radius_mm + _ROOM_MM) / CELL_MM)
    across = CELL_MM * np.arange(-half, half + 1)
    target: NDArray[np.bool_] = np.hypot(across[:, None], across[None]) <= radius_mm
    cross = ndimage.generate_binary_structure(2, 1)
    grown = ndimage.binary_dilation(target, structure=cross, iterations=round(GROWN_MM / CELL_MM))
    smooth = ndimage.gaussian_filter(grown.astype(np.float64), sigma=SMOOTHED_MM / CELL_MM)
    return (smooth > LEVEL).astype(np.float64), target


def _d98(dose: NDArray[np.float64]) -> float:
    """Return the dose that at least 98 % of the target receives."""
    return float(np.percentile(dose, 2))
