"""Structures of a plan as points of equal volume, for dose-volume histograms that do not depend on the dose grid.

Voxels of a dose grid are a coarse ruler for a small structure: of the voxels of 2.5 mm that a sphere of 10 mm radius
touches, its surface cuts 290 of 461. Points on a grid of the structure's own, made as fine as it is small, measure all
alike; between contours the outline is that of `drivers.recordings.rtstruct`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadPlan
from drivers.plans.dicom import Identity, identity, read_object, readable
from drivers.recordings.mask_volume import MaskVolume, read_mask_volume
from drivers.recordings.rtstruct import Structure, read_structure, structure_names

POINTS: Final = 30_000
"""Points inside a structure, about: a volume is then known to 0.2 %."""
LEAST_MM: Final = 0.2
MASK_SUFFIXES: Final = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")
"""Of mask volumes; any other file is read as an RTSTRUCT."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledStructure:
    """Points of equal volume inside a structure: name, (n, 3) LPS mm, and its volume."""

    name: str
    points_mm: NDArray[np.float64]
    volume_cm3: float


def structure_set_identity(path: Path) -> Identity:
    """Return whose a structure set is. Raises `BadPlan`."""
    dataset = read_object(path, "RTSTRUCT")
    with readable(path, "RTSTRUCT"):
        return identity(path, "RTSTRUCT", dataset)


def read_solid(path: Path, name: str) -> tuple[Structure | MaskVolume, Identity]:
    """Read a structure of an RTSTRUCT by its name, or a mask volume as the structure of that name; and whose it is.

    Raises
    ------
    BadPlan, BadRecording
        If it cannot be used; one sentence. A mask volume does not tell whose it is.
    """
    if path.name.endswith(MASK_SUFFIXES):
        return read_mask_volume(path, name), Identity(path, "mask", "", "")
    structure, whose = read_structure(path, name), structure_set_identity(path)
    drawn_in = structure.frame_of_reference or whose.frame_of_reference
    return structure, replace(whose, frame_of_reference=drawn_in)


def known_structures(path: Path) -> list[str]:
    """Return the names of a structure set. Raises `BadRecording`."""
    return structure_names(path)


def sampled_structure(path: Path, name: str) -> SampledStructure:
    """Read a structure of an RTSTRUCT by its name, and fill it with points.

    Raises
    ------
    BadRecording
        If it is missing, or has no closed contours; one sentence.
    BadPlan
        If it encloses nothing.
    """
    return fill(read_structure(path, name))


def fill(structure: Structure) -> SampledStructure:
    """Fill a structure with points. Raises `BadPlan` if it encloses nothing."""
    corners = np.concatenate(structure.contours_mm)
    low, high = corners.min(axis=0), corners.max(axis=0)
    room_mm = structure.end_mm()
    low, high = low - room_mm, high + room_mm
    coarse = _cells(low, high, ((high - low).prod() / POINTS) ** (1 / 3))
    share = structure.contains(coarse[0]).mean()
    if not share > 0:
        raise BadPlan(f"structure {structure.name!r}: its contours enclose no volume")
    points, cell_mm3 = _cells(low, high, ((high - low).prod() * share / POINTS) ** (1 / 3))
    inside = points[structure.contains(points)]
    return SampledStructure(structure.name, inside, len(inside) * cell_mm3 / 1e3)


def _cells(low: NDArray[np.float64], high: NDArray[np.float64], step_mm: float) -> tuple[NDArray[np.float64], float]:
    """Return the centres of equal cells that fill a box, (n, 3), and the volume of one, mm3."""
    counts = np.maximum(np.ceil((high - low) / max(step_mm, LEAST_MM)), 1).astype(int)
    sizes = (high - low) / counts
    axes = [a + size * (np.arange(n) + 0.5) for a, size, n in zip(low, sizes, counts, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), float(sizes.prod())
