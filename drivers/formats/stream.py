"""A stream parser: a generator that takes bytes and yields messages.

It yields the number of bytes that it needs next, and is sent exactly those. When a message is complete it yields that
(anything but an int), or `SKIPPED` for a message of no use. It checks every length before it asks for so many bytes, so
memory stays within the limits of the format. It raises `BadFrame` if the bytes make no sense, and returns when the peer
says goodbye.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from os import SEEK_END
from typing import Any, BinaryIO, Final

from drivers.errors import BadFrame

StreamParser = Generator[Any, bytes, None]

SKIPPED: Final = object()


def limited(what: str, count: int, limit: int) -> int:
    """Return a number of bytes to ask for. Raises `BadFrame` if it is above the limit."""
    if count > limit:
        raise BadFrame(f"{what} is {count} bytes; the limit is {limit}")
    return count


class FileParser:
    """Gives a parser the bytes of a file, which may still grow.

    Parameters
    ----------
    parser
        Parser of the messages.
    """

    def __init__(self, parser: StreamParser) -> None:
        self._parser, self._wanted, self._at = parser, next(parser), 0
        self.read_to = 0
        """Where the last whole message ends."""
        self.ended = False
        """Whether the stream has said goodbye; what follows is not read."""
        self._failed: BadFrame | None = None

    def messages(self, file: BinaryIO) -> Iterator[Any]:
        """Yield the messages that are whole and were not yielded before.

        Raises
        ------
        BadFrame
            If the bytes make no sense, again at each later call, or the file has become shorter.
        OSError
            If the file cannot be read.
        """
        if self._failed is not None:
            raise self._failed
        if file.seek(0, SEEK_END) < self._at:
            raise BadFrame(f"the file has become shorter than the {self._at} bytes that were read of it")
        while not self.ended:
            file.seek(self._at)
            data = file.read(self._wanted)
            if len(data) < self._wanted:
                return
            self._at += len(data)
            try:
                told = self._parser.send(data)
                while not isinstance(told, int):
                    self.read_to = self._at
                    yield told
                    told = next(self._parser)
            except BadFrame as error:
                self._failed = error
                raise
            except StopIteration:
                self.ended, self.read_to = True, self._at
                return
            self._wanted = told
