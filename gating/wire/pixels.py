"""Pixels as bytes: their hash, and their text in JSON files that hold images (row by row, as zlib in base64)."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from gating.messages import Pixels

LITTLE_ENDIAN: Final = {"uint8": "u1", "uint16": "<u2", "float32": "<f4"}
"""How each dtype of the wire is stored."""


def content_hash(pixels: Pixels | bytes | bytearray | memoryview) -> str:
    """Return the xxh3-64 of the pixel bytes as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(memoryview(pixels))  # type: ignore[arg-type]  # numpy's stubs hide the buffer protocol


def pack(pixels: NDArray[Any], level: int) -> str:
    """Return pixels of a dtype of the wire as text, compressed at a level of zlib."""
    raw = np.ascontiguousarray(pixels, LITTLE_ENDIAN[str(pixels.dtype)]).tobytes()
    return base64.b64encode(zlib.compress(raw, level)).decode("ascii")


def unpack(packed: str, most_bytes: int) -> bytes:
    """Return the bytes that were packed; of more than `most_bytes`, one more than that and no others.

    Raises
    ------
    ValueError
        If the text is no base64, or holds no zlib or half of one.
    """
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), most_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(raw) == most_bytes and not unpacker.eof:
        raise ValueError("it has no end")
    return raw
