"""A stream parser: a generator that takes bytes and yields messages.

It yields the number of bytes that it needs next, and is sent exactly those. When a message is complete it yields that
(anything but an int), or `SKIPPED` for a message of no use. It checks every length before it asks for so many bytes, so
memory stays within the limits of the format. It raises `BadFrame` if the bytes make no sense, and returns when the peer
says goodbye.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from drivers.errors import BadFrame

StreamParser = Generator[Any, bytes, None]

SKIPPED: Final = object()


def limited(what: str, count: int, limit: int) -> int:
    """Return a number of bytes to ask for. Raises `BadFrame` if it is above the limit."""
    if count > limit:
        raise BadFrame(f"{what} is {count} bytes; the limit is {limit}")
    return count
