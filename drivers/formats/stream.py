"""What a message format is: a generator that takes a stream of bytes apart.

It yields how many bytes it needs next, is sent exactly those, and yields a message (anything but an int) when one is
complete, or `SKIPPED` after one that is of no use. It checks a length before it asks for so many bytes, so that memory
stays bounded by the format's own limits; it raises `BadFrame` where the bytes make no sense, and returns when the peer
takes its leave.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from drivers.errors import BadFrame

Format = Generator[Any, bytes, None]

SKIPPED: Final = object()


def limited(what: str, count: int, limit: int) -> int:
    """Return a count of bytes to ask for. Raises `BadFrame` above the limit."""
    if count > limit:
        raise BadFrame(f"{what} is {count} bytes; the limit is {limit}")
    return count
