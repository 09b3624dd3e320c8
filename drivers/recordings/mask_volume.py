"""A structure as a mask volume (`.mha`, NIfTI and all else that SimpleITK reads), cut by nearest voxel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.formats.image import read_image
from drivers.recordings.cine_plane import CinePlane, Points, pixel_centres


@dataclass(frozen=True, slots=True, eq=False)
class MaskVolume:
    """The voxels of one structure, as `drivers.recordings.rtstruct.Structure` is its contours.

    Attributes
    ----------
    name
        Of the structure.
    voxels
        (slices, rows, columns), True inside.
    origin_mm, steps_mm
        LPS position of the first voxel, and (3, 3) the steps along columns, rows and slices as columns of a matrix.
    """

    name: str
    voxels: NDArray[np.bool_]
    origin_mm: Points
    steps_mm: Points

    def contains(self, points_mm: Points) -> NDArray[np.bool_]:
        """Return which LPS points (..., 3) lie in a voxel of the structure."""
        index = (points_mm - self.origin_mm) @ np.linalg.inv(self.steps_mm).T
        nearest = np.floor(index + 0.5).astype(np.int64)[..., ::-1]
        within = ((nearest >= 0) & (nearest < self.voxels.shape)).all(axis=-1)
        inside = np.zeros(points_mm.shape[:-1], np.bool_)
        inside[within] = self.voxels[tuple(nearest[within].T)]
        return inside

    @property
    def middle_mm(self) -> Points:
        """Middle of the box around its voxels, (3,) LPS."""
        index = np.argwhere(self.voxels)[:, ::-1]
        middle: Points = self.origin_mm + self.steps_mm @ ((index.min(axis=0) + index.max(axis=0)) / 2)
        return middle


def read_mask_volume(path: Path, name: str) -> MaskVolume:
    """Read the mask of one structure, which is wherever voxels are above 0.

    Raises
    ------
    BadRecording
        If it is no volume, is empty, or holds the labels of several structures; one sentence.
    """
    voxels, origin_mm, steps_mm = _read(path)
    labels = np.unique(voxels[voxels > 0])
    if not len(labels):
        raise BadRecording(f"{path}: the mask is empty; no voxel is above 0")
    if voxels.dtype.kind in "iu" and len(labels) > 1:
        told = ", ".join(map(str, labels[:8]))
        raise BadRecording(f"{path}: the mask holds the labels {told}; a mask of one structure is needed")
    return MaskVolume(name, voxels > 0, origin_mm, steps_mm)


def read_volume_mask(path: Path, plane: CinePlane) -> NDArray[np.bool_]:
    """Cut a mask volume with a cine plane.

    Returns
    -------
    NDArray
        (rows, columns), True where the centre of a pixel lies in a voxel above 0.

    Raises
    ------
    BadRecording
        If it is not a volume.
    """
    voxels, origin_mm, steps_mm = _read(path)
    return MaskVolume(path.name, voxels > 0, origin_mm, steps_mm).contains(pixel_centres(plane))


def _read(path: Path) -> tuple[NDArray[Any], Points, Points]:
    import SimpleITK

    image = read_image(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadRecording(f"{path}: the mask has {image.GetDimension()} dimensions; one volume of 3 is needed")
    steps_mm = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    return SimpleITK.GetArrayFromImage(image), np.array(image.GetOrigin()), steps_mm
