"""Numbers and strings of the .NET binary serialisation format, read from bytes that are treated as hostile.

Every size is checked against the remaining bytes before anything is allocated.

Source: Microsoft, [MS-NRBF] .NET Remoting: Binary Format Data Structure, v20.0; section numbers below are its own.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame

MAX_TEXT_BYTES: Final = 65_536

_PRIMITIVES: Final = {
    1: np.dtype("?"),
    2: np.dtype("u1"),
    6: np.dtype("<f8"),
    7: np.dtype("<i2"),
    8: np.dtype("<i4"),
    9: np.dtype("<i8"),
    10: np.dtype("i1"),
    11: np.dtype("<f4"),
    12: np.dtype("<i8"),
    13: np.dtype("<u8"),
    14: np.dtype("<u2"),
    15: np.dtype("<u4"),
    16: np.dtype("<u8"),
}
"""Layout by PrimitiveTypeEnumeration (2.1.2.3). A TimeSpan (12) and a DateTime (13) stay as their 64 bits."""
_DECIMAL, _STRING, _NULL = 5, 18, 17


class ByteReader:
    """A position in some bytes, moved on by each read. Every method raises `BadFrame`, naming the position.

    Attributes
    ----------
    at
        Index of the next byte.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.at = memoryview(data), 0

    def take(self, byte_count: int) -> memoryview:
        """Return the next bytes."""
        if not 0 <= byte_count <= len(self._data) - self.at:
            raise BadFrame(f"{byte_count} bytes are needed at byte {self.at}, {len(self._data) - self.at} are left")
        self.at += byte_count
        return self._data[self.at - byte_count : self.at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def int32(self) -> int:
        """Return the next signed 32-bit integer."""
        value: int = struct.unpack("<i", self.take(4))[0]
        return value

    def count(self, what: str, limit: int) -> int:
        """Return the next count, of 0 to `limit`."""
        count = self.int32()
        if not 0 <= count <= limit:
            raise BadFrame(f"the number of {what} at byte {self.at - 4} is {count}; 0 to {limit} is allowed")
        return count

    def text(self) -> str:
        """Return the next string, whose length comes in 7-bit groups (2.1.1.6)."""
        length = 0
        for shift in range(0, 35, 7):
            group = self.byte()
            length |= (group & 0x7F) << shift
            if group < 0x80:
                break
        if length > MAX_TEXT_BYTES:
            raise BadFrame(f"a string at byte {self.at} has {length} bytes; {MAX_TEXT_BYTES} is the limit")
        try:
            return str(self.take(length), "utf-8")
        except UnicodeDecodeError:
            raise BadFrame(f"the string that ends at byte {self.at} is not UTF-8") from None

    def primitive(self, kind: int) -> Any:
        """Return the next value of a primitive type: a number, a string or None."""
        if kind in (_DECIMAL, _STRING):
            return self.text()
        if kind == _NULL:
            return None
        return self.numbers(kind, 1)[0].item()

    def numbers(self, kind: int, count: int) -> NDArray[Any]:
        """Return the next numbers of a primitive type."""
        dtype = _PRIMITIVES.get(kind)
        if dtype is None:
            raise BadFrame(f"primitive type {kind} at byte {self.at} is not read")
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)
