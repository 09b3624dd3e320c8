"""Pixels as text: row by row, little-endian, as zlib in base64; for JSON files that hold images."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LITTLE_ENDIAN: Final = {"uint8": "u1", "uint16": "<u2", "float32": "<f4"}
"""How each dtype of the wire is stored."""


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
