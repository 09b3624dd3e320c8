"""Turns messages into wire parts and back. It knows bytes only: no sockets, no clocks.

A message is `[topic, msgpack header]`. A frame or an image is `[topic, msgpack header, raw pixels]`, so that its pixels
are neither packed nor copied twice. Whatever arrives is checked against limits before it is unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgpack
import msgspec
import numpy as np

from gating.messages import (
    SCHEMA,
    SCHEMA_MAJOR,
    TOPICS,
    WITH_PIXELS,
    CineFrame,
    FrameHeader,
    GateCommand,
    ImageHeader,
    Message,
    Pixels,
    ReferenceImage,
)
from gating.wire.pixels import content_hash

MAX_HEADER_BYTES: Final = 128 * 1024
MAX_PIXEL_BYTES: Final = 4096 * 4096 * 4
MAX_TOPIC_BYTES: Final = 16
MAX_PARTS: Final = 3

_TYPES: Final = {topic: kind for kind, topic in TOPICS.items()}
_SCHEMA_KEY: Final = msgspec.msgpack.encode("schema")
"""The first key of our own headers, after the three bytes of a map of 16 keys or more. Decoded without it, a header
would take the schema of this version by default."""
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "uint8": np.dtype("uint8"),
    "uint16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
}

_pack: Final = msgspec.msgpack.Encoder().encode
_QUICK: Final[dict[type[Message], Any]] = {
    kind: msgspec.msgpack.Decoder(kind).decode for kind in (FrameHeader, GateCommand)
}
"""Decoders of the messages on the gate path, all of whose fields are bounded: one step, in a quarter of the time.

They refuse unknown keys, because nothing bounds their values. `_strictly` drops such keys after bounding them.
"""

Part = bytes | bytearray | memoryview
M = TypeVar("M", bound=Message)


class WireError(ValueError):
    """A message cannot be trusted. The text is one sentence that names the field, the value and the limit."""


def encode(message: Message) -> list[bytes]:
    """Return `[topic, header]`."""
    return [TOPICS[type(message)], _pack(message)]


def encode_frame(frame: CineFrame | ReferenceImage) -> list[Part]:
    """Return `[topic, header, pixels]`; the pixels are a view of the frame's own memory.

    Raises
    ------
    WireError
        If the pixels do not have the dtype and shape of the header, or are not in C order.
    """
    header, pixels = frame.header, frame.pixels
    agree = header.dtype in _DTYPES and pixels.dtype == _DTYPES[header.dtype]
    if not agree or pixels.shape != header.shape:
        raise WireError(
            f"pixels are {pixels.dtype} {pixels.shape}, but the header says {header.dtype} {tuple(header.shape)}"
        )
    if not pixels.flags.c_contiguous:
        raise WireError("pixels are not C-contiguous; the wire carries rows one after another")
    return [*encode(header), pixels.data.cast("B")]


def decode(parts: Sequence[Part]) -> Message | CineFrame | ReferenceImage:
    """Return the message, or the frame or image whose read-only pixels share the memory of the last part.

    Raises
    ------
    WireError
        If anything is unknown, truncated, oversize or inconsistent.
    """
    if not 2 <= len(parts) <= MAX_PARTS:
        raise WireError(f"message has {len(parts)} parts; 2 or 3 are allowed")
    topic, packed = bytes(parts[0][: MAX_TOPIC_BYTES + 1]), parts[1]
    kind = _TYPES.get(topic)
    if kind is None:
        raise WireError(f"topic {topic!r} is unknown; known are {', '.join(sorted(t.decode() for t in _TYPES))}")
    if kind in WITH_PIXELS:
        if len(parts) != 3:
            raise WireError(f"{topic.decode()} has {len(parts)} parts; 3 (topic, header, pixels) are needed")
        if kind is FrameHeader:
            frame = _message(packed, FrameHeader)
            return CineFrame(frame, _pixels(frame, parts[2], f"frame {frame.sequence}"))
        image = _message(packed, ImageHeader)
        return ReferenceImage(image, _pixels(image, parts[2], f"image {image.content_hash}"))
    if len(parts) != 2:
        raise WireError(f"{topic.decode()} message has {len(parts)} parts; 2 (topic, header) are needed")
    return _message(packed, kind)


def frame_header(parts: Sequence[Part]) -> FrameHeader | None:
    """Return the header of a frame and leave its pixels unread; None if `decode` would refuse the header."""
    try:
        return _message(parts[1], FrameHeader) if len(parts) == MAX_PARTS else None
    except WireError:
        return None


def _message(packed: Part, kind: type[M]) -> M:
    if len(packed) > MAX_HEADER_BYTES:
        raise WireError(f"header is {len(packed)} bytes; the limit is {MAX_HEADER_BYTES}")
    return _quickly(packed, kind) or _strictly(packed, kind)


def _quickly(packed: Part, kind: type[M]) -> M | None:
    """Return a message of exactly our schema, or None; `_strictly` then finds out why."""
    read = _QUICK.get(kind)
    if read is None or packed[3:10] != _SCHEMA_KEY:
        return None
    try:
        message: M = read(packed)
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError):
        return None
    return message if message.schema == SCHEMA else None


def _strictly(packed: Part, kind: type[M]) -> M:
    try:
        plain = msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_HEADER_BYTES,
            max_bin_len=0,
            max_array_len=8192,
            max_map_len=256,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"header is not valid msgpack within the limits: {error or type(error).__name__}") from None
    if not isinstance(plain, dict):
        raise WireError(f"header is a {type(plain).__name__}; a map is needed")
    _check_schema(plain.get("schema"))
    known = {name: plain[name] for name in kind.__struct_fields__ if name in plain}
    try:
        return msgspec.convert(known, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise WireError(f"{kind.__name__}: {error}") from None


def _check_schema(schema: object) -> None:
    name, _, version = str(schema)[:32].partition("/")
    if name != "cinegate" or version.partition(".")[0] != str(SCHEMA_MAJOR):
        raise WireError(f"schema is {str(schema)[:32]!r}; this version reads cinegate/{SCHEMA_MAJOR}.x")


def _pixels(header: FrameHeader | ImageHeader, raw: Part, what: str) -> Pixels:
    dtype, (rows, columns) = _DTYPES[header.dtype], header.shape
    expected, view = rows * columns * dtype.itemsize, memoryview(raw).toreadonly()
    size = view.nbytes
    if size != expected:
        raise WireError(f"pixels of {what} are {size} bytes; {rows}x{columns} {header.dtype} needs {expected}")
    if content_hash(view) != header.content_hash:
        raise WireError(f"content_hash of {what} does not match its pixels: they changed on the way")
    return np.ndarray((rows, columns), dtype, view)
