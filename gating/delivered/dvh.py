"""Dose to a structure: cumulative dose-volume histogram and the figures read from it (ICRU Report 83, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import ndimage

from gating.analysis.dose import dose_to
from gating.delivered.dose_cloud import Box, DoseArray, voxel_steps

SMALL_CM3: Final = 2.0
"""Volume of D2cc."""
ROOM_VOXELS: Final = 4
"""Voxels around a structure that its interpolation looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class StructurePoints:
    """A structure as points of equal volume inside it, so that its size does not depend on the dose grid.

    Attributes
    ----------
    name
        Of the structure.
    points_mm
        (n, 3) LPS, inside the structure, as it lies in the plan; one or more.
    volume_cm3
        Of the structure.
    """

    name: str
    points_mm: NDArray[np.float64]
    volume_cm3: float


class DoseFigures(Struct, frozen=True, kw_only=True):
    """Dose to one structure. NaN: not known, such as D2cc of a structure smaller than 2 cm3."""

    d98_gy: float
    """The dose that 98 % of the volume receives or more: near-minimum."""
    d95_gy: float
    d2_gy: float
    """The dose that 2 % of the volume receives or more: near-maximum."""
    mean_gy: float
    v100: float
    """Part of the volume that receives the prescribed dose or more; NaN without a prescription."""
    d2cc_gy: float
    """The dose that the 2 cm3 with the most dose receive or more."""


def dose_figures(dose_gy: NDArray[np.floating], volume_cm3: float, prescribed_gy: float | None = None) -> DoseFigures:
    """Return the figures of a structure from the dose at points of equal volume, (n,) Gy."""
    small = SMALL_CM3 / volume_cm3
    return DoseFigures(
        d98_gy=dose_to(0.98, dose_gy),
        d95_gy=dose_to(0.95, dose_gy),
        d2_gy=dose_to(0.02, dose_gy),
        mean_gy=float(dose_gy.mean(dtype=float)),
        v100=float("nan") if prescribed_gy is None else float((dose_gy >= prescribed_gy).mean()),
        d2cc_gy=dose_to(small, dose_gy) if small <= 1 else float("nan"),
    )


def histogram(dose_gy: NDArray[np.floating], at_gy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of the volume that receives each dose or more: a cumulative histogram."""
    ordered = np.sort(dose_gy)
    return 1 - np.searchsorted(ordered, at_gy, side="left") / len(ordered)


class OnGrid:
    """A structure on a dose grid: the voxels around it, and the dose at its points.

    Parameters
    ----------
    structure
        The structure.
    image
        SimpleITK image whose grid it lies on.

    Raises
    ------
    ValueError
        If no point lies within the grid. The text is one sentence.
    """

    def __init__(self, structure: StructurePoints, image: Any) -> None:
        voxels = to_voxels(image, structure.points_mm)
        size = np.array(image.GetSize()[::-1])
        held = ((voxels >= 0) & (voxels <= size - 1)).all(axis=1)
        if not held.any():
            raise ValueError(f"{structure.name} lies outside the dose grid: {grid_in_words(image)}")
        self.held = float(held.mean())
        """Part of the structure that the grid holds; the figures are of that part."""
        self.held_cm3 = structure.volume_cm3 * self.held
        low = np.maximum(np.floor(voxels[held].min(axis=0)).astype(int) - ROOM_VOXELS, 0)
        high = np.minimum(np.ceil(voxels[held].max(axis=0)).astype(int) + ROOM_VOXELS + 1, size)
        z, y, x = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        self.box: Box = (z, y, x)
        self.voxels = int(np.prod(high - low))
        """In the box."""
        self._at = (voxels[held] - low).T

    def sample(self, received: DoseArray) -> NDArray[np.float32]:
        """Return the dose at the structure's points from that in its box, (n,) Gy, by cubic splines.

        They swing below 0 beside a steep edge, where the dose counts as 0.
        """
        found: NDArray[np.float32] = ndimage.map_coordinates(received, self._at, order=3, mode="nearest")
        return np.maximum(found, 0, out=found)

    def figures(self, received: DoseArray, prescribed_gy: float | None = None) -> DoseFigures:
        """Return the figures of the structure from the dose in its box."""
        return dose_figures(self.sample(received), self.held_cm3, prescribed_gy)


def to_voxels(image: Any, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where LPS points (n, 3) lie on the grid of a SimpleITK image, (n, 3) voxels (z, y, x)."""
    origin_mm = np.array(image.GetOrigin())
    voxels: NDArray[np.float64] = ((points_mm - origin_mm) @ voxel_steps(image))[:, ::-1]
    return voxels


def grid_in_words(image: Any) -> str:
    """Return where the voxel centres of a SimpleITK image lie, as a phrase."""
    size = np.array(image.GetSize()) - 1
    ends = np.array([image.GetOrigin(), image.TransformIndexToPhysicalPoint(size.tolist())])
    spans = [f"{axis} {min(a, b):.1f} to {max(a, b):.1f}" for axis, a, b in zip("xyz", *ends.tolist(), strict=True)]
    return f"it holds {', '.join(spans)} mm (LPS)"


def check_holds(structure: StructurePoints, image: Any, displacement_mm: NDArray[np.float64]) -> None:
    """Refuse a dose grid that does not hold a target wherever it moved to.

    Raises
    ------
    ValueError
        One sentence that names the direction and the limit.
    """
    size = np.array(image.GetSize()[::-1])
    ends = [structure.points_mm.min(axis=0), structure.points_mm.max(axis=0)]
    corners = np.array(np.meshgrid(*np.array(ends).T)).reshape(3, -1).T
    away = np.array([displacement_mm.min(axis=0), displacement_mm.max(axis=0)])
    places = np.concatenate([corners, corners + away[0], corners + away[1]])
    voxels = to_voxels(image, places)
    if not ((voxels >= 0) & (voxels <= size - 1)).all():
        low, high = places.min(axis=0), places.max(axis=0)
        spans = [f"{axis} {a:.1f} to {b:.1f}" for axis, a, b in zip("xyz", low, high, strict=True)]
        raise ValueError(
            f"{structure.name} with its motion reaches {', '.join(spans)} mm; the dose grid does not hold it: "
            f"{grid_in_words(image)}"
        )
