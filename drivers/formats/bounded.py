"""Read files that other programs write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from drivers.errors import BadFrame


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a file. Raises `BadFrame` if it is too large, missing or not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BadFrame("it is not a regular file")
            if status.st_size > limit:
                raise BadFrame(f"the file has {status.st_size} bytes; {limit} is the limit")
            return file.read(limit)
    except OSError as error:
        raise BadFrame(f"it cannot be read: {error.strerror}") from None
