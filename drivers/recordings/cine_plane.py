"""The image grid of a cine, with which planning structures are cut."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class CinePlane(Protocol):
    """The image grid to cut with, such as a `Recording`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        ...

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """(row, column) spacing."""
        ...

    @property
    def image_orientation(self) -> tuple[float, float, float, float, float, float]:
        """Directions of increasing column and increasing row."""
        ...

    @property
    def image_position_mm(self) -> tuple[float, float, float]:
        """LPS position of pixel (0, 0)."""
        ...

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID; empty if unknown."""
        ...


def pixel_centres(plane: CinePlane) -> Points:
    """Return the LPS position of every pixel, (rows, columns, 3)."""
    along_columns, along_rows = np.reshape(plane.image_orientation, (2, 3))
    down = np.arange(plane.shape[0])[:, None, None] * plane.pixel_spacing_mm[0] * along_rows
    right = np.arange(plane.shape[1])[None, :, None] * plane.pixel_spacing_mm[1] * along_columns
    centres: Points = np.array(plane.image_position_mm) + down + right
    return centres
