"""Recordings of cine streams: one reader per format, one `Recording` for all of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from drivers.errors import BadRecording, PlaneMissing
from drivers.recordings.recording import FrameSequence, Recording

__all__ = ["FrameSequence", "Recording", "open_recording"]

FORMATS: Final = ("npz", "trackrad", "session log", "dicom", "mrd", "unity")
"""Formats that `open_recording` reads."""
FORMAT_EXTRAS: Final = {"mrd": "mrd"}
"""The extra that reading a format needs."""
SpacingMm = float | tuple[float, float]
PLANES: Final = ("sagittal", "coronal", "transversal")


def open_recording(
    path: str | os.PathLike[str], pixel_spacing_mm: SpacingMm | None = None, *, plane: str = ""
) -> Recording:
    """Open a recording. Its pixels stay on disk until they are needed.

    Parameters
    ----------
    path
        An `.npz` recording, a TrackRAD2025 case folder (or its `*_frames.mha`), a session log (`.mcap`), a folder of
        DICOM files, one multi-frame DICOM file, an MRD file (`.h5`), or a folder of a 1.5 T MR-linac's `.bin` frames.
    pixel_spacing_mm
        (row, column) spacing, or one number for both, for a recording without its own.
    plane
        Sagittal, coronal or transversal: the plane to take from several, or that the recording must show.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit. `PlaneMissing` if the plane is missing.
    """
    file = Path(path)
    if plane not in ("", *PLANES):
        raise BadRecording(f"{file}: plane {plane[:20]!r} was requested; {', '.join(PLANES)} are known")
    recording = _open(file, pixel_spacing_mm, plane)
    if plane not in ("", recording.plane):
        raise PlaneMissing(f"{file}: it is {recording.plane}; {plane} was requested")
    return recording


def _open(file: Path, pixel_spacing_mm: SpacingMm | None, plane: str) -> Recording:
    spacing = (
        None
        if pixel_spacing_mm is None
        else (float(pixel_spacing_mm),) * 2
        if isinstance(pixel_spacing_mm, int | float)
        else pixel_spacing_mm
    )
    if not file.exists():
        raise BadRecording(f"{file}: there is no such file or folder")
    if file.is_dir() and (vendor := _vendor_folder(file, spacing, plane)) is not None:
        return vendor
    if file.suffix.lower() in (".dcm", ".ima"):
        from drivers.recordings.dicom import read_dicom

        return read_dicom(file, [file], spacing, plane)
    if file.is_dir() or file.suffix == ".mha":
        from drivers.recordings.trackrad import read_trackrad

        return read_trackrad(file, spacing)
    if file.suffix == ".npz":
        from drivers.recordings.npz import read_npz

        return read_npz(file, spacing)
    if file.suffix == ".mcap":
        from drivers.recordings.session_log import read_session_log

        return read_session_log(file, spacing, plane)
    if file.suffix == ".h5":
        from drivers.recordings.mrd import read_mrd

        return read_mrd(file, spacing, plane)
    suffix = file.suffix or "no suffix"
    raise BadRecording(f"{file}: {suffix} is not a recording; .npz, .mcap, .mha, .dcm, .h5 or a folder is")


def _vendor_folder(folder: Path, spacing: tuple[float, float] | None, plane: str) -> Recording | None:
    """Open a folder of `.bin` or DICOM files; return None if it holds neither."""
    if (folder / "images").exists():
        return None
    if any(folder.glob("*.bin")):
        from drivers.recordings.unity import read_unity_folder

        return read_unity_folder(folder, spacing, plane)
    from drivers.recordings.dicom import dicom_files, read_dicom

    files = dicom_files(folder)
    return read_dicom(folder, files, spacing, plane) if files else None
