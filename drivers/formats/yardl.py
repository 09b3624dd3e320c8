"""Values in yardl's binary encoding, read piece by piece and within limits, as the schema in the stream describes them.

Encoding: microsoft.github.io/yardl/reference/binary. A stream begins with its schema in JSON, which here comes from a
peer and is believed as little as the values: its size, nesting and number of types are bounded, and so are the bytes
and elements of every value. Yardl's own readers block until a whole value has come, believe every length, and take
0.3 s for an image of integers, one by one; these take 3 ms.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.stream import limited

MAGIC: Final = b"yardl"
VERSION: Final = 1
MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_TYPES: Final = 20_000
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


def read_schema() -> Pieces:
    """Read what follows the magic bytes: the version and the schema. Raises `BadFrame`."""
    budget = Budget(MAX_SCHEMA_BYTES)
    (version,) = struct.unpack("<i", (yield from budget.take(4)))
    if version != VERSION:
        raise BadFrame(f"yardl version is {version}; {VERSION} is read")
    return Schema((yield from budget.take((yield from varint(budget)))))


def varint(budget: Budget) -> Pieces:
    """Read an unsigned integer."""
    value = 0
    for place in range(MAX_VARINT_BYTES):
        byte = (yield from budget.take(1))[0]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value
    raise BadFrame(f"an integer has more than {MAX_VARINT_BYTES} bytes, the limit")


class Schema:
    """The types of a stream, turned into readers.

    Parameters
    ----------
    text
        The schema, JSON.

    Raises
    ------
    BadFrame
        If it is no schema.
    """

    def __init__(self, text: bytes) -> None:
        self._made = 0
        try:
            schema = json.loads(text)
            self.steps = {step["name"]: step["type"] for step in schema["protocol"]["sequence"]}
            self._types = {f"{schema['protocol']['name']}.{one['name']}": one for one in schema["types"]}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadFrame(f"the schema of the stream is damaged: {type(error).__name__}: {str(error)[:60]}") from None

    def definition(self, name: str) -> Any:
        """Return the JSON of a named type. Raises `BadFrame`."""
        if name not in self._types:
            raise BadFrame(f"type {name[:60]!r} is not in the schema of the stream")
        return self._types[name]

    def reader(self, kind: Any) -> Reader:
        """Return the reader of a type. Raises `BadFrame` if the schema is damaged or too large."""
        try:
            return self._reader(kind, {}, 0)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise BadFrame(f"the schema of the stream is damaged: {type(error).__name__}: {str(error)[:60]}") from None

    def _reader(self, kind: Any, arguments: Mapping[str, Any], depth: int) -> Reader:
        self._made += 1
        if self._made > MAX_TYPES or depth > MAX_DEPTH:
            raise BadFrame(f"the schema has more than {MAX_TYPES} types or {MAX_DEPTH} levels, the limits")
        if kind is None:
            return _nothing
        if isinstance(kind, str):
            return self._named(kind, (), arguments, depth)
        if isinstance(kind, list):
            cases = [self._reader(_case_type(case), arguments, depth + 1) for case in kind]
            return _optional(cases[1]) if len(cases) == 2 and kind[0] is None else _union(cases)
        if "vector" in kind:
            items = self._reader(kind["vector"]["items"], arguments, depth + 1)
            return _vector(items, _length(kind["vector"]))
        if "map" in kind:
            key, value = (self._reader(kind["map"][name], arguments, depth + 1) for name in ("keys", "values"))
            return _map(key, value)
        if "array" in kind:
            return self._array(kind["array"], arguments, depth)
        return self._named(kind["name"], kind["typeArguments"], arguments, depth)

    def _named(self, name: str, given: Any, arguments: Mapping[str, Any], depth: int) -> Reader:
        if name in arguments:
            one, outer = arguments[name]
            return self._reader(one, outer, depth + 1)
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        held = self.definition(name)
        parameters = zip(held.get("typeParameters", ()), given, strict=True)
        own = {parameter: (one, arguments) for parameter, one in parameters}
        if "fields" in held:
            return _record({field["name"]: self._reader(field["type"], own, depth + 1) for field in held["fields"]})
        if "values" in held:
            return _PRIMITIVES[held.get("base", "int32")]
        return self._reader(held["type"], own, depth + 1)

    def _array(self, array: Any, arguments: Mapping[str, Any], depth: int) -> Reader:
        kind, given = array["items"], arguments
        while isinstance(kind, str) and kind in given:
            kind, given = given[kind]
        dimensions = array.get("dimensions")
        if isinstance(dimensions, int):
            dimensions = [{}] * limited("number of dimensions", abs(dimensions), MAX_DEPTH)
        lengths = None if dimensions is None else [_length(one) for one in dimensions]
        if isinstance(kind, str) and kind in _ELEMENTS:
            return _array(_elements(kind), lengths)
        return _array(_listed(self._reader(kind, given, depth + 1)), lengths)


def _length(kind: Any) -> int | None:
    """Return the fixed length of a vector or dimension, None if there is none. Raises `ValueError`."""
    length = kind.get("length")
    if length is None or (type(length) is int and 0 <= length <= MAX_ELEMENTS):
        return length
    raise ValueError(f"length is {str(length)[:20]}")


def _case_type(case: Any) -> Any:
    return case["type"] if isinstance(case, dict) and "tag" in case else case


def _nothing(_: Budget) -> Pieces:
    return None
    yield  # a generator, as the other readers are


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


def _optional(held: Reader) -> Reader:
    def read(budget: Budget) -> Pieces:
        return (yield from held(budget)) if (yield from budget.take(1))[0] else None

    return read


def _union(cases: list[Reader]) -> Reader:
    def read(budget: Budget) -> Pieces:
        chosen = (yield from budget.take(1))[0]
        if chosen >= len(cases):
            raise BadFrame(f"case of a union is {chosen}; 0 to {len(cases) - 1} is possible")
        return (yield from cases[chosen](budget))

    return read


def _record(fields: dict[str, Reader]) -> Reader:
    def read(budget: Budget) -> Pieces:
        values = {}
        for name, field in fields.items():
            values[name] = yield from field(budget)
        return values

    return read


def _listed(items: Reader) -> Callable[[Budget, int], Pieces]:
    def read(budget: Budget, count: int) -> Pieces:
        budget.spend(count)
        values = []
        for _ in range(count):
            values.append((yield from items(budget)))
        return values

    return read


def _vector(items: Reader, length: int | None) -> Reader:
    read_items = _listed(items)

    def read(budget: Budget) -> Pieces:
        return (yield from read_items(budget, (yield from varint(budget)) if length is None else length))

    return read


def _map(key: Reader, value: Reader) -> Reader:
    pairs = _vector(_record({"key": key, "value": value}), None)

    def read(budget: Budget) -> Pieces:
        return {str(pair["key"]): pair["value"] for pair in (yield from pairs(budget))}

    return read


def _array(items: Callable[[Budget, int], Pieces], lengths: list[int | None] | None) -> Reader:
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


def _elements(kind: str) -> Callable[[Budget, int], Pieces]:
    dtype, longest = np.dtype(_ELEMENTS[kind]), -(-8 * np.dtype(_ELEMENTS[kind]).itemsize // 7)
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


_PRIMITIVES: Final[dict[str, Reader]] = {
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
_ELEMENTS: Final = {
    **{kind: kind for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool")},
    **{"float32": "<f4", "float64": "<f8", "complexfloat32": "<c8", "complexfloat64": "<c16"},
}
