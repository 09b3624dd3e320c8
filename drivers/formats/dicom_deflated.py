"""DICOM data sets in the deflated transfer syntax (PS3.5 A.5), inflated within a limit."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from drivers.errors import BadFrame
from drivers.formats.dicom_pixels import MAX_BYTES

DEFLATED: Final = DeflatedExplicitVRLittleEndian.encode()
_PLAIN: Final = ExplicitVRLittleEndian.encode().ljust(len(DEFLATED), b"\0")
_GROUP_LENGTH: Final = struct.Struct("<128x4s2H2sHI")
"""Preamble, prefix, and the element (0002,0000) that says where the data set begins (PS3.10, 7.1)."""


def inflated(data: bytes) -> bytes:
    """Return a deflated data set as it was. Raises `BadFrame` if it is damaged or too large."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BadFrame(f"the deflated data set is damaged: {error}") from None
    if not unpacker.eof:
        what = f"unpacks to more than {MAX_BYTES} bytes, the limit" if len(plain) == MAX_BYTES else "is cut"
        raise BadFrame(f"the deflated data set {what}")
    return plain


def inflated_file(data: bytes) -> bytes:
    """Return a file whose data set is not deflated. Raises `BadFrame`.

    The library would inflate a deflated file to any size, so it is never given one.
    """
    if DEFLATED not in data:
        return data
    if len(data) < _GROUP_LENGTH.size:
        raise BadFrame(f"the file has {len(data)} bytes; {_GROUP_LENGTH.size} are needed")
    prefix, *tag, representation, _, group_bytes = _GROUP_LENGTH.unpack_from(data)
    begin = _GROUP_LENGTH.size + group_bytes
    if prefix != b"DICM" or (*tag, representation) != (2, 0, b"UL"):
        raise BadFrame("TransferSyntaxUID is deflated, and the file does not begin with the length of its meta group")
    meta = data[:begin]
    whole = meta.replace(DEFLATED, _PLAIN) + (inflated(data[begin:]) if DEFLATED in meta else data[begin:])
    if DEFLATED in whole:
        raise BadFrame("TransferSyntaxUID is deflated in a part of the file that is not its meta group")
    return whole
