"""Recordings of cine streams: one reader a format, one `Recording` for all of them."""

from __future__ import annotations

import os
from pathlib import Path

from drivers.errors import BadRecording
from drivers.recordings.recording import FrameSequence, Recording

__all__ = ["FrameSequence", "Recording", "open_recording"]

SpacingMm = float | tuple[float, float]


def open_recording(path: str | os.PathLike[str], pixel_spacing_mm: SpacingMm | None = None) -> Recording:
    """Open a recording; its pixels stay on disk until they are asked for.

    Parameters
    ----------
    path : an `.npz` recording, a TrackRAD2025 case folder (or its `*_frames.mha`), or a session log (`.mcap`).
    pixel_spacing_mm : (row, column) spacing, or one number for both, for a recording that does not hold its own.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    file = Path(path)
    spacing = (
        None
        if pixel_spacing_mm is None
        else (float(pixel_spacing_mm),) * 2
        if isinstance(pixel_spacing_mm, int | float)
        else pixel_spacing_mm
    )
    if not file.exists():
        raise BadRecording(f"{file}: there is no such file or folder")
    if file.is_dir() or file.suffix == ".mha":
        from drivers.recordings.trackrad import read_trackrad

        return read_trackrad(file, spacing)
    if file.suffix == ".npz":
        from drivers.recordings.npz import read_npz

        return read_npz(file, spacing)
    if file.suffix == ".mcap":
        from drivers.recordings.session_log import read_session_log

        return read_session_log(file, spacing)
    raise BadRecording(f"{file}: {file.suffix or 'no suffix'} is not a recording; .npz, .mcap, .mha or a folder is")
