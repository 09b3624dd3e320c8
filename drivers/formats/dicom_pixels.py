"""Pixels of DICOM images, uncompressed or compressed without loss.

All sizes are known before anything is unpacked: a compressed frame declares its own, and is refused unread if it
differs from that of its image. Lossy compression changes what is tracked, so it is refused. pydicom itself unpacks RLE;
JPEG lossless, JPEG-LS and JPEG 2000 need GDCM, which is loaded when the first such image comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pydicom.uid import JPEGLossless as JPEGLosslessAny

from drivers.errors import BadFrame
from drivers.extras import install_command
from drivers.formats.frame import MAX_SIDE_PX, MIN_SIDE_PX

MAX_BYTES: Final = 256 * 2**20
MAX_FRAMES: Final = 4096
STORED: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
COMPRESSED: Final = (RLELossless, JPEGLosslessSV1, JPEGLosslessAny, JPEGLSLossless, JPEG2000Lossless)
TRANSFER_SYNTAXES: Final = (*STORED, *COMPRESSED)

_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_NO_FRAME_SIZE: Final = (0xC4, 0xC8, 0xCC)
"""Markers within the range of frame headers that begin something else (ISO/IEC 10918-1, table B.1)."""
_JPEG_LS_FRAME: Final = 0xF7


def stored_values(dataset: Dataset) -> NDArray[Any]:
    """Return the stored values in a dtype of the wire, (frames, rows, columns). Raises `BadFrame`."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in TRANSFER_SYNTAXES:
        raise BadFrame(
            f"TransferSyntaxUID is {syntax.name[:60]}; images that are uncompressed or compressed without loss are read"
        )
    count = bounded_integer(dataset, "NumberOfFrames", 1, MAX_FRAMES, default=1)
    rows = bounded_integer(dataset, "Rows", MIN_SIDE_PX, MAX_SIDE_PX)
    columns = bounded_integer(dataset, "Columns", MIN_SIDE_PX, MAX_SIDE_PX)
    bounded_integer(dataset, "SamplesPerPixel", 1, 1, default=1)
    dtype = _dtype(dataset, "<" if syntax.is_little_endian else ">")
    shape = count, rows, columns
    needed = count * rows * columns * dtype.itemsize
    if needed > MAX_BYTES:
        raise BadFrame(f"{count} frames of {rows} x {columns} are {needed} bytes; {MAX_BYTES} is the limit")
    if syntax in COMPRESSED:
        stored = _decompressed(dataset, syntax, shape, dtype)
    else:
        stored = _uncompressed(dataset, shape, dtype)
    wire = {"u": f"uint{8 * dtype.itemsize}", "i": "float32", "f": "float32"}[dtype.kind]
    with np.errstate(over="ignore"):
        return stored.astype(wire, copy=False)


def missing_decoder(syntax: UID) -> str:
    """Return the end of a sentence that says how to make a compressed syntax readable; empty if it is readable."""
    if syntax not in COMPRESSED or get_decoder(syntax).is_available:
        return ""
    return f"{syntax.name[:60]}; to read it, install GDCM with: {install_command('python-gdcm')}"


def bounded_integer(dataset: Dataset, attribute: str, least: int, most: int, default: int | None = None) -> int:
    """Return an integer attribute. Raises `BadFrame` if it is missing or out of its limits."""
    value = dataset.get(attribute)
    if value is None and default is not None:
        return default
    if value is None or not least <= int(value) <= most:
        raise BadFrame(
            f"{attribute} is {str(value)[:40] if value is not None else 'missing'}; {least} to {most} is needed"
        )
    return int(value)


def _uncompressed(dataset: Dataset, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    count, rows, columns = shape
    needed, data = count * rows * columns * dtype.itemsize, dataset.get("PixelData", b"")
    if len(data) not in (needed, needed + needed % 2):
        raise BadFrame(f"PixelData has {len(data)} bytes; {needed} are needed for {count} frames of {rows} x {columns}")
    return np.frombuffer(data, dtype, count * rows * columns).reshape(shape)


def _decompressed(dataset: Dataset, syntax: UID, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    if sentence := missing_decoder(syntax):
        raise BadFrame(f"TransferSyntaxUID is {sentence}")
    count, rows, columns = shape
    limit = 2 * rows * columns * dtype.itemsize + 65_536
    frames = 0
    for frame in generate_frames(dataset.PixelData, number_of_frames=count):
        frames += 1
        if len(frame) > limit:
            raise BadFrame(
                f"compressed frame {frames} has {len(frame)} bytes; {limit} is the limit for {rows} x {columns}"
            )
        if syntax != RLELossless and (size := _size_in_stream(frame)) != (rows, columns):
            raise BadFrame(f"compressed frame {frames} declares {size}, the image {rows} x {columns}")
    if frames != count:
        raise BadFrame(f"PixelData has {frames} compressed frames; {count} are needed")
    stored = np.empty(shape, dtype)
    for index, (image, _) in enumerate(get_decoder(syntax).iter_array(dataset, raw=True)):
        if image.shape != (rows, columns) or image.dtype.newbyteorder("=") != dtype.newbyteorder("="):
            raise BadFrame(f"compressed frame {index + 1} unpacks to {image.dtype} {image.shape}; {dtype} is needed")
        stored[index] = image
    return stored


def _size_in_stream(frame: bytes) -> tuple[int, int] | None:
    """Return the (rows, columns) that a JPEG or JPEG 2000 stream declares; None if it declares none."""
    if frame.startswith(_JPEG_2000_START):
        x_end, y_end, x_begin, y_begin = (int.from_bytes(frame[at : at + 4]) for at in (8, 12, 16, 20))
        return y_end - y_begin, x_end - x_begin
    if not frame.startswith(_JPEG_START):
        return None
    for marker, content in _segments(frame):
        if marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_SIZE):
            return int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker segments of a JPEG stream up to its first scan (ISO/IEC 10918-1, B.1.1)."""
    at = len(_JPEG_START)
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        length = int.from_bytes(frame[at + 2 : at + 4])
        yield frame[at + 1], frame[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _dtype(dataset: Dataset, order: str) -> np.dtype[Any]:
    if "FloatPixelData" in dataset:
        raise BadFrame("FloatPixelData is present; integer PixelData is read")
    bits = bounded_integer(dataset, "BitsAllocated", 8, 16)
    signed = bounded_integer(dataset, "PixelRepresentation", 0, 1)
    if bits not in (8, 16):
        raise BadFrame(f"BitsAllocated is {bits}; 8 and 16 are read")
    return np.dtype(f"{order}{'i' if signed else 'u'}{bits // 8}")
