"""Folders that no other user of this host can write to or put in the place of ours."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_private(folder: Path, *, owner: str = "") -> None:
    """Refuse a folder that another user owns, can write to, or can replace.

    Parameters
    ----------
    folder
        An existing folder.
    owner
        A user who may own it as well, if this process is root.

    Raises
    ------
    PermissionError
        With one sentence that says what is wrong.
    """
    status, trusted = folder.lstat(), _trusted(owner)
    if stat.S_ISLNK(status.st_mode):
        raise PermissionError(f"folder {folder} is a link; a folder of one's own is needed")
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionError(f"{folder} is no folder")
    if status.st_uid not in trusted:
        raise PermissionError(f"folder {folder} belongs to user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & _OTHERS_WRITE:
        raise PermissionError(f"others may write to folder {folder} (mode {status.st_mode & 0o777:o}); 700 is needed")
    for parent in sorted({*folder.absolute().parents, *folder.resolve().parents}):
        above = parent.lstat()
        if above.st_uid not in trusted:
            raise PermissionError(f"another may replace folder {folder}: {parent} belongs to user {above.st_uid}")
        open_to_all = above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX
        if open_to_all and not stat.S_ISLNK(above.st_mode):
            raise PermissionError(f"others may replace folder {folder}: {parent} has mode {above.st_mode & 0o777:o}")


def runtime_folder() -> Path:
    """Return the user's own folder for sockets, by the XDG Base Directory Specification, or else one in /tmp."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given:
        try:
            check_private(Path(given))
        except OSError:
            pass
        else:
            return Path(given) / "cinegate"
    return Path(f"/tmp/cinegate-{os.geteuid()}")  # noqa: S108 - checked whenever a socket is opened in it


def _trusted(owner: str) -> set[int]:
    trusted = {os.geteuid(), 0}
    if owner and os.geteuid() == 0:
        try:
            trusted.add(pwd.getpwnam(owner).pw_uid)
        except KeyError:
            raise PermissionError(f"host.run_as is {owner!r}; there is no such user") from None
    return trusted
