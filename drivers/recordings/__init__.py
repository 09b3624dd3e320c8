"""Recordings of cine streams: one reader per format, one `Recording` for all of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, cast

from drivers.errors import BadRecording, PlaneMissing
from drivers.formats.mrd import POSITIONS, Position
from drivers.formats.mridian_dat import UNSTEADY_FRAMES
from drivers.recordings.given import Given, without_first
from drivers.recordings.recording import FrameSequence, Recording

__all__ = ["FrameSequence", "Recording", "open_recording"]

FORMATS: Final = (
    "npz",
    "trackrad",
    "session log",
    "dicom",
    "mrd",
    "unity",
    "mridian raw",
    "mridian dat",
    "movie",
    "png",
)
"""Formats that `open_recording` reads."""
FORMAT_EXTRAS: Final = {"mrd": "mrd"}
"""The extra that reading a format needs."""
SpacingMm = float | tuple[float, float]
PLANES: Final = ("sagittal", "coronal", "transversal")
MRD: Final = (".h5", ".mrd")
MOVIES: Final = (".avi", ".mp4", ".ogv", ".gif")
_KNOWN: Final = f".npz, .mcap, .mha, .dcm, .h5, .mrd, .raw, .dat, {', '.join(MOVIES)} or a folder"


def open_recording(
    path: str | os.PathLike[str],
    pixel_spacing_mm: SpacingMm | None = None,
    *,
    plane: str = "",
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
) -> Recording:
    """Open a recording. Its pixels stay on disk until they are needed.

    Parameters
    ----------
    path
        An `.npz` recording, a TrackRAD2025 case folder (or its `*_frames.mha`), a session log (`.mcap`), a folder of
        DICOM files, one multi-frame DICOM file, an MRD file (`.h5`, `.mrd`), a folder of a 1.5 T MR-linac's `.bin`
        frames, a `.raw` series or `.dat` stream of a 0.35 T MR-linac, a movie (`.avi`, `.mp4`, `.ogv`, `.gif`), or a
        folder of PNG images.
    pixel_spacing_mm
        (row, column) spacing, or one number for both, for a recording without its own, and for an MRD file whose field
        of view gives pixels that are not square: a warning then says what it replaces.
    plane
        Sagittal, coronal or transversal: the plane to take from several, or that the recording must show. A format
        without orientations shows it, and sagittal if none is named.
    frames_per_s
        Rate of a recording without time stamps, above 0 up to 1000; `times_assumed` of the recording then says so.
    skip_frames
        Frames to leave out at the start. By default none, but the first 5 of a `.dat` stream, in which the
        magnetisation still builds up.
    position_is
        Of an MRD file: whether `position` marks the image's "centre", as the format says and by default, or its
        "corner", as converters write that copy DICOM's ImagePositionPatient.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit. `PlaneMissing` if the plane is missing.
    """
    file = Path(path)
    if plane not in ("", *PLANES):
        raise BadRecording(f"{file}: plane {plane[:20]!r} was requested; {', '.join(PLANES)} are known")
    one = (float(pixel_spacing_mm),) * 2 if isinstance(pixel_spacing_mm, int | float) else pixel_spacing_mm
    if position_is not in ("", *POSITIONS):
        raise BadRecording(f"{file}: position_is is {position_is[:20]!r}; {' or '.join(POSITIONS)} is known")
    if position_is and file.suffix not in MRD:
        raise BadRecording(f"{file}: position_is was given as {position_is}; it is for MRD files ({', '.join(MRD)})")
    given = Given(
        pixel_spacing_mm=one,
        plane=plane,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=cast(Position, position_is or POSITIONS[0]),
    )
    if not file.exists():
        raise BadRecording(f"{file}: there is no such file or folder")
    if holds_stamps(file) and frames_per_s is not None:
        raise BadRecording(f"{file}: frames_per_s was given as {frames_per_s:g}; the recording holds its own times")
    recording = _with_stamps(file, given) if holds_stamps(file) else _without_stamps(file, given)
    if plane not in ("", recording.plane):
        raise PlaneMissing(f"{file}: it is {recording.plane}; {plane} was requested")
    skipped = (UNSTEADY_FRAMES if file.suffix.lower() == ".dat" else 0) if skip_frames is None else skip_frames
    return without_first(recording, skipped)


def holds_stamps(file: Path) -> bool:
    """Return whether a recording is of a format that holds time stamps and orientations."""
    if file.is_dir():  # a picture beside other images is not what was recorded
        suffixes = {path.suffix.lower() for path in file.iterdir()}
        return ".png" not in suffixes or (file / "images").exists() or bool(suffixes & {".bin", ".dcm", ".ima"})
    return file.suffix.lower() not in (".raw", ".dat", *MOVIES)


def _without_stamps(file: Path, given: Given) -> Recording:
    """Open a recording whose times follow from a given rate."""
    suffix = file.suffix.lower()
    if file.is_dir():
        from drivers.recordings.pictures import read_pictures

        return read_pictures(file, given)
    if suffix in MOVIES:
        from drivers.recordings.movie import read_movie

        return read_movie(file, given)
    from drivers.recordings import mridian

    return mridian.read_raw(file, given) if suffix == ".raw" else mridian.read_dat(file, given)


def _with_stamps(file: Path, given: Given) -> Recording:
    spacing, plane = given.pixel_spacing_mm, given.plane
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
    if file.suffix in MRD:
        from drivers.recordings.mrd import read_mrd

        return read_mrd(file, spacing, plane, position_is=given.position_is)
    raise BadRecording(f"{file}: {file.suffix or 'no suffix'} is not a recording; {_KNOWN} is")


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
