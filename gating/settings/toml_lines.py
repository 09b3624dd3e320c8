"""A TOML text that a user wrote, and where in it a setting stands, so that an error can name its line."""

from __future__ import annotations

import contextlib
import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

ABSENT: Final = object()
MAX_TEXT: Final = 1_000_000
"""Characters; a longer text would take minutes to read."""
_MAX_STATEMENT_LINES: Final = 100


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises
    ------
    ValueError
        If it is too long, or no TOML, or nests or counts beyond what can be read; one sentence.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has {len(text)} characters; the limit is {MAX_TEXT}")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)[:200]) from None


def look_up(plain: Any, keys: list[str]) -> Any:
    """Return the value at a path of keys and list indices, or `ABSENT`."""
    for key in keys:
        if isinstance(plain, list) and key.isdecimal() and int(key) < len(plain):
            plain = plain[int(key)]
        elif isinstance(plain, dict) and key in plain:
            plain = plain[key]
        else:
            return ABSENT
    return plain


def line_of(text: str, keys: list[str]) -> int:
    """Return the line on which the statement that sets `keys` begins, given that one does."""
    lines = text.split("\n")
    ends = [0, *_statement_ends(lines)]

    def holds_keys(end: int) -> bool:
        return look_up(tomllib.loads("\n".join(lines[:end]) + "\n"), keys) is not ABSENT

    before = bisect_left(ends, True, hi=len(ends) - 1, key=holds_keys) - 1
    return ends[before] + 1


def _statement_ends(lines: list[str]) -> Iterator[int]:
    """Yield the number of lines up to the end of each statement, of a blank line or of a comment.

    What follows a statement longer than `_MAX_STATEMENT_LINES` counts as part of it, so that the time stays bounded.
    """
    start = 0
    for end in range(1, len(lines) + 1):
        if end - start > _MAX_STATEMENT_LINES:
            break
        with contextlib.suppress(tomllib.TOMLDecodeError):  # it ends inside a value that spans lines
            tomllib.loads("\n".join(lines[start:end]) + "\n")
            yield end
            start = end
    if start < len(lines):
        yield len(lines)
