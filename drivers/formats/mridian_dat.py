"""Stream of cine frames (`.dat`, "send external") of the 0.35 T MR-linac.

Repeated until a header size of 0 or the end: int32 header size, int32 data size, a header of ASCII lines `KEY=VALUE`,
and the pixels, int16, rows fastest, right side first. All numbers are little-endian. Source: the conversion scripts of
the TrackRAD2025 organisers (github.com/LMUK-RADONC-PHYS-RES/trackrad2025, `scripts/proprietary_format_conversion`); no
file of a machine was at hand. The format holds no time stamps and no orientation.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.frame import MAX_SIDE_PX, MIN_SIDE_PX, PlaneGeometry
from drivers.formats.stream import StreamParser

UNSTEADY_FRAMES: Final = 5
"""First frames of a stream, in which the magnetisation still builds up: the machine's own movies leave them out, and
so do the organisers' scripts."""
MAX_HEADER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class DatFrame:
    """One frame of a stream."""

    pixels: NDArray[np.int16]
    """(rows, columns), as the machine shows them."""
    pixel_spacing_mm: tuple[float, float]
    """(row, column)."""
    position: tuple[float, float, float]
    """`PosVec` as the file has it. Which point it marks is not known; frames of one plane share it."""

    def geometry(self, orientation: Sequence[float]) -> PlaneGeometry:
        """Return spacing, an orientation that the user names, and the position. Raises `BadFrame`."""
        return PlaneGeometry.checked(self.pixel_spacing_mm, orientation, self.position)

    def difference(self, first: DatFrame, orientation: Sequence[float]) -> str:
        """Return how it differs from the first frame of its stream, in words; empty if it does not."""
        if self.pixels.shape != first.pixels.shape:
            return f"its shape is {self.pixels.shape}, the stream began with {first.pixels.shape}"
        return self.geometry(orientation).difference(first.geometry(orientation))


def parse_frames() -> StreamParser:
    """Parse a stream; yield a `DatFrame` for each frame. See `drivers.formats.stream`."""
    while True:
        (header_bytes,) = struct.unpack("<i", (yield 4))
        if header_bytes == 0:
            return
        if not 0 < header_bytes <= MAX_HEADER_BYTES:
            raise BadFrame(f"the header size is {header_bytes} bytes; 0 to {MAX_HEADER_BYTES} is read")
        (data_bytes,) = struct.unpack("<i", (yield 4))
        fields = _fields((yield header_bytes))
        rows, columns = (_side(fields, f"DICOM.NoOf{name}") for name in ("Rows", "Cols"))
        if data_bytes != 2 * rows * columns:
            raise BadFrame(f"the data size is {data_bytes} bytes; {rows} x {columns} px need {2 * rows * columns}")
        stored = np.frombuffer((yield data_bytes), "<i2")
        pixels = np.ascontiguousarray(stored.reshape(columns, rows).T[:, ::-1])
        spacing, position = _numbers(fields, "DICOM.PixelSpacing", 2), _numbers(fields, "DICOM.PosVec", 3)
        yield DatFrame(pixels, (spacing[0], spacing[1]), (position[0], position[1], position[2]))


def _fields(header: bytes) -> dict[str, str]:
    try:
        lines = header.decode("ascii").strip("\0").splitlines()
    except UnicodeDecodeError:
        raise BadFrame("the header holds bytes that are not ASCII; lines of KEY=VALUE are read") from None
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _side(fields: dict[str, str], key: str) -> int:
    text = fields.get(key, "missing")
    if not (text.isdecimal() and len(text) < 9 and MIN_SIDE_PX <= int(text) <= MAX_SIDE_PX):
        raise BadFrame(f"{key} is {text[:20]!r}; {MIN_SIDE_PX} to {MAX_SIDE_PX} px are read")
    return int(text)


def _numbers(fields: dict[str, str], key: str, count: int) -> list[float]:
    texts = [fields.get(f"{key}.{index}", "missing") for index in range(count)]
    try:
        return [float(text) for text in texts]
    except ValueError:
        raise BadFrame(f"{key} is {', '.join(texts)[:60]!r}; {count} numbers are needed") from None
