"""Where exports go: new files and folders that only their owner can read."""

from __future__ import annotations

from pathlib import Path

from gating.settings.private_file import private_file


def new_file(path: Path) -> Path:
    """Make an empty file, mode 0600, and its folder. Raises `OSError`, also if there is such a file already."""
    if path.exists():
        raise FileExistsError(f"{path}: is there already; an export replaces nothing")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return private_file(path)


def new_folder(path: Path) -> Path:
    """Make a folder, mode 0700. Raises `OSError`, also if there is one already that is not empty."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path}: is there already; an export needs a new or an empty folder")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
