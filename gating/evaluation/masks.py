"""Masks in the file layout of the TrackRAD2025 challenge."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.settings.private_file import private_file

MASKS_FOLDER: Final = "images/mri-linac-series-targets"
"""Where the challenge looks for an algorithm's masks, below its output folder."""


def write_masks(
    path: Path, masks: NDArray[np.bool_], pixel_spacing_mm: tuple[float, float], grid: Path | None = None
) -> None:
    """Write masks with the axes of the challenge's files: (rows, columns, frames), uint8, 1 inside.

    Parameters
    ----------
    path : Path
        `.mha` file; its folder is made.
    masks : (frames, rows, columns) bool
    pixel_spacing_mm : tuple of float
        Spacing of (rows, columns), used where `grid` is None.
    grid : Path, optional
        Image whose spacing, origin and direction the masks get, on all three axes.
    """
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    image: Any = SimpleITK.GetImageFromArray(np.ascontiguousarray(masks.transpose(1, 2, 0)).astype(np.uint8))
    if grid is None:
        image.SetSpacing((1.0, pixel_spacing_mm[1], pixel_spacing_mm[0]))
    else:
        like: Any = SimpleITK.ReadImage(str(grid))
        image.SetSpacing(like.GetSpacing())
        image.SetOrigin(like.GetOrigin())
        image.SetDirection(like.GetDirection())
    SimpleITK.WriteImage(image, str(private_file(path)), useCompression=True)
