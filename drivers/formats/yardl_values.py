"""Readers of values in yardl's binary encoding, piece by piece and within limits.

Encoding: microsoft.github.io/yardl/reference/binary. Yardl's own readers block until a whole value has come, believe
every length, and take 0.13 s for an image of 256 x 256 integers, one by one; these take 5 ms.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.stream import limited

MAX_DEPTH: Final = 48
MAX_ELEMENTS: Final = 2**22
"""Of an array."""
MAX_VARINT_BYTES: Final = 10

Pieces = Generator[int, bytes, Any]
"""Yields the number of bytes that it needs, is sent exactly those, and returns a value."""


class Budget:
    """Bytes that a value may still take; every element of a list costs at least one, even if it holds nothing."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, count: int) -> Pieces:
        """Return bytes. Raises `BadFrame` if the value becomes too large."""
        self.spend(count)
        return (yield count) if count else b""

    def spend(self, count: int) -> None:
        """Count bytes or elements. Raises `BadFrame`."""
        self._left -= limited("a value of the stream", count, max(0, self._left))


Reader = Callable[[Budget], Pieces]


def varint(budget: Budget) -> Pieces:
    """Read an unsigned integer."""
    value = 0
    for place in range(MAX_VARINT_BYTES):
        byte = (yield from budget.take(1))[0]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value
    raise BadFrame(f"an integer has more than {MAX_VARINT_BYTES} bytes, the limit")


def nothing(budget: Budget) -> Pieces:
    """Read a value that takes no bytes."""
    yield from budget.take(0)


def _signed(budget: Budget) -> Pieces:
    value = yield from varint(budget)
    return (value >> 1) ^ -(value & 1)


def _text(budget: Budget) -> Pieces:
    return (yield from budget.take((yield from varint(budget)))).decode("utf-8", "replace")


def _packed(form: str) -> Reader:
    layout = struct.Struct(form)

    def read(budget: Budget) -> Pieces:
        values = layout.unpack((yield from budget.take(layout.size)))
        return values[0] if len(values) == 1 else complex(*values)

    return read


def optional(held: Reader) -> Reader:
    """Return a reader of a value that may be missing (None)."""

    def read(budget: Budget) -> Pieces:
        return (yield from held(budget)) if (yield from budget.take(1))[0] else None

    return read


def union(cases: list[Reader]) -> Reader:
    """Return a reader of a value of one of several types."""

    def read(budget: Budget) -> Pieces:
        chosen = (yield from budget.take(1))[0]
        if chosen >= len(cases):
            raise BadFrame(f"case of a union is {chosen}; 0 to {len(cases) - 1} is possible")
        return (yield from cases[chosen](budget))

    return read


def record(fields: dict[str, Reader]) -> Reader:
    """Return a reader of values by name."""

    def read(budget: Budget) -> Pieces:
        values = {}
        for name, field in fields.items():
            values[name] = yield from field(budget)
        return values

    return read


def listed(items: Reader) -> Callable[[Budget, int], Pieces]:
    """Return a reader of a number of values."""

    def read(budget: Budget, count: int) -> Pieces:
        budget.spend(count)
        values = []
        for _ in range(count):
            values.append((yield from items(budget)))
        return values

    return read


def vector(items: Reader, length: int | None) -> Reader:
    """Return a reader of a list, whose length stands before it unless it is given."""
    read_items = listed(items)

    def read(budget: Budget) -> Pieces:
        return (yield from read_items(budget, (yield from varint(budget)) if length is None else length))

    return read


def mapping(key: Reader, value: Reader) -> Reader:
    """Return a reader of values by key."""
    pairs = vector(record({"key": key, "value": value}), None)

    def read(budget: Budget) -> Pieces:
        return {str(pair["key"]): pair["value"] for pair in (yield from pairs(budget))}

    return read


def array(items: Callable[[Budget, int], Pieces], lengths: list[int | None] | None) -> Reader:
    """Return a reader of an array, whose lengths stand before it unless the schema gives all of them."""

    def read(budget: Budget) -> Pieces:
        known = lengths
        if known is None:
            known = [None] * limited("number of dimensions", (yield from varint(budget)), MAX_DEPTH)
        shape: list[int] = []
        for length in known:
            shape.append((yield from varint(budget)) if length is None or None in known else length)
        count = 1
        for length in shape:
            count = limited("number of elements of an array", count * length, MAX_ELEMENTS)
        values = yield from items(budget, count)
        return values.reshape(shape) if isinstance(values, np.ndarray) else values

    return read


def elements(kind: str) -> Callable[[Budget, int], Pieces]:
    """Return a reader of a number of elements of an array, all at once."""
    dtype, longest = np.dtype(ELEMENTS[kind]), -(-8 * np.dtype(ELEMENTS[kind]).itemsize // 7)
    integers = dtype.kind in "iu" and dtype.itemsize > 1

    def read(budget: Budget, count: int) -> Pieces:
        if not integers:
            return np.frombuffer((yield from budget.take(count * dtype.itemsize)), dtype)
        pieces, missing = [], count
        while missing:
            piece = np.frombuffer((yield from budget.take(missing)), np.uint8)
            pieces.append(piece)
            missing -= int(np.count_nonzero(piece < 0x80))
            if sum(map(len, pieces)) > count * longest:
                raise BadFrame(f"an element of an array of {kind} has more than {longest} bytes, the limit")
        return _decoded(np.concatenate(pieces) if pieces else np.zeros(0, np.uint8), dtype, longest)

    return read


def _decoded(data: NDArray[np.uint8], dtype: np.dtype[Any], longest: int) -> NDArray[Any]:
    """Return the integers of variable length in some bytes."""
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(ends) and int(lengths.max()) > longest:
        raise BadFrame(f"an element of an array of {dtype} has {lengths.max()} bytes; {longest} is the limit")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max()) if len(ends) else 0):
        longer = np.flatnonzero(lengths > place)
        values[longer] |= (data[starts[longer] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    if dtype.kind == "i":
        signed = (values >> np.uint64(1)).astype(np.int64)
        values = np.where(values & np.uint64(1), ~signed, signed)
    if len(values) and not np.iinfo(dtype).min <= values.min() <= values.max() <= np.iinfo(dtype).max:
        raise BadFrame(f"an element of an array of {dtype} is out of its range")
    return values.astype(dtype)


PRIMITIVES: Final[dict[str, Reader]] = {
    **dict.fromkeys(("uint16", "uint32", "uint64", "size"), varint),
    **dict.fromkeys(("int16", "int32", "int64", "date", "time", "datetime"), _signed),
    **dict.fromkeys(("bool", "uint8"), _packed("<B")),
    "int8": _packed("<b"),
    "float32": _packed("<f"),
    "float64": _packed("<d"),
    "complexfloat32": _packed("<2f"),
    "complexfloat64": _packed("<2d"),
    "string": _text,
}
ELEMENTS: Final = {
    **{kind: kind for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool")},
    **{"float32": "<f4", "float64": "<f8", "complexfloat32": "<c8", "complexfloat64": "<c16"},
}
