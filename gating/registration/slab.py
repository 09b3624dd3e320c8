"""The reference frame of another session as a volume, so that its contour is carried as one of a plan is.

A frame shows one plane, so the frame is repeated along its normal. A registration to the slab tells shift, rotation and
deformation within the plane; across it, it tells nothing, and a cine whose plane shows other anatomy does not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from gating.errors import TargetError
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.registration.quality import Limits
from gating.targets.spec import TargetSpec

HALF_MM: Final = 30.0
SLICES: Final = 5
FRAME_LIMITS: Final = Limits(least_agreement=0.6, least_contrast=1.0)
"""A frame has noise and other slices than the cine's, so that less agrees than with a volume; set on seeds 0 to 7 of
`python -m bench.registration --frames`."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSlab:
    """A reference frame and its contour, repeated along the normal.

    Attributes
    ----------
    name
        Of the target.
    volume
        `SimpleITK.Image`, LPS.
    plane, mask
        Of the frame, and the pixels inside its contour.
    """

    name: str
    volume: Any
    plane: ImagePlane
    mask: NDArray[np.bool_]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the frame, LPS."""
        return np.cross(self.plane.along_columns, self.plane.along_rows)

    @property
    def middle_mm(self) -> NDArray[np.float64]:
        """Middle of the contour, (3,) LPS."""
        y, x = np.argwhere(self.mask).mean(axis=0)
        return np.asarray(self.plane.to_lps_mm(float(x), float(y)))

    def contains(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which LPS points (..., 3) lie in the contour, however far across the frame they are."""
        away_mm = points_mm - self.plane.origin_mm
        row_mm, column_mm = self.plane.spacing_mm
        rows = np.rint(away_mm @ self.plane.along_rows / row_mm).astype(np.int64)
        columns = np.rint(away_mm @ self.plane.along_columns / column_mm).astype(np.int64)
        within = (rows >= 0) & (rows < self.mask.shape[0]) & (columns >= 0) & (columns < self.mask.shape[1])
        inside = np.zeros(within.shape, np.bool_)
        inside[within] = self.mask[rows[within], columns[within]]
        return inside


def slab_of(target: TargetSpec) -> FrameSlab:
    """Return the slab of the image in which a target was drawn. Raises `TargetError` if it has none."""
    if target.image is None:
        raise TargetError(f"{target.name} has no image in which it was drawn")
    plane, pixels = ImagePlane.of(target.image), np.asarray(target.image.pixels)
    normal, step_mm = np.cross(plane.along_columns, plane.along_rows), 2 * HALF_MM / (SLICES - 1)
    volume = SimpleITK.GetImageFromArray(np.repeat(pixels[None].astype(np.float32), SLICES, axis=0))
    volume.SetDirection(np.stack([plane.along_columns, plane.along_rows, normal], axis=1).ravel().tolist())
    volume.SetSpacing((plane.spacing_mm[1], plane.spacing_mm[0], step_mm))
    volume.SetOrigin((plane.origin_mm - HALF_MM * normal).tolist())
    return FrameSlab(
        target.name, volume, plane, mask_from_contour(target.contour_px, (pixels.shape[0], pixels.shape[1]))
    )
