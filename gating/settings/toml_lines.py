"""Where in a TOML text a setting stands, so that an error can name its line."""

from __future__ import annotations

import contextlib
import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

ABSENT: Final = object()
_MAX_STATEMENT_LINES: Final = 100


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
