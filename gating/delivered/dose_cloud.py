"""The static dose cloud: a planned dose that stands still in the room while the target moves through it.

A point of the target that lies at p in the plan is at p + d when the target is displaced by d, and there receives the
planned dose D(p + d). Over a treatment it receives the mean over all displacements. On the dose grid, with an
interpolation that weighs whole neighbours, that mean is one sum of D shifted by whole voxels, each with a weight:
exactly what interpolating for every displacement alone would give, at a cost that does not grow with their number.

Interpolation: cubic convolution, Keys 1981, doi:10.1109/TASSP.1981.1163711. It returns grid values unchanged, so a
target that does not move receives the planned dose bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RESOLUTION_MM: Final = 0.01
"""Displacements count in such steps, well below what a tracker tells apart."""
TAPS: Final = 4
"""Neighbours of the interpolation along each axis."""

DoseArray = NDArray[np.float32]
"""(z, y, x) of a dose grid, Gy, as SimpleITK orders its arrays."""
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class MotionKernel:
    """Shifts by whole voxels and their weights.

    Attributes
    ----------
    shifts
        (m, 3) voxels, (z, y, x).
    weights
        (m,) that sum to the part of the dose that was delivered, 1 for all of it.
    """

    shifts: NDArray[np.int64]
    weights: NDArray[np.float64]


def voxel_steps(image: Any) -> NDArray[np.float64]:
    """Return the matrix that turns LPS mm, as a row, into voxels (x, y, z) of a SimpleITK image."""
    steps_mm = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    return np.linalg.inv(steps_mm).T


def motion_kernel(
    image: Any, displacement_mm: NDArray[np.float64], weights: NDArray[np.float64], share: float = 1.0
) -> MotionKernel:
    """Return the kernel of a motion on the grid of a SimpleITK image.

    Parameters
    ----------
    displacement_mm
        (n, 3) LPS, finite; one row or more.
    weights
        (n,), such as the time of each, s.
    share
        What the weights are scaled to sum to.

    Raises
    ------
    ValueError
        If the weights do not sum to more than 0.
    """
    if not weights.sum() > 0:
        raise ValueError("no displacement has a weight above 0")
    cells, place = np.unique(np.rint(displacement_mm / RESOLUTION_MM).astype(np.int64), axis=0, return_inverse=True)
    summed = np.bincount(place.ravel(), weights)
    voxels = (cells * RESOLUTION_MM @ voxel_steps(image))[:, ::-1]
    whole = np.floor(voxels + 1e-9).astype(np.int64)
    part = np.clip(voxels - whole, 0.0, 1.0)
    low = whole.min(axis=0) - 1
    shape = tuple((whole.max(axis=0) - whole.min(axis=0) + TAPS).tolist())
    z, y, x = (_tap_weights(axis) for axis in part.T)
    each = (summed / summed.sum())[:, None, None, None]
    each = each * z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]
    taps = np.arange(TAPS)
    at = (whole - 1 - low)[:, :, None] + taps
    flat = (at[:, 0, :, None, None] * shape[1] + at[:, 1, None, :, None]) * shape[2] + at[:, 2, None, None, :]
    dense = np.bincount(flat.ravel(), each.ravel(), int(np.prod(shape))).reshape(shape)
    kept = np.argwhere(dense != 0)
    return MotionKernel(kept + low, share * dense[tuple(kept.T)])


def _tap_weights(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the four neighbours of points a part of the way from the second to the third, (n, 4)."""
    square, cube = part**2, part**3
    return np.stack(
        [
            -0.5 * part + square - 0.5 * cube,
            1 - 2.5 * square + 1.5 * cube,
            0.5 * part + 2 * square - 1.5 * cube,
            -0.5 * square + 0.5 * cube,
        ],
        axis=1,
    )


def whole(dose: DoseArray) -> Box:
    """Return the box that is all of the grid."""
    z, y, x = dose.shape
    return slice(0, z), slice(0, y), slice(0, x)


def add_moved(into: DoseArray, dose: DoseArray, kernel: MotionKernel, box: Box) -> None:
    """Add the dose that a box of the moving target receives.

    Parameters
    ----------
    into
        Shape of the box, Gy; added to.
    dose
        The planned dose. Beyond its grid, there is none.
    box
        Voxels of the target in the plan, start and stop within the grid.
    """
    for shift, weight in zip(kernel.shifts.tolist(), kernel.weights.tolist(), strict=True):
        here, there = [], []
        for voxels, step, size in zip(box, shift, dose.shape, strict=True):
            low, high = max(voxels.start, -step), min(voxels.stop, size - step)
            here.append(slice(low - voxels.start, max(low, high) - voxels.start))
            there.append(slice(low + step, max(low, high) + step))
        into[tuple(here)] += np.float32(weight) * dose[tuple(there)]


def moved(dose: DoseArray, kernel: MotionKernel, box: Box | None = None) -> DoseArray:
    """Return the dose that the moving target receives in a box of the plan, or in all of it; see `add_moved`."""
    voxels = whole(dose) if box is None else box
    received = np.zeros([one.stop - one.start for one in voxels], np.float32)
    add_moved(received, dose, kernel, voxels)
    return received
