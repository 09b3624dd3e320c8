"""The file of a session log while it is being written: it must stay where it is and as it was left."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LogFile(io.FileIO):
    """A new file, readable by its owner alone (0600), that nobody else may change, move or remove.

    It is looked at before each write, because a deleted file can be written to without an error. It must be on a
    local file system, or on one that keeps the time of the last change as a local one does.

    Raises
    ------
    OSError
        If the file exists already or cannot be made; from `check` and `write`, if it is not as this process left it.
    """

    def __init__(self, path: Path) -> None:
        # Appending, so that a truncated file stays shorter than what was written: writing on would leave a hole.
        super().__init__(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "wb")
        self._path = path
        self._written = 0
        self._changed_ns = os.fstat(self.fileno()).st_mtime_ns

    def check(self) -> None:
        """Raise `OSError` if the file was removed, renamed, replaced or changed by another process."""
        ours = os.fstat(self.fileno())
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            raise _gone("it was removed or renamed") from None
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise _gone("another file took its place")
        if ours.st_size != self._written:
            raise _gone(f"{self._written} bytes were written, and it holds {ours.st_size}")
        if ours.st_mtime_ns != self._changed_ns:
            raise _gone("another process changed it")

    def write(self, data: ReadableBuffer, /) -> int:
        """Append bytes and return how many the disk took."""
        self.check()
        written = super().write(data)
        self._written += written
        self._changed_ns = os.fstat(self.fileno()).st_mtime_ns
        return written


def _gone(sentence: str) -> OSError:
    return OSError(errno.ESTALE, sentence)
