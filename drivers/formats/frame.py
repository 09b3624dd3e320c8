"""One frame from a vendor, of whatever format, checked against the limits of the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadStamp
from drivers.formats.pixels import WireDtype, wire_dtype_name
from gating.messages import StampMeaning

MIN_SIDE_PX: Final = 8
MAX_SIDE_PX: Final = 4096
MAX_SPACING_MM: Final = 100.0
MAX_POSITION_MM: Final = 10_000.0
MAX_STAMP_NS: Final = 2**62
POSITION_TOLERANCE_MM: Final = 0.01
"""Vendors round positions in every file; a hundredth of a millimetre is not a motion."""
DIRECTION_TOLERANCE: Final = 1e-4
SPACING_TOLERANCE_MM: Final = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class PlaneGeometry:
    """Where pixels lie in the patient."""

    pixel_spacing_mm: tuple[float, float]
    """(row, column) spacing: DICOM PixelSpacing."""
    image_orientation: tuple[float, float, float, float, float, float]
    image_position_mm: tuple[float, float, float]

    @classmethod
    def checked(
        cls, spacing_mm: Sequence[Any], orientation: Sequence[Any], position_mm: Sequence[Any]
    ) -> PlaneGeometry:
        """Return the geometry if every number is within the limits of the wire. Raises `BadFrame`."""
        row, column = _numbers("pixel spacing (mm)", spacing_mm, 2, lambda value: 0 < value <= MAX_SPACING_MM)
        axes = _numbers("image orientation", orientation, 6, lambda value: abs(value) <= 1.001)
        matrix = np.reshape(axes, (2, 3))
        if not np.allclose(matrix @ matrix.T, np.eye(2), atol=1e-3):
            raise BadFrame(f"image orientation is {axes}; two orthogonal unit vectors are needed")
        x, y, z = _numbers("image position (mm)", position_mm, 3, lambda value: abs(value) <= MAX_POSITION_MM)
        return cls((row, column), (axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]), (x, y, z))

    @property
    def plane(self) -> str:
        """Sagittal, coronal or transversal, whichever is closest to the normal."""
        normal = np.cross(self.image_orientation[:3], self.image_orientation[3:])
        return ("sagittal", "coronal", "transversal")[int(np.argmax(np.abs(normal)))]

    def difference(self, other: PlaneGeometry) -> str:
        """Return the first field that differs and how, in words; empty if both are the same plane."""
        return (
            self.difference_of_spacing(other)
            or self._difference("image_orientation", other, DIRECTION_TOLERANCE)
            or self._difference("image_position_mm", other, POSITION_TOLERANCE_MM)
        )

    def difference_of_spacing(self, other: PlaneGeometry) -> str:
        """Return how the pixel spacing differs, in words; empty if it does not."""
        return self._difference("pixel_spacing_mm", other, SPACING_TOLERANCE_MM)

    def _difference(self, field: str, other: PlaneGeometry, tolerance: float) -> str:
        own, others = getattr(self, field), getattr(other, field)
        if np.allclose(own, others, rtol=0, atol=tolerance):
            return ""
        return f"{field} is {_rounded(own)}, the stream began with {_rounded(others)}"


@dataclass(frozen=True, slots=True, eq=False)
class VendorFrame:
    """Pixels, geometry and stamp of one frame."""

    pixels: NDArray[Any]
    """(rows, columns), C-contiguous, of a dtype of the wire. The engine refuses pixels that are not finite."""
    geometry: PlaneGeometry
    acquired_ns: int
    """Raw stamp on `clock`."""
    clock: str
    meaning: StampMeaning
    name: str
    """Name of the frame in sentences: a file name or an instance number."""
    series: str = ""
    """Identifier that the frames of one scan share."""
    resolution_ns: int = 0
    """Smallest step of `clock`."""
    frame_of_reference: str = ""
    """DICOM FrameOfReferenceUID of its positions; empty if unknown."""

    @property
    def plane(self) -> str:
        """Plane that the frame shows."""
        return self.geometry.plane

    @property
    def dtype(self) -> WireDtype:
        """Dtype of the pixels."""
        return wire_dtype_name(self.pixels)

    def difference(self, first: VendorFrame) -> str:
        """Return how it differs from the first frame of its plane, in words; empty if it does not."""
        return self.difference_in_kind(first) or self.geometry.difference(first.geometry)

    def difference_in_kind(self, first: VendorFrame) -> str:
        """Return why it cannot belong to the same stream, in any plane, in words; empty if it can."""
        for field, own, others in (
            ("shape", self.pixels.shape, first.pixels.shape),
            ("pixel type", self.pixels.dtype, first.pixels.dtype),
            ("clock", self.clock, first.clock),
            ("stamp's meaning", self.meaning, first.meaning),
        ):
            if own != others:
                return f"its {field} is {own}, the stream began with {others}"
        if self.frame_of_reference != first.frame_of_reference:
            return "its frame of reference is not the one that the stream began with"
        return self.geometry.difference_of_spacing(first.geometry)


def checked_frame(
    pixels: NDArray[Any],
    geometry: PlaneGeometry,
    *,
    acquired_ns: int,
    clock: str,
    meaning: StampMeaning,
    name: str,
    series: str = "",
    resolution_ns: int = 0,
    frame_of_reference: str = "",
) -> VendorFrame:
    """Return a frame that the wire can carry. Raises `BadFrame`, naming the field, its value and the limit."""
    if pixels.ndim != 2 or not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in pixels.shape):
        raise BadFrame(f"the image is {pixels.shape} px; 2 sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px are needed")
    wire_dtype_name(pixels)
    if not 0 <= acquired_ns <= MAX_STAMP_NS:
        raise BadStamp(f"the acquisition stamp is {acquired_ns} ns; 0 to {MAX_STAMP_NS} is allowed")
    contiguous = np.ascontiguousarray(pixels)
    return VendorFrame(
        contiguous, geometry, acquired_ns, clock, meaning, name, series, resolution_ns, frame_of_reference
    )


def _numbers(field: str, values: Sequence[Any], count: int, allowed: Callable[[float], bool]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != count or not all(np.isfinite(number) and allowed(number) for number in numbers):
        raise BadFrame(f"{field} is {str(values)[:80]}; {count} numbers within the limits are needed")
    return numbers


def _rounded(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
