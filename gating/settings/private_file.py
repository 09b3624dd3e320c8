"""Files with a patient's images or positions: readable by their owner alone, as session logs are."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def private_file(path: Path) -> Path:
    """Make a file with mode 0600, or give an existing one that mode, before anything is written to it.

    Returns
    -------
    Path
        The path as given, to write to. What is no regular file, such as `/dev/stdout`, is left as it is.

    Raises
    ------
    OSError
        If the file cannot be written, or belongs to another user who lets others read it.
    """
    if path.exists() and not path.is_file():
        return path
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_mode & 0o077:
            os.fchmod(file, 0o600)
    except PermissionError:
        raise PermissionError(errno.EPERM, "belongs to another user, and others may read it", str(path)) from None
    finally:
        os.close(file)
    return path
