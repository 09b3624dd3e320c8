"""The image plane in the patient: from pixels to LPS millimetres, and from patient directions to image directions.

Source: DICOM PS3.3 C.7.6.2.1.1 (image plane attributes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

_LPS_AXES = ("lr", "ap", "si")
_SIDES = (("R", "L"), ("A", "P"), ("F", "H"))
"""Sides that the negative and the positive direction of each LPS axis lead to."""
OBLIQUE: Final = 0.3
"""Part of a direction along an axis from which on it counts; 17 degrees."""


class HasGeometry(Protocol):
    """The part of a header that places its pixels in the patient."""

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Pixel spacing (row, column)."""
        ...

    @property
    def image_orientation(self) -> tuple[float, float, float, float, float, float]:
        """Directions of increasing column and of increasing row, LPS."""
        ...

    @property
    def image_position_mm(self) -> tuple[float, float, float]:
        """Position of the centre of pixel (0, 0), LPS."""
        ...


@dataclass(frozen=True, slots=True)
class ImagePlane:
    """An image plane in patient coordinates.

    Attributes
    ----------
    spacing_mm
        (row, column) pixel spacing.
    along_columns, along_rows
        Unit vectors (LPS) of increasing column and of increasing row.
    origin_mm
        Position of the centre of pixel (0, 0), LPS.
    """

    spacing_mm: tuple[float, float]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    origin_mm: NDArray[np.float64]

    @classmethod
    def of(cls, header: HasGeometry) -> ImagePlane:
        """Return the plane of a frame or stream.

        Raises
        ------
        ValueError
            If the orientation is not two orthogonal unit vectors.
        """
        orientation = np.asarray(header.image_orientation, dtype=np.float64)
        columns, rows = orientation[:3], orientation[3:]
        lengths_and_dot = np.array([columns @ columns, rows @ rows, columns @ rows])
        if not np.allclose(lengths_and_dot, (1, 1, 0), atol=1e-3):
            raise ValueError(f"image_orientation is {header.image_orientation}; two orthogonal unit vectors are needed")
        return cls(header.pixel_spacing_mm, columns, rows, np.asarray(header.image_position_mm, dtype=np.float64))

    def to_lps_mm(self, x_px: float, y_px: float) -> tuple[float, float, float]:
        """Return the LPS position of an image point (x = column, y = row)."""
        point = (
            self.origin_mm
            + self.along_columns * (x_px * self.spacing_mm[1])
            + self.along_rows * (y_px * self.spacing_mm[0])
        )
        return float(point[0]), float(point[1]), float(point[2])

    def shown_axes(self) -> dict[str, int]:
        """Return the patient axes that the plane shows: name ('lr', 'ap', 'si') to LPS index.

        Of an oblique plane, these are the axes closest to its rows and columns.
        """
        return {_LPS_AXES[i]: i for i in (_dominant(self.along_columns), _dominant(self.along_rows))}

    def edge_letters(self) -> tuple[str, str, str, str]:
        """Return towards which side of the patient the left, right, top and bottom edge of the image lie.

        Left, right, posterior, anterior, head and foot, as DICOM PS3.3 C.7.6.1.1.1 abbreviates them; of an oblique
        plane all sides that they lie towards, the closest first: `HA`.
        """
        (left, right), (top, bottom) = (_sides(axis) for axis in (self.along_columns, self.along_rows))
        return left, right, top, bottom

    def margins_px(
        self, *, left: float, right: float, posterior: float, anterior: float, superior: float, inferior: float
    ) -> tuple[float, float, float, float]:
        """Convert margins per patient direction, mm, to margins towards (-x, +x, -y, +y), px."""
        towards = {
            (0, 1): left,
            (0, -1): right,
            (1, 1): posterior,
            (1, -1): anterior,
            (2, 1): superior,
            (2, -1): inferior,
        }
        result = []
        for axis, spacing in ((self.along_columns, self.spacing_mm[1]), (self.along_rows, self.spacing_mm[0])):
            index = _dominant(axis)
            sign = 1 if axis[index] > 0 else -1
            result += [towards[index, -sign] / spacing, towards[index, sign] / spacing]
        return result[0], result[1], result[2], result[3]


def _sides(axis: NDArray[np.float64]) -> tuple[str, str]:
    """Return the sides of the patient at the beginning and at the end of an image axis."""
    order = [int(one) for one in np.argsort(-np.abs(axis)) if abs(axis[one]) > OBLIQUE]
    end = "".join(_SIDES[one][int(axis[one] > 0)] for one in order)
    begin = "".join(_SIDES[one][int(axis[one] <= 0)] for one in order)
    return begin, end


def _dominant(axis: NDArray[np.float64]) -> int:
    return int(np.argmax(np.abs(axis)))
