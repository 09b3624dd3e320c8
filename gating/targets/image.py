"""The image in which a target was drawn: a contour means nothing without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gating.geometry.plane import HasGeometry
from gating.messages import FrameHeader, ImageHeader, Orientation, Pixels, Position, ReferenceImage

SPACING_TOLERANCE: Final = 1e-3
"""Relative; over 256 pixels this is a quarter of a pixel."""
ORIENTATION_TOLERANCE: Final = 1e-3
"""Of each direction cosine; 0.06 degrees."""
POSITION_TOLERANCE_MM: Final = 0.5
"""A plane that was planned anew shows other anatomy, in which the contour must be drawn anew."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetImage:
    """The image in which a target was drawn, with its place in the patient.

    Attributes
    ----------
    pixels
        (rows, columns), of a dtype of the wire.
    pixel_spacing_mm, image_orientation, image_position_mm
        As in a frame's header.
    content_hash
        xxh3-64 of the pixel bytes, as in a frame's header.
    """

    pixels: Pixels
    pixel_spacing_mm: tuple[float, float]
    image_orientation: Orientation
    image_position_mm: Position
    content_hash: str

    @classmethod
    def of(cls, geometry: HasGeometry, pixels: Pixels, content_hash: str) -> TargetImage:
        """Return pixels as the image of a target, placed as a frame, a stream or a recording is."""
        spacing_mm, orientation = geometry.pixel_spacing_mm, geometry.image_orientation
        return cls(pixels, spacing_mm, orientation, geometry.image_position_mm, content_hash)

    def as_message(self, session_id: str) -> ReferenceImage:
        """Return the image as the wire and the log carry it."""
        header = ImageHeader(
            session_id=session_id,
            dtype=str(self.pixels.dtype),  # type: ignore[arg-type]  # a dtype of the wire
            shape=self.pixels.shape,
            pixel_spacing_mm=self.pixel_spacing_mm,
            image_orientation=self.image_orientation,
            image_position_mm=self.image_position_mm,
            content_hash=self.content_hash,
        )
        return ReferenceImage(header, self.pixels)

    def mismatch(self, header: FrameHeader) -> str | None:
        """Return how the geometry of a frame differs from that of the image, or None if contours of one fit the other.

        The sentence names the field, both values and the limit.
        """
        pixels = self.pixels
        for field, theirs, ours in (
            ("shape", tuple(header.shape), pixels.shape),
            ("dtype", header.dtype, str(pixels.dtype)),
        ):
            if theirs != ours:
                return f"{field} is {theirs} in the frames and {ours} in the target's image; equal is needed"
        spacing_mm = self.pixel_spacing_mm
        limits = (
            ("pixel_spacing_mm", max(spacing_mm) * SPACING_TOLERANCE),
            ("image_orientation", ORIENTATION_TOLERANCE),
            ("image_position_mm", POSITION_TOLERANCE_MM),
        )
        for field, limit in limits:
            placed, wanted = getattr(header, field), getattr(self, field)
            away = float(np.abs(np.subtract(placed, wanted)).max())
            if not away <= limit:
                return (
                    f"{field} is {_numbers(placed)} in the frames and {_numbers(wanted)} in the target's image, "
                    f"{away:.4g} apart; the limit is {limit:.4g}"
                )
        return None


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
