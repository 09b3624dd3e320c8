"""Dose proxies under residual motion: an assumed dose around a round target, not a plan.

TrackRAD2025 describes a dose (https://trackrad2025.grand-challenge.org/metrics): the target grown by 3 mm, smoothed
with 4 mm, or 6 mm in the lung. The organisers' program also cuts it at 0.25 (doi:10.1002/mp.17964), so that it is 0 or
1 everywhere, and D98 falls from all to nothing within a millimetre. Both are here, each under its own name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

GROWN_MM: Final = 3.0
SIGMA_MM: Final = {"lung": 6.0, "elsewhere": 4.0}
LEVEL: Final = 0.25
CELL_MM: Final = 0.5
_ROOM_MM: Final = 40.0
"""Margin of the grid around the target, beyond which there is no dose."""


def challenge_d98(
    displacement_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float = SIGMA_MM["elsewhere"]
) -> float:
    """Return TrackRAD2025's relative D98: with motion over without, of a dose that is cut at 0.25; NaN without motion.

    As the organisers' program does (`gating.evaluation.metrics.relative_d98`), but for residual motion from the middle
    of the window in the place of tracking errors, on a grid of 0.5 mm, and with D98 not read from bins of 0.1.

    Parameters
    ----------
    displacement_mm
        (n, 3), finite; the two axes with the most motion blur the dose.
    radius_mm
        Radius of the target.
    sigma_mm
        Smoothing, see `SIGMA_MM`.
    """
    return _relative_d98(displacement_mm, radius_mm, sigma_mm, cut=True)


def smooth_d98(
    displacement_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float = SIGMA_MM["elsewhere"]
) -> float:
    """Return D98 with motion over D98 without, of the dose that TrackRAD2025 describes, which falls off smoothly.

    Parameters as for `challenge_d98`; NaN without displacements.
    """
    return _relative_d98(displacement_mm, radius_mm, sigma_mm, cut=False)


def _relative_d98(displacement_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float, *, cut: bool) -> float:
    from scipy import signal  # here, as it takes a second to import, and figures are often read and not computed

    if len(displacement_mm) == 0:
        return float("nan")
    dose, target = _static(round(radius_mm, 1), sigma_mm, cut)
    moving = np.sort(np.argsort(np.ptp(displacement_mm, axis=0))[1:])
    cells = np.rint(displacement_mm[:, moving] / CELL_MM).astype(int)
    half = len(dose) // 2
    # There is no dose beyond the grid, so a target that leaves it receives none.
    near = cells[(np.abs(cells) <= half).all(axis=1)] + half
    visits = np.zeros_like(dose)
    np.add.at(visits, (near[:, 0], near[:, 1]), 1 / len(cells))
    received = signal.fftconvolve(dose, visits[::-1, ::-1], mode="same").clip(0, 1)
    return dose_to(0.98, received[target]) / dose_to(0.98, dose[target])


@lru_cache(maxsize=8)
def _static(radius_mm: float, sigma_mm: float, cut: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the dose without motion, 0 to 1, and the target, on the grid."""
    from scipy import ndimage

    half = round((radius_mm + _ROOM_MM) / CELL_MM)
    across = CELL_MM * np.arange(-half, half + 1)
    distance = np.hypot(across[:, None], across[None])
    target: NDArray[np.bool_] = distance <= radius_mm
    if not cut:
        smooth = ndimage.gaussian_filter((distance <= radius_mm + GROWN_MM).astype(float), sigma=sigma_mm / CELL_MM)
        return smooth, target
    cross = ndimage.generate_binary_structure(2, 1)
    grown = ndimage.binary_dilation(target, structure=cross, iterations=round(GROWN_MM / CELL_MM))
    smooth = ndimage.gaussian_filter(grown.astype(np.float64), sigma=sigma_mm / CELL_MM)
    return (smooth > LEVEL).astype(np.float64), target


def dose_to(share: float, dose: NDArray[np.floating]) -> float:
    """Return the dose that a share of the volume receives or more: D98 for 0.98 (ICRU Report 83, section 3.4).

    Parameters
    ----------
    share
        0 to 1.
    dose
        At points or voxels of equal volume.
    """
    return float(np.percentile(dose, 100 - 100 * share))
