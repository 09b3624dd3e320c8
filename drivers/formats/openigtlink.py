"""The OpenIGTLink messages in use here: IMAGE, TRANSFORM, POINT, POLYDATA, STATUS and STRING.

Protocol: openigtlink.org/protocols (versions 2 and 3). Numbers are big-endian; each image declares the order of its
pixels. Positions are sent in RAS mm, as 3D Slicer expects; ours are LPS, so x and y change sign.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.crc64 import crc64
from drivers.formats.frame import MAX_SIDE_PX, PlaneGeometry
from drivers.formats.stream import StreamParser, limited

NS: Final = 10**9
MAX_IMAGE_BYTES: Final = MAX_SIDE_PX * MAX_SIDE_PX * 8 + 65_536
MAX_OTHER_BYTES: Final = 1 * 2**20
RAS, LPS = 1, 2
RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
OK, NOT_FOUND, NOT_READY = 1, 4, 13
"""Codes of STATUS."""

_HEADER: Final = struct.Struct(">H12s20sIIQQ")
_EXTENDED: Final = struct.Struct(">HHII")
_IMAGE: Final = struct.Struct(">HBBBB3H12f3H3H")
_TRANSFORM: Final = struct.Struct(">12f")
_DTYPES: Final = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8"}
_OUT_TYPES: Final = {"uint8": 3, "uint16": 5, "float32": 10}


@dataclass(frozen=True, slots=True)
class Image:
    """A single 2-D scalar image."""

    device: str
    stamp_ns: int
    """UTC, ns since 1970."""
    pixels: NDArray[Any]
    ijk_to_lps: NDArray[np.float64]
    """(4, 4): (column, row, 0, 1) to mm."""


@dataclass(frozen=True, slots=True)
class Other:
    """A message of another type, skipped unread."""

    kind: str
    device: str


@dataclass(frozen=True, slots=True)
class Transform:
    """A pose, (4, 4), RAS mm."""

    device: str
    stamp_ns: int
    matrix: NDArray[np.float64]


def parse_messages() -> StreamParser:
    """Parse a stream; yield an `Image`, `Transform` or `Other` for each message. See `drivers.formats.stream`."""
    while True:
        version, kind, device, seconds, fraction, body_bytes, check = _HEADER.unpack((yield _HEADER.size))
        if version not in (1, 2):
            raise BadFrame(f"header version is {version}; 1 or 2 is read (big-endian)")
        name, device = _text("message type", kind), _text("device name", device)
        limit = MAX_IMAGE_BYTES if name == "IMAGE" else MAX_OTHER_BYTES
        body = (yield limited(f"body of {name} {device}", body_bytes, limit)) if body_bytes else b""
        if name not in ("IMAGE", "TRANSFORM"):
            yield Other(name, device)
            continue
        if crc64(body) != check:
            raise BadFrame(f"checksum of {name} {device} is {check:016x}; {crc64(body):016x} is that of its body")
        content = _content(body) if version == 2 else memoryview(body)
        stamp_ns = seconds * NS + (fraction * NS >> 32)
        yield _image(device, stamp_ns, content) if name == "IMAGE" else _transform(device, stamp_ns, content)


def geometry(image: Image, pose_ras: NDArray[np.float64] | None = None) -> PlaneGeometry:
    """Return where the pixels lie, moved by the pose if there is one. Raises `BadFrame`."""
    matrix = image.ijk_to_lps
    if pose_ras is not None:
        matrix = RAS_TO_LPS @ pose_ras @ RAS_TO_LPS @ matrix
    column_mm, row_mm = float(np.linalg.norm(matrix[:3, 0])), float(np.linalg.norm(matrix[:3, 1]))
    if not (column_mm > 0 and row_mm > 0):
        raise BadFrame(f"pixel spacing of {image.device} is {row_mm:g}, {column_mm:g} mm; above 0 is needed")
    axes = (*(matrix[:3, 0] / column_mm), *(matrix[:3, 1] / row_mm))
    return PlaneGeometry.checked((row_mm, column_mm), axes, tuple(matrix[:3, 3]))


def image_message(
    device: str,
    stamp_ns: int,
    pixels: NDArray[Any],
    spacing_mm: tuple[float, float],
    axes: Sequence[float],
    position_mm: Sequence[float],
) -> bytes:
    """Return an IMAGE of (rows, columns) pixels; spacing (row, column), axes and position as in DICOM."""
    rows, columns = pixels.shape
    along, down = np.array(axes[:3]) * spacing_mm[1], np.array(axes[3:]) * spacing_mm[0]
    centre = np.array(position_mm) + along * (columns - 1) / 2 + down * (rows - 1) / 2
    normal = np.cross(axes[:3], axes[3:])
    vectors = np.stack([along, down, normal, centre]) * [-1.0, -1.0, 1.0]
    size = (columns, rows, 1)
    head = _IMAGE.pack(1, 1, _OUT_TYPES[pixels.dtype.name], 2, RAS, *size, *vectors.ravel(), 0, 0, 0, *size)
    return _message("IMAGE", device, stamp_ns, head + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


def transform_message(device: str, stamp_ns: int, position_lps_mm: tuple[float, float, float]) -> bytes:
    """Return a TRANSFORM, without rotation, to a position."""
    x, y, z = position_lps_mm
    return _message("TRANSFORM", device, stamp_ns, _TRANSFORM.pack(1, 0, 0, 0, 1, 0, 0, 0, 1, -x, -y, z))


def point_message(device: str, stamp_ns: int, name: str, position_lps_mm: tuple[float, float, float]) -> bytes:
    """Return a POINT."""
    x, y, z = position_lps_mm
    body = struct.pack(">64s32s4B3ff20s", name.encode()[:63], b"cinegate", 255, 255, 0, 255, -x, -y, z, 0.0, b"")
    return _message("POINT", device, stamp_ns, body)


def polydata_message(device: str, stamp_ns: int, outline_lps_mm: Sequence[tuple[float, float, float]]) -> bytes:
    """Return a POLYDATA of one closed line through the points."""
    points = np.array(outline_lps_mm, ">f4").reshape(-1, 3) * np.array([-1, -1, 1], ">f4")
    line = np.array([len(points) + 1, *range(len(points)), 0], ">u4").tobytes()
    head = struct.pack(">10I", len(points), 0, 0, 1, len(line), 0, 0, 0, 0, 0)
    return _message("POLYDATA", device, stamp_ns, head + points.astype(">f4").tobytes() + line)


def status_message(device: str, stamp_ns: int, code: int, subcode: int, name: str, text: str) -> bytes:
    """Return a STATUS."""
    body = struct.pack(">Hq20s", code, subcode, name.encode()[:19]) + text.encode()[:400] + b"\0"
    return _message("STATUS", device, stamp_ns, body)


def string_message(device: str, stamp_ns: int, text: str) -> bytes:
    """Return a STRING."""
    encoded = text.encode("ascii", "replace")[:400]
    return _message("STRING", device, stamp_ns, struct.pack(">HH", 3, len(encoded)) + encoded)


def _message(kind: str, device: str, stamp_ns: int, body: bytes) -> bytes:
    seconds, rest_ns = divmod(stamp_ns, NS)
    stamp = (seconds, (rest_ns << 32) // NS)
    return _HEADER.pack(1, kind.encode(), device.encode()[:20], *stamp, len(body), crc64(body)) + body


def _content(body: bytes) -> memoryview:
    """Return the content between the extended header and the metadata (header version 2)."""
    if len(body) < _EXTENDED.size:
        raise BadFrame(f"extended header has {len(body)} bytes; {_EXTENDED.size} are needed")
    header_bytes, index_bytes, metadata_bytes, _ = _EXTENDED.unpack_from(body)
    end = len(body) - index_bytes - metadata_bytes
    if not _EXTENDED.size <= header_bytes <= end:
        raise BadFrame(f"extended header and metadata are {header_bytes} and {len(body) - end} of {len(body)} bytes")
    return memoryview(body)[header_bytes:end]


def _image(device: str, stamp_ns: int, content: memoryview) -> Image:
    if len(content) < _IMAGE.size:
        raise BadFrame(f"IMAGE {device} has {len(content)} bytes; its header alone has {_IMAGE.size}")
    values = _IMAGE.unpack_from(content)
    components, scalar, endian, coordinates, (columns, rows, slices) = *values[1:5], values[5:8]
    vectors = np.array(values[8:20]).reshape(4, 3)
    if components != 1 or scalar not in _DTYPES:
        raise BadFrame(f"IMAGE {device} has {components} components of scalar type {scalar}; 1 number a pixel is read")
    if endian not in (1, 2) or coordinates not in (RAS, LPS):
        raise BadFrame(f"IMAGE {device} has endian {endian} and coordinates {coordinates}; 1 or 2 is needed")
    if slices != 1 or not (8 <= rows <= MAX_SIDE_PX and 8 <= columns <= MAX_SIDE_PX):
        raise BadFrame(f"IMAGE {device} is {columns}x{rows}x{slices}; sides of 8 to {MAX_SIDE_PX} and 1 slice are read")
    if values[20:26] != (0, 0, 0, columns, rows, slices):
        raise BadFrame(f"IMAGE {device} is a part, {values[20:26]}, of {columns}x{rows}; whole images are read")
    dtype = np.dtype(_DTYPES[scalar]).newbyteorder(">" if endian == 1 else "<")
    raw = content[_IMAGE.size :]
    if len(raw) != rows * columns * dtype.itemsize:
        raise BadFrame(
            f"IMAGE {device} has {len(raw)} pixel bytes; {columns}x{rows} {dtype.name} needs "
            f"{rows * columns * dtype.itemsize}"
        )
    along, down, normal, centre = vectors
    matrix = np.eye(4)
    corner = centre - along * (columns - 1) / 2 - down * (rows - 1) / 2
    matrix[:3] = np.column_stack([along, down, normal, corner])
    pixels = np.frombuffer(raw, dtype).reshape(rows, columns)
    return Image(device, stamp_ns, pixels, RAS_TO_LPS @ matrix if coordinates == RAS else matrix)


def _transform(device: str, stamp_ns: int, content: memoryview) -> Transform:
    if len(content) != _TRANSFORM.size:
        raise BadFrame(f"TRANSFORM {device} has {len(content)} bytes; {_TRANSFORM.size} are needed")
    matrix = np.eye(4)
    matrix[:3] = np.array(_TRANSFORM.unpack(content)).reshape(4, 3).T
    if not np.isfinite(matrix).all() or not np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3):
        raise BadFrame(f"TRANSFORM {device} is not a rotation with a finite position")
    return Transform(device, stamp_ns, matrix)


def _text(what: str, raw: bytes) -> str:
    try:
        return raw.rstrip(b" \t\r\n\0").decode("ascii")
    except UnicodeDecodeError:
        raise BadFrame(f"{what} is {raw[:20]!r}; ASCII is needed") from None
