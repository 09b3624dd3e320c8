"""A reader of the .NET binary serialisation format (MS-NRBF) that treats its input as hostile.

Records become plain data: a class becomes an `NrbfObject`, an array of numbers a numpy array, anything else Python
numbers and strings. Type names are kept as text; nothing that they name is looked up, imported or constructed. Each
size is checked against the remaining bytes before anything is allocated, and nesting, objects and lengths are bounded.

Source: Microsoft, [MS-NRBF] .NET Remoting: Binary Format Data Structure, v20.0; section numbers below are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from drivers.errors import BadFrame
from drivers.formats.nrbf_bytes import ByteReader

MAX_BYTES: Final = 64 * 2**20
MAX_DEPTH: Final = 32
MAX_OBJECTS: Final = 100_000
MAX_MEMBERS: Final = 256
MAX_ELEMENTS: Final = 100_000
"""Of all arrays of objects together; arrays of numbers are bounded by the remaining bytes."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to the object with this id."""

    object_id: int


@dataclass(frozen=True, slots=True)
class NrbfObject:
    """One serialised class: its type name, and its members by name, in order."""

    type_name: str
    members: dict[str, Any]


@dataclass(slots=True)
class NrbfDocument:
    """A parsed stream."""

    root_id: int
    objects: dict[int, Any] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """Return the object of a reference, any other value as it is. Raises `BadFrame` for an unknown object."""
        if not isinstance(value, Ref):
            return value
        if value.object_id not in self.objects:
            raise BadFrame(f"object {value.object_id} is referenced, but is not in the stream")
        return self.objects[value.object_id]

    @property
    def root(self) -> NrbfObject:
        """The outermost object. Raises `BadFrame` if it is missing or is not a class."""
        root = self.resolve(Ref(self.root_id))
        if not isinstance(root, NrbfObject):
            raise BadFrame(f"the root object is a {type(root).__name__}; a class is needed")
        return root


def parse_nrbf(data: bytes) -> NrbfDocument:
    """Parse a whole stream.

    Raises
    ------
    BadFrame
        One sentence. No other exception is raised, whatever the bytes.
    """
    if len(data) > MAX_BYTES:
        raise BadFrame(f"the stream has {len(data)} bytes; {MAX_BYTES} is the limit")
    return _Parser(data).parse()


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    binary_type: int
    """BinaryTypeEnumeration (2.1.2.2)."""
    primitive: int
    """PrimitiveTypeEnumeration, if `binary_type` is Primitive."""


@dataclass(frozen=True, slots=True)
class _ClassLayout:
    type_name: str
    members: tuple[_Member, ...]


@dataclass(frozen=True, slots=True)
class _Nulls:
    """A run of null elements, in one record (2.5.5, 2.5.6)."""

    count: int


_END: Final = object()
_LIBRARY: Final = object()


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._bytes, self._depth = ByteReader(data), 0
        self._elements_left = MAX_ELEMENTS
        self._layouts: dict[int, _ClassLayout] = {}
        self._document = NrbfDocument(0)
        self._records: dict[int, Callable[[], Any]] = {
            1: self._class_with_id,
            4: self._system_class,
            5: self._class,
            6: self._string_object,
            7: self._binary_array,
            8: lambda: self._bytes.primitive(self._bytes.byte()),
            9: lambda: Ref(self._bytes.int32()),
            10: lambda: None,
            11: lambda: _END,
            12: self._library,
            13: lambda: _Nulls(self._bytes.byte()),
            14: lambda: _Nulls(self._bytes.count("null elements", MAX_ELEMENTS)),
            15: self._primitive_array,
            16: self._object_array,
            17: self._object_array,
        }

    def parse(self) -> NrbfDocument:
        first = self._bytes.byte()
        if first != 0:
            raise BadFrame(f"the first byte is {first}; 0 (a stream header) is needed")
        self._document.root_id, _, major, minor = (self._bytes.int32() for _ in range(4))
        if (major, minor) != (1, 0):
            raise BadFrame(f"the format version is {major}.{minor}; 1.0 is read")
        while self._record() is not _END:
            pass
        return self._document

    def _record(self) -> Any:
        """Read one record (2.1.2.1)."""
        kind = self._bytes.byte()
        read = self._records.get(kind)
        if read is None:
            raise BadFrame(f"record type {kind} at byte {self._bytes.at - 1} is not read")
        if self._depth >= MAX_DEPTH:
            raise BadFrame(f"records are nested deeper than {MAX_DEPTH} at byte {self._bytes.at - 1}")
        self._depth += 1
        value = read()
        self._depth -= 1
        return value

    def _value(self) -> Any:
        """Read the record of a member or an element, after any library records before it."""
        value = self._record()
        while value is _LIBRARY:
            value = self._record()
        if value is _END:
            raise BadFrame(f"the stream ends at byte {self._bytes.at} within an object")
        return value

    def _keep(self, object_id: int, value: Any) -> Ref:
        objects = self._document.objects
        if object_id in objects:
            raise BadFrame(f"object {object_id} appears twice, again before byte {self._bytes.at}")
        if len(objects) >= MAX_OBJECTS:
            raise BadFrame(f"there are more than {MAX_OBJECTS} objects")
        objects[object_id] = value
        return Ref(object_id)

    def _library(self) -> Any:
        self._bytes.int32()
        self._bytes.text()
        return _LIBRARY

    def _string_object(self) -> Ref:
        return self._keep(self._bytes.int32(), self._bytes.text())

    def _class(self) -> Ref:
        object_id, layout = self._layout()
        self._bytes.int32()
        return self._members(object_id, layout)

    def _system_class(self) -> Ref:
        return self._members(*self._layout())

    def _class_with_id(self) -> Ref:
        object_id, metadata_id = self._bytes.int32(), self._bytes.int32()
        layout = self._layouts.get(metadata_id)
        if layout is None:
            raise BadFrame(f"object {object_id} has the layout of object {metadata_id}, which is unknown")
        return self._members(object_id, layout)

    def _layout(self) -> tuple[int, _ClassLayout]:
        """Read ClassInfo (2.3.1.1) and MemberTypeInfo (2.3.1.2)."""
        object_id, type_name = self._bytes.int32(), self._bytes.text()
        names = [self._bytes.text() for _ in range(self._bytes.count("members", MAX_MEMBERS))]
        kinds = [self._bytes.byte() for _ in names]
        members = [_Member(name, kind, self._type_detail(kind)) for name, kind in zip(names, kinds, strict=True)]
        layout = _ClassLayout(type_name, tuple(members))
        self._layouts[object_id] = layout
        return object_id, layout

    def _type_detail(self, binary_type: int) -> int:
        """Read the detail that follows a type; return the type of a primitive, 0 for any other."""
        match binary_type:
            case 0 | 7:
                return self._bytes.byte()
            case 3:
                self._bytes.text()
            case 4:
                self._bytes.text()
                self._bytes.int32()
            case 1 | 2 | 5 | 6:
                pass
            case _:
                raise BadFrame(f"member type {binary_type} before byte {self._bytes.at} is unknown")
        return 0

    def _members(self, object_id: int, layout: _ClassLayout) -> Ref:
        members: dict[str, Any] = {}
        reference = self._keep(object_id, NrbfObject(layout.type_name, members))
        for member in layout.members:
            value = self._bytes.primitive(member.primitive) if member.binary_type == 0 else self._value()
            if isinstance(value, _Nulls):
                at = self._bytes.at
                raise BadFrame(f"member {member.name!r} before byte {at} is a run of nulls; one value is needed")
            members[member.name] = value
        return reference

    def _primitive_array(self) -> Ref:
        object_id, length = self._bytes.int32(), self._bytes.count("array elements", MAX_BYTES)
        return self._keep(object_id, self._bytes.numbers(self._bytes.byte(), length))

    def _object_array(self) -> Ref:
        object_id, length = self._bytes.int32(), self._bytes.count("array elements", MAX_ELEMENTS)
        return self._elements(object_id, length)

    def _binary_array(self) -> Ref:
        """Read an array with one dimension that starts at 0 (2.4.3.1); other shapes are refused."""
        object_id, shape, rank = self._bytes.int32(), self._bytes.byte(), self._bytes.int32()
        if rank != 1 or shape not in (0, 1):
            raise BadFrame(f"array {object_id} has shape {shape} and {rank} dimensions; one dimension is read")
        length, binary_type = self._bytes.count("array elements", MAX_BYTES), self._bytes.byte()
        detail = self._type_detail(binary_type)
        if binary_type == 0:
            return self._keep(object_id, self._bytes.numbers(detail, length))
        return self._elements(object_id, length)

    def _elements(self, object_id: int, length: int) -> Ref:
        self._elements_left -= length
        if self._elements_left < 0:
            raise BadFrame(f"arrays of objects hold more than {MAX_ELEMENTS} elements")
        elements: list[Any] = []
        reference = self._keep(object_id, elements)
        while len(elements) < length:
            value = self._value()
            run = value.count if isinstance(value, _Nulls) else 1
            if not 1 <= run <= length - len(elements):
                raise BadFrame(f"array {object_id} of {length} elements holds a run of {run} nulls at {len(elements)}")
            elements += [None] * run if isinstance(value, _Nulls) else [value]
        return reference
