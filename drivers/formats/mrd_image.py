"""An image of an ISMRM Raw Data stream, of either version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.errors import BadFrame
from drivers.formats.frame import MAX_SIDE_PX

MAGNITUDE: Final = (0, 1, 3)
"""Image types: unset, magnitude, real."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The fields of MRD's ImageHeader that a frame needs."""

    dtype: str
    columns: int
    rows: int
    field_of_view_mm: tuple[float, float]
    position_mm: tuple[float, float, float]
    read_dir: tuple[float, float, float]
    phase_dir: tuple[float, float, float]
    slice: int
    ticks: int
    image_index: int
    series: int
    tick_ns: int | None = None
    """Unit of the stamp, if the image says it."""


@dataclass(frozen=True, slots=True)
class MrdImage:
    """One image message."""

    header: ImageHeader
    data: bytes
    scan: str = ""
    """Digest of the newest header, which names patient, study and frame of reference; empty if none came."""
    raw: bytes = b""
    """The header as it came, in version 1."""


def checked_size(columns: int, rows: int, slices: int, channels: int, image_type: int) -> None:
    """Raise `BadFrame` unless an image is one 2-D magnitude or real image within the limits."""
    if not (8 <= rows <= MAX_SIDE_PX and 8 <= columns <= MAX_SIDE_PX and slices == 1 and channels == 1):
        raise BadFrame(
            f"image matrix_size is {columns}x{rows}x{slices} with {channels} channels; "
            f"sides of 8 to {MAX_SIDE_PX}, 1 slice and 1 channel are read"
        )
    if image_type not in MAGNITUDE:
        raise BadFrame(f"image_type is {image_type}; 1 (magnitude) or 3 (real) is read")
