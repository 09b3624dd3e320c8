"""What is gated: a recording from a file, or plain numpy arrays, checked alike; and how the engine reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

import drivers.recordings
from drivers.errors import BadRecording
from drivers.formats.pixels import WireDtype
from drivers.recordings.given import ORIENTATIONS
from drivers.recordings.recording import (
    Recording,
    checked_recording,
    stamps_from_seconds,
    wire_dtype,
    wire_frame,
)
from drivers.recordings.writing import write_npz
from gating.messages import Pixels

if TYPE_CHECKING:
    from drivers.recordings.scan import Scan
    from gating.analysis.replay_tracking import TrackedSession
    from gating.messages import CineFrame, StreamInfo
    from gating.settings.config import Config
    from gating.targets.spec import TargetSpec

Spacing = float | tuple[float, float]
"""Pixel spacing, mm: (row, column), or one number for both."""
Frames = Recording | str | os.PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]
"""An open recording, the path of one, or frames as an array of (frames, rows, columns)."""

_ARRAYS: Final = Path("arrays")
"""What error messages call a recording that comes from no file."""


def open_recording(
    path: str | os.PathLike[str],
    *,
    spacing_mm: Spacing | None = None,
    plane: str = "",
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
) -> Recording:
    """Open a recording of any format that the command line reads; its pixels stay on disk until they are asked for.

    Parameters
    ----------
    path
        An `.npz` recording, a TrackRAD2025 case folder (or its `*_frames.mha`), a session log (`.mcap`), a folder of
        DICOM files, one multi-frame DICOM file, an MRD file (`.h5`, `.mrd`), a folder of a 1.5 T MR-linac's `.bin`
        frames, a `.raw` series or `.dat` stream of a 0.35 T MR-linac, a movie, or a folder of PNG images.
    spacing_mm
        (row, column) spacing, or one number for both, for a recording that does not hold its own, and for an MRD file
        whose field of view gives pixels that are not square.
    plane
        sagittal, coronal or transversal, for a folder or scan that holds several, or one that does not say.
    frames_per_s
        For a recording without time stamps; its times are then assumed, and everything that shows them says so.
    skip_frames
        Frames to leave out at the start; by default those that the format needs (5 of a `.dat` stream).
    position_is
        Of an MRD file: what `position` marks, "centre" (the format, and by default) or "corner" (some converters).

    Returns
    -------
    Recording
        `frames[i]` is one image, (rows, columns); `stamps_ns` are the acquisition stamps, ns; `shape`,
        `pixel_spacing_mm`, `target_box`, `target_mask` and `target_contour_px` say what is known of it.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.

    Examples
    --------
    >>> recording = cinegate.open_recording("case.npz")
    >>> len(recording), recording.shape, recording.pixel_spacing_mm
    (200, (104, 88), (2.0, 2.0))
    """
    return drivers.recordings.open_recording(
        path,
        spacing_mm,
        plane=plane,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
    )


def recording_from_arrays(
    frames: NDArray[Any] | Sequence[NDArray[Any]],
    times_s: ArrayLike,
    spacing_mm: Spacing,
    *,
    plane: str = "sagittal",
    position_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    name: str = "arrays",
) -> Recording:
    """Make a recording of arrays, with the checks that every file passes.

    Parameters
    ----------
    frames
        (frames, rows, columns), integers or floats in arbitrary units; 2 frames or more, sides of 8 to 4096 px.
        Floats are read as float32; of integers, those within 0 to 65535 as they are.
    times_s
        (frames,) acquisition times, s; 0 or later, strictly increasing.
    spacing_mm
        (row, column) pixel spacing, mm, or one number for both; above 0 up to 100.
    plane
        sagittal, coronal or transversal: how the image lies in the patient (the usual orientation of that plane).
    position_mm
        LPS position of the centre of pixel (0, 0), mm.
    name
        What the recording is called.

    Raises
    ------
    BadRecording
        One sentence that names the field, the value and the limit.

    Examples
    --------
    >>> recording = cinegate.recording_from_arrays(frames, np.arange(len(frames)) / 8, spacing_mm=2.0)
    """
    if plane not in ORIENTATIONS:
        raise BadRecording(f"{_ARRAYS}: plane is {plane[:20]!r}; one of {', '.join(ORIENTATIONS)} is needed")
    pixels = _as_array("frames", frames)
    if pixels.ndim != 3:
        raise BadRecording(f"{_ARRAYS}: frames has shape {pixels.shape}; (frames, rows, columns) is needed")
    dtype = wire_dtype(_ARRAYS, pixels.dtype, lambda: pixels)
    return checked_recording(
        path=_ARRAYS,
        frames=_ArrayFrames(pixels, dtype),
        shape=(pixels.shape[1], pixels.shape[2]),
        dtype=dtype,
        stamps_ns=stamps_from_seconds(_ARRAYS, _as_array("times_s", times_s)),
        pixel_spacing_mm=(spacing_mm, spacing_mm) if isinstance(spacing_mm, int | float) else spacing_mm,
        given_spacing_mm=None,
        image_orientation=ORIENTATIONS[plane],
        image_position_mm=position_mm,
        name=name,
    )


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write a recording as an `.npz` file, which `open_recording` and every verb read; all its frames are in memory.

    Parameters
    ----------
    recording
        Of any format, or of arrays.
    path
        The new file, `.npz`.

    Returns
    -------
    Path of the file.

    Raises
    ------
    BadRecording
        If the file is no `.npz` or cannot be written.
    """
    file = Path(path)
    if file.suffix != ".npz":
        raise BadRecording(f"{file}: the suffix is {file.suffix or 'missing'}; .npz is written")
    try:
        write_npz(recording, file)
    except OSError as error:
        raise BadRecording(f"{file}: cannot be written: {error.strerror}") from None
    return file


def as_recording(
    source: Frames, times_s: ArrayLike | None = None, spacing_mm: Spacing | None = None, plane: str = ""
) -> Recording:
    """Return what a user handed over as a recording. Raises `BadRecording`."""
    if isinstance(source, Recording | str | os.PathLike):
        if times_s is not None:
            raise BadRecording("times_s was given; it is for arrays, and a recording holds its own")
        if not isinstance(source, Recording):
            return open_recording(source, spacing_mm=spacing_mm, plane=plane)
        if spacing_mm is not None or plane not in ("", source.plane):
            raise BadRecording(f"{source.path}: spacing_mm and plane are for arrays and paths; the recording is open")
        return source
    if times_s is None or spacing_mm is None:
        missing = "times_s" if times_s is None else "spacing_mm"
        raise BadRecording(f"{_ARRAYS}: {missing} is missing; frames as arrays need times_s and spacing_mm")
    return recording_from_arrays(source, times_s, spacing_mm, plane=plane or "sagittal")


class _ArrayFrames:
    """Frames that are in memory already."""

    def __init__(self, pixels: NDArray[Any], dtype: WireDtype) -> None:
        self._pixels, self._dtype = pixels, dtype

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> Pixels:
        return wire_frame(self._pixels[index], self._dtype)


def _as_array(field: str, values: ArrayLike | Sequence[NDArray[Any]]) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise BadRecording(f"{_ARRAYS}: {field} is no array: its parts differ in shape") from None


def recording_stream(recording: Recording) -> StreamInfo:
    """Declare a recording as a stream that is read as fast as possible."""
    from drivers.recordings.scan import interleave
    from drivers.recordings.stream import declared_stream

    return declared_stream(interleave([recording]), source=recording.name, session_id="offline")


def recording_images(recording: Recording) -> Iterator[tuple[int, Pixels]]:
    """Yield (stamp in ns, pixels) of every frame."""
    for index, stamp_ns in enumerate(recording.stamps_ns):
        yield int(stamp_ns), recording.frames[index]


def frames_within(recording: Recording | Scan, seconds: float | None) -> int:
    """Return how many frames lie in the first seconds of a recording; all of them for None."""
    since_ns = recording.stamps_ns - recording.stamps_ns[0]
    return len(recording) if seconds is None else int((since_ns <= 1e9 * seconds).sum())


def followed_recording(
    recording: Recording | Scan,
    targets: Sequence[TargetSpec],
    config: Config,
    seconds: float | None = None,
    *,
    tracked: Callable[[], None] = lambda: None,
) -> TrackedSession:
    """Follow targets once through a recording or scan, or through its first seconds, for `whatif` and `prepare`.

    `tracked` is called after every frame.
    """
    from drivers.recordings.scan import Scan, interleave
    from drivers.recordings.stream import declared_stream
    from gating.analysis.replay_tracking import track_session

    scan = recording if isinstance(recording, Scan) else interleave([recording])
    stream = declared_stream(scan, source=scan.name, session_id="offline")

    def frames() -> Iterator[CineFrame]:
        for frame in islice(_scan_frames(scan, stream), frames_within(scan, seconds)):
            yield frame
            tracked()

    return track_session(config, targets, stream, frames())


def _scan_frames(scan: Scan, stream: StreamInfo) -> Iterator[CineFrame]:
    """Yield the frames of a scan, each with the geometry of its plane."""
    from gating.engine.offline import offline_frames
    from gating.messages import CineFrame

    places = [scan.place(index) for index in range(len(scan))]
    images = ((int(at_ns), one.frames[own]) for at_ns, (one, own) in zip(scan.stamps_ns, places, strict=True))
    for frame, (one, _) in zip(offline_frames(stream, images), places, strict=True):
        shown = {name: getattr(one, name) for name in ("plane", "image_orientation", "image_position_mm")}
        yield CineFrame(replace(frame.header, **shown), frame.pixels)
