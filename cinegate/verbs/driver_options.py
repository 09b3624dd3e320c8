"""Driver settings on the command line: `-o key=value` turned into settings, and a list of them all."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import Metadata, StrType, type_info
from msgspec.structs import fields

from cinegate.verbs.app import CommandError


def driver_settings(driver: Any, name: str, options: list[str] | None) -> Any:
    """Turn `key=value` texts into the driver's own validated settings.

    Unless the setting is a text, a value that begins with [ or { is read as JSON, so lists and tables can be given.

    Raises
    ------
    CommandError
        If a text is not a pair, or a setting is unknown, missing or out of bounds.
    """
    if any("=" not in text for text in options or []):
        raise CommandError(f"--option of {name}: key=value is needed, got {', '.join(options or [])}")
    pairs: dict[str, Any] = dict(text.partition("=")[::2] for text in options or [])
    texts = {field.name for field in fields(driver.Settings) if _is_text(field.type)}
    try:
        for key, value in pairs.items():
            if key not in texts and value.startswith(("[", "{")):
                pairs[key] = msgspec.json.decode(value)
        return msgspec.convert(pairs, driver.Settings, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        known = ", ".join(driver.Settings.__struct_fields__)
        raise CommandError(f"--option of {name}: {error}; known are {known}") from None


def setting_rows(driver: Any) -> list[dict[str, Any]]:
    """Return every setting of a driver: name, default (None if it must be given), allowed values, meaning."""
    kind = getattr(driver, "Settings", None)
    if kind is None:
        return []
    hints = get_type_hints(kind, include_extras=True)
    rows = []
    for field in fields(kind):
        hint = hints[field.name]
        meta = next((m for m in get_args(hint)[1:] if isinstance(m, msgspec.Meta)), None)
        default = field.default if field.default_factory is NODEFAULT else field.default_factory()
        rows.append(
            {
                "setting": field.name,
                "needed": default is NODEFAULT,
                "default": None if default is NODEFAULT else msgspec.to_builtins(default),
                "allowed": _allowed(get_args(hint)[0] if meta is not None else hint, meta),
                "meaning": "" if meta is None else meta.description or "",
            }
        )
    return rows


def bounds(meta: msgspec.Meta | None) -> str:
    """Return the range of a setting as "low to high"; empty if it has none."""
    if meta is None:
        return ""
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    return "" if low is None and high is None else f"{'-' if low is None else low} to {'-' if high is None else high}"


def _allowed(kind: Any, meta: msgspec.Meta | None) -> str:
    if get_origin(kind) is not None and all(isinstance(choice, str) for choice in get_args(kind)):
        return ", ".join(choice or '""' for choice in get_args(kind))
    return bounds(meta)


def _is_text(kind: Any) -> bool:
    known = type_info(kind)
    return isinstance(known.type if isinstance(known, Metadata) else known, StrType)
