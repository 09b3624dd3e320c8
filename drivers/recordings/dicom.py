"""DICOM images as a recording: a folder of single frames, or multi-frame files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drivers.recordings.files import read_folder
from drivers.recordings.recording import Recording

SUFFIXES: Final = (".dcm", ".ima")
_PREFIX: Final = 132
"""A DICOM file has the letters DICM after a preamble of 128 bytes (PS3.10 7.1)."""


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, recognised by suffix, or without one by their first bytes."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and (path.suffix.lower() in SUFFIXES or (not path.suffix and _has_dicom_prefix(path)))
    )


def read_dicom(
    path: Path, files: Sequence[Path], given_spacing_mm: Sequence[float] | None = None, plane: str = ""
) -> Recording:
    """Open files as one recording. Raises `BadRecording`."""
    from drivers.formats.dicom import read_dicom_file
    from drivers.formats.dicom_time import TIME_OF_DAY

    return read_folder(
        path,
        files,
        read_dicom_file,
        given_spacing_mm,
        plane=plane,
        day_clock=TIME_OF_DAY,
        description="DICOM",
    )


def _has_dicom_prefix(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_PREFIX)[-4:] == b"DICM"
    except OSError:
        return False
