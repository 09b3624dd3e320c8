"""The recordings that a Set up page may open: those in the folders that the console was started with, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cinegate.console.picture import image_header, thinned
from cinegate.console.protocol import pack
from cinegate.console.setup_plan import Shown
from cinegate.console.worker import WorkError
from drivers.recordings import Recording, open_recording

SUFFIXES: Final = (".npz", ".mcap", ".mha", ".h5", ".dcm", ".ima")
MAX_LISTED: Final = 500


def catalogue(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the recordings in some folders, and the folders that are recordings themselves, by name for the page."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in [folder] if _is_recording(folder) else _entries(folder):
            if len(found) < MAX_LISTED and _is_recording(path):
                name = os.path.relpath(path, folder.parent)
                found[str(path) if name in found else name] = path
    return found


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_recording(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    return path.is_dir() and ((path / "images").is_dir() or any(_vendor_files(path)))


def _vendor_files(folder: Path) -> Iterator[Path]:
    return (one for one in folder.iterdir() if one.suffix.lower() in (".bin", ".dcm", ".ima"))


def recording_path(name: str, folders: Sequence[Path]) -> Path:
    """Return the path of a recording by its name in the catalogue. Raises `WorkError`."""
    known = catalogue(folders)
    if name not in known:
        raise WorkError(f"recording is {name[:80]!r}; there is none of that name in {', '.join(map(str, folders))}")
    return known[name]


def opened(shown: Shown, folders: Sequence[Path]) -> Recording:
    """Return a recording; the one that was opened last stays open. Raises `WorkError`, `BadRecording`."""
    path = recording_path(shown.recording, folders)
    return _open(path, shown.plane, shown.pixel_spacing_mm, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _open(path: Path, plane: str, spacing_mm: float | None, _changed_ns: int) -> Recording:
    return open_recording(path, spacing_mm, plane=plane)


def description(recording: Recording) -> dict[str, Any]:
    """Return what the page says of a recording."""
    held = recording.target_contour_px
    return {
        "name": recording.name,
        "frames": len(recording),
        "frames_per_s": 1e9 / recording.nominal_interval_ns if len(recording) > 1 else None,
        "plane": recording.plane,
        "shape": recording.shape,
        "spacing_mm": recording.pixel_spacing_mm,
        "description": recording.description,
        "target_px": None if held is None else held.tolist(),
    }


def framed(recording: Recording, index: int) -> bytes:
    """Return one frame as the page draws it. Raises `WorkError` if there is none of that number."""
    if not 0 <= index < len(recording):
        raise WorkError(f"frame is {index}; {recording.name} has frames 0 to {len(recording) - 1}")
    pixels = recording.frames[index]
    at_s = (recording.stamps_ns[index] - recording.stamps_ns[0]) / 1e9
    header = image_header(recording, recording.shape, str(pixels.dtype), recording.plane)
    return pack(header | {"number": index, "sequence": index, "at_s": float(at_s), "contours": []}, thinned(pixels))
