"""A folder of PNG images as a recording, in the order of the numbers in their names."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording, DrawnIn
from drivers.formats.bounded import read_bounded
from drivers.formats.picture import DRAWN_IN, grey, has_drawings
from drivers.formats.pixels import WireDtype, wire_dtype_name
from drivers.recordings.files import MAX_FILES
from drivers.recordings.given import Given
from drivers.recordings.recording import MAX_SIDE_PX, MIN_SIDE_PX, Recording, checked_recording, wire_frame
from gating.messages import Pixels

MAX_PNG_BYTES: Final = 64 * 2**20
LOOKED_AT: Final = 10
"""Every so many images are looked at for drawings."""
_START: Final = b"\x89PNG\r\n\x1a\n"


class _PngFrames:
    def __init__(self, files: Sequence[Path], shape: tuple[int, int], dtype: WireDtype) -> None:
        self._files, self._shape, self._dtype = files, shape, dtype

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Pixels:
        pixels = grey(_read(self._files[index]))
        if pixels.shape != self._shape or pixels.dtype.name != self._dtype:
            raise BadRecording(
                f"{self._files[index]}: it is {pixels.dtype} {pixels.shape}, the first is {self._dtype} {self._shape}; "
                "all frames must agree"
            )
        return wire_frame(pixels, self._dtype)


def read_pictures(folder: Path, given: Given) -> Recording:
    """Open a folder of PNG images in grey values. Warns with `DrawnIn` if pixels have a colour.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    files = sorted((path for path in folder.iterdir() if path.suffix.lower() == ".png"), key=_by_number)
    if len(files) > MAX_FILES:
        raise BadRecording(f"{folder}: there are {len(files)} files; {MAX_FILES} is the limit")
    first = _read(files[0])
    if drawn := any(has_drawings(_read(file)) for file in files[::LOOKED_AT]):
        warnings.warn(f"{folder}: {DRAWN_IN}", DrawnIn, stacklevel=2)
    pixels = grey(first)
    dtype = wire_dtype_name(pixels)
    return checked_recording(
        path=folder,
        frames=_PngFrames(files, (pixels.shape[0], pixels.shape[1]), dtype),
        shape=(pixels.shape[0], pixels.shape[1]),
        dtype=dtype,
        stamps_ns=given.stamps_ns(folder, len(files)),
        pixel_spacing_mm=None,
        given_spacing_mm=given.pixel_spacing_mm,
        image_orientation=given.orientation,
        description="PNG images" + (f"; {DRAWN_IN}" if drawn else ""),
        times_assumed=True,
    )


def _by_number(file: Path) -> list[tuple[int, int, str]]:
    """Return a key that puts 2 before 10."""
    parts = re.split(r"(\d+)", file.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _read(file: Path) -> NDArray[Any]:
    """Return the pixels of a PNG file, whose size is checked before they are unpacked. Raises `BadRecording`."""
    import cv2

    try:
        data = read_bounded(file, MAX_PNG_BYTES)
    except BadFrame as error:
        raise BadRecording(f"{file}: {error}") from None
    if len(data) < 24 or not data.startswith(_START):
        raise BadRecording(f"{file}: is not a PNG image")
    if damage := _damage(data):
        raise BadRecording(f"{file}: {damage}")
    columns, rows = struct.unpack(">II", data[16:24])
    if not (MIN_SIDE_PX <= rows <= MAX_SIDE_PX and MIN_SIDE_PX <= columns <= MAX_SIDE_PX):
        raise BadRecording(f"{file}: it is {rows}x{columns}; sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px are read")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise BadRecording(f"{file}: is not a readable PNG image, or is incomplete")
    return pixels


def _damage(data: bytes) -> str:
    """Return which chunk of a PNG file is cut or damaged, in words; empty if all are whole.

    The decoder takes memory for whatever length a chunk states. Layout: PNG specification, section 5.3.
    """
    at = len(_START)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        end = at + 12 + length
        if end > len(data):
            return f"the chunk at byte {at} needs {12 + length} bytes; the file ends at {len(data)}"
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            return f"the chunk at byte {at} does not fit its checksum"
        if kind == b"IEND":
            return ""
        at = end
    return "the image has no end"
