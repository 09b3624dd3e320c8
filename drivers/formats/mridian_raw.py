"""Cine series (`.raw`) of the 0.35 T MR-linac, and the file of their ROI contours.

All numbers are little-endian, without padding. Source: the conversion scripts of the TrackRAD2025 organisers
(github.com/LMUK-RADONC-PHYS-RES/trackrad2025, `scripts/proprietary_format_conversion`); no file of a machine was at
hand. The unit of the origins is not stated there, so they are checked and not used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.frame import MAX_SIDE_PX, MAX_SPACING_MM, MIN_SIDE_PX

HEADER: Final = struct.Struct("<" + "idd" * 3 + "h")
"""For x, y and z: pixels, origin, spacing in cm; then the number of frames."""
MAX_CONTOURS: Final = 100_000
MAX_POINTS: Final = 10_000
MAX_FRACTION: Final = 2.0
"""A contour may leave the frame, but not by more than its size."""
_MM_PER_CM: Final = 10.0
_CONTOUR: Final = struct.Struct("<i?ii")
"""Frame, "need soften", mode (0 crude, 1 soft), number of points; then the points, two float32 each."""


@dataclass(frozen=True, slots=True)
class RawHeader:
    """What the header of a series says."""

    rows: int
    columns: int
    frames: int
    pixel_spacing_mm: tuple[float, float]
    """(row, column)."""

    @property
    def frame_bytes(self) -> int:
        """Size of one frame, int16."""
        return 2 * self.rows * self.columns


def parse_header(data: bytes, file_bytes: int) -> RawHeader:
    """Read the header of a series whose file has so many bytes.

    Raises
    ------
    BadFrame
        One sentence that names the field, the value and the limit, also if the frames are not all there.
    """
    if len(data) < HEADER.size:
        raise BadFrame(f"the file has {len(data)} bytes; the header alone has {HEADER.size}")
    columns, _, dx_cm, rows, _, dy_cm, _, _, _, frames = HEADER.unpack_from(data)
    for axis, side in (("x", columns), ("y", rows)):
        if not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
            raise BadFrame(f"the number of pixels along {axis} is {side}; {MIN_SIDE_PX} to {MAX_SIDE_PX} are read")
    for axis, spacing_cm in (("x", dx_cm), ("y", dy_cm)):
        if not 0 < _MM_PER_CM * spacing_cm <= MAX_SPACING_MM:
            raise BadFrame(
                f"the spacing along {axis} is {spacing_cm:g} cm; above 0 up to {MAX_SPACING_MM / _MM_PER_CM:g} is read"
            )
    header = RawHeader(rows, columns, frames, (_MM_PER_CM * dy_cm, _MM_PER_CM * dx_cm))
    needed = HEADER.size + frames * header.frame_bytes
    if not (frames > 0 and file_bytes == needed):
        raise BadFrame(f"the file has {file_bytes} bytes; {frames} frames of {rows} x {columns} px need {needed}")
    return header


def parse_contours(data: bytes, shape: tuple[int, int]) -> dict[int, NDArray[np.float32]]:
    """Return the contour of each frame, (n, 2) of (x, y) px, from the content of a ROI file.

    The file gives points as fractions of the frame, from its upper left corner. A contour of fewer than three points
    encloses nothing and is left out. Of several for one frame the last stands.

    Parameters
    ----------
    data
        Content of the file.
    shape
        (rows, columns) of the frames.

    Raises
    ------
    BadFrame
        One sentence that names the field, the value and the limit.
    """
    (count,), at = struct.unpack("<i", _cut(data, 0, 4, "the number of contours")), 4
    if not 0 <= count <= min(MAX_CONTOURS, (len(data) - at) // _CONTOUR.size):
        raise BadFrame(
            f"the number of contours is {count}; {len(data)} bytes hold fewer, and {MAX_CONTOURS} is the limit"
        )
    found: dict[int, NDArray[np.float32]] = {}
    for number in range(count):
        head = _cut(data, at, _CONTOUR.size, f"contour {number}")
        frame, _, _, points = _CONTOUR.unpack(head)
        at += _CONTOUR.size
        if frame < 0 or not 0 <= points <= MAX_POINTS:
            raise BadFrame(
                f"contour {number} has {points} points, for frame {frame}; 0 to {MAX_POINTS}, for 0 or later, are read"
            )
        fractions = np.frombuffer(_cut(data, at, 8 * points, f"contour {number}"), "<f4").reshape(-1, 2)
        at += 8 * points
        if not (np.abs(fractions) <= MAX_FRACTION).all():
            raise BadFrame(
                f"contour {number} has a point beyond {MAX_FRACTION:g} frames from its corner, or not finite"
            )
        if points >= 3:
            size = np.array(shape[::-1], np.float32)
            found[frame] = fractions * size - np.float32(0.5)
    if at != len(data):
        raise BadFrame(f"{len(data) - at} bytes follow the last of {count} contours; none are read")
    return found


def _cut(data: bytes, at: int, size: int, what: str) -> bytes:
    if at + size > len(data):
        raise BadFrame(f"{what} needs {size} bytes from byte {at}; the file ends at {len(data)}")
    return data[at : at + size]
