"""A valid message of any kind, made from its type, every free text of which is planted."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from msgspec import inspect

from gating.messages import Message

PLANTED = "Zz"


def example(kind: type[Message]) -> Message:
    """A message whose texts all begin with `PLANTED`, but those of a fixed length, which are hashes."""
    return msgspec.convert(_value(inspect.type_info(kind), itertools.count()), kind)


def _value(of: Any, numbers: Any) -> Any:
    match of:
        case inspect.Metadata():
            return _value(of.type, numbers)
        case inspect.StructType():
            return {field.encode_name: _value(field.type, numbers) for field in of.fields}
        case inspect.StrType():
            fixed = of.min_length is not None and of.min_length == of.max_length
            return "0123456789abcdef"[: of.min_length] if fixed else f"{PLANTED}{next(numbers)}"
        case inspect.EnumType():
            return next(iter(of.cls)).value
        case inspect.LiteralType():
            return of.values[0]
        case inspect.TupleType():
            return [_value(one, numbers) for one in of.item_types]
        case inspect.VarTupleType() | inspect.ListType():
            return [_value(of.item_type, numbers)]
        case inspect.DictType():
            return {_value(of.key_type, numbers): _value(of.value_type, numbers)}
        case inspect.UnionType():
            return next(_value(one, numbers) for one in of.types if not isinstance(one, inspect.NoneType))
        case inspect.BoolType():
            return True
    low = next((bound for bound in (of.ge, of.gt) if bound is not None), 0)
    return low + 1 if isinstance(of, inspect.IntType) else min(low + 1.0, 1.0)
