"""Yardl streams, which begin with the schema of their values in JSON.

The schema comes from a peer and is believed as little as the values: its size, nesting and number of types are bounded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

from drivers.errors import BadFrame
from drivers.formats.stream import limited
from drivers.formats.yardl_values import (
    ELEMENTS,
    MAX_DEPTH,
    MAX_ELEMENTS,
    PRIMITIVES,
    Budget,
    Pieces,
    Reader,
    array,
    elements,
    listed,
    mapping,
    nothing,
    optional,
    record,
    union,
    varint,
    vector,
)

MAGIC: Final = b"yardl"
VERSION: Final = 1
MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_TYPES: Final = 20_000


def read_schema() -> Pieces:
    """Read what follows the magic bytes: the version and the schema. Raises `BadFrame`."""
    budget = Budget(MAX_SCHEMA_BYTES)
    (version,) = struct.unpack("<i", (yield from budget.take(4)))
    if version != VERSION:
        raise BadFrame(f"yardl version is {version}; {VERSION} is read")
    return Schema((yield from budget.take((yield from varint(budget)))))


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
            return nothing
        if isinstance(kind, str):
            return self._named(kind, (), arguments, depth)
        if isinstance(kind, list):
            cases = [self._reader(_case_type(case), arguments, depth + 1) for case in kind]
            return optional(cases[1]) if len(cases) == 2 and kind[0] is None else union(cases)
        if "vector" in kind:
            items = self._reader(kind["vector"]["items"], arguments, depth + 1)
            return vector(items, _length(kind["vector"]))
        if "map" in kind:
            key, value = (self._reader(kind["map"][name], arguments, depth + 1) for name in ("keys", "values"))
            return mapping(key, value)
        if "array" in kind:
            return self._array(kind["array"], arguments, depth)
        return self._named(kind["name"], kind["typeArguments"], arguments, depth)

    def _named(self, name: str, given: Any, arguments: Mapping[str, Any], depth: int) -> Reader:
        if name in arguments:
            one, outer = arguments[name]
            return self._reader(one, outer, depth + 1)
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        held = self.definition(name)
        parameters = zip(held.get("typeParameters", ()), given, strict=True)
        own = {parameter: (one, arguments) for parameter, one in parameters}
        if "fields" in held:
            return record({field["name"]: self._reader(field["type"], own, depth + 1) for field in held["fields"]})
        if "values" in held:
            return PRIMITIVES[held.get("base", "int32")]
        return self._reader(held["type"], own, depth + 1)

    def _array(self, shape: Any, arguments: Mapping[str, Any], depth: int) -> Reader:
        kind, given = shape["items"], arguments
        while isinstance(kind, str) and kind in given:
            kind, given = given[kind]
        dimensions = shape.get("dimensions")
        if isinstance(dimensions, int):
            dimensions = [{}] * limited("number of dimensions", abs(dimensions), MAX_DEPTH)
        lengths = None if dimensions is None else [_length(one) for one in dimensions]
        if isinstance(kind, str) and kind in ELEMENTS:
            return array(elements(kind), lengths)
        return array(listed(self._reader(kind, given, depth + 1)), lengths)


def _length(kind: Any) -> int | None:
    """Return the fixed length of a vector or dimension, None if there is none. Raises `ValueError`."""
    length = kind.get("length")
    if length is None or (type(length) is int and 0 <= length <= MAX_ELEMENTS):
        return length
    raise ValueError(f"length is {str(length)[:20]}")


def _case_type(case: Any) -> Any:
    return case["type"] if isinstance(case, dict) and "tag" in case else case
