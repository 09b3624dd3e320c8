"""The dose that the TrackRAD2025 metric imagines around a target: grown, smoothed and cut. A proxy, not a plan."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

GROWN_MM: Final = 3.0
SMOOTHED_MM: Final = 4.0
LEVEL: Final = 0.25


def static_dose(target: NDArray[np.bool_], cell_mm: float) -> NDArray[np.float32]:
    """Return the dose without motion, 0 or 1: the target grown by 3 mm, smoothed with 4 mm and cut at 0.25.

    Parameters
    ----------
    target : (rows, columns), with some 20 mm of room around it.
    cell_mm : size of a cell.
    """
    cross = ndimage.generate_binary_structure(2, 1)
    grown = ndimage.binary_dilation(target, structure=cross, iterations=round(GROWN_MM / cell_mm))
    smooth = ndimage.gaussian_filter(grown.astype(np.float32), sigma=SMOOTHED_MM / cell_mm)
    dose: NDArray[np.float32] = (smooth > LEVEL).astype(np.float32)
    return dose


def target_d98(dose: NDArray[np.floating], target: NDArray[np.bool_]) -> float:
    """Return the dose that 98 % of the target receives at least."""
    return float(np.percentile(dose[target], 2))
