"""Recordings with labels or a reference track, on which trackers are scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.recordings.given import Given
from drivers.recordings.mridian import ROI_SUFFIX, read_raw
from drivers.recordings.npz import read_npz
from drivers.recordings.recording import Recording
from drivers.recordings.trackrad import SequenceFiles, case_files, read_labels, read_sequence, submission_files
from gating.geometry.contours import box_contour, mask_from_contour

DEFAULT_FRAMES_PER_S: Final = 4.0
"""Rate of a recording that holds none, unless another one is given: that of most 0.35 T recordings of the challenge."""
_TRACK_SUFFIX: Final = "_reference_track.csv"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRecording:
    """A recording whose target is known, at least in its first frame.

    Attributes
    ----------
    recording
        Recording with a target.
    labels
        Masks, (frames, rows, columns), or None.
    track_px
        Reference (x, y) of the target's centre, (frames, 2), or None.
    region
        Scanned region as the TrackRAD2025 challenge names it, or "".
    """

    recording: Recording
    labels: NDArray[np.bool_] | None = None
    track_px: NDArray[np.float64] | None = None
    region: str = ""


def read_labelled(dataset: Path, frames_per_s: float = DEFAULT_FRAMES_PER_S) -> Iterator[LabelledRecording]:
    """Yield every labelled recording of a folder.

    Three layouts are read: that of the TrackRAD2025 data set (`<case>/images/<case>_frames.mha`, `<case>/targets/...`;
    `dataset` may also be one case), `<name>.npz` (`frames`, `t_s`, `pixel_spacing_mm`) with
    `<name>_reference_track.csv`, and `<name>.raw` of the 0.35 T MR-linac with its contours in `<name>.roi`.

    Parameters
    ----------
    dataset
        The folder; or one `.npz` or `.raw` file, with its truth beside it.
    frames_per_s
        Rate of the recordings that hold none: `.raw` series, and cases without `frame-rate.json`.

    Raises
    ------
    BadRecording
        If no recording has a target, or labels do not fit the frames.
    """
    found = _readers(dataset, frames_per_s)
    if not found:
        raise BadRecording(
            f"dataset: {dataset} holds no case with a target; expected <case>/images/<case>_frames.mha with "
            f"<case>/targets/<case>_first_label.mha or _labels.mha, or <name>.npz with <name>{_TRACK_SUFFIX}"
        )
    for _, read in found:
        yield read()


def count_labelled(dataset: Path) -> int:
    """Return how many recordings `read_labelled` yields. Raises `BadRecording` if it is no folder."""
    return len(_readers(dataset))


def labelled_places(dataset: Path) -> list[Path]:
    """Return where each labelled recording of a folder lies, as `read_labelled` takes it: a folder or a file.

    Raises `BadRecording` if it is no folder.
    """
    return list(dict.fromkeys(place for place, _ in _readers(dataset)))


def _readers(
    dataset: Path, frames_per_s: float = DEFAULT_FRAMES_PER_S
) -> list[tuple[Path, Callable[[], LabelledRecording]]]:
    """Return the place of every recording, and what reads it; of a file, that one."""
    if not dataset.is_dir() and not (dataset.is_file() and dataset.suffix in (".npz", ".raw")):
        raise BadRecording(f"dataset: {dataset} is not a folder")
    found: list[tuple[Path, Callable[[], LabelledRecording]]] = []
    for images in sorted([*dataset.glob("images"), *dataset.glob("*/images")]):
        every = (case_files(frames) for frames in sorted(images.glob("*_frames*.mha")))
        reads = [partial(_labelled, files, frames_per_s) for files in every if files.first_label is not None]
        found += [(images.parent, read) for read in reads]
    for recording in [dataset] if dataset.suffix == ".npz" else sorted(dataset.glob("*.npz")):
        track = recording.with_name(recording.stem + _TRACK_SUFFIX)
        if track.exists():
            found.append((recording, partial(_tracked, recording, track)))
    for series in [dataset] if dataset.suffix == ".raw" else sorted(dataset.glob("*.raw")):
        if series.with_suffix(ROI_SUFFIX).exists():
            found.append((series, partial(_contoured, series, frames_per_s)))
    return found


def read_submission(folder: Path) -> LabelledRecording:
    """Open the input of a submitted algorithm, whose first frame alone is labelled. Raises `BadRecording`."""
    if not folder.is_dir():
        raise BadRecording(f"input: {folder} is not a folder")
    return _labelled(submission_files(folder))


def _labelled(files: SequenceFiles, frames_per_s: float = DEFAULT_FRAMES_PER_S) -> LabelledRecording:
    recording = read_sequence(files, default_frames_per_s=frames_per_s)
    if recording.target_contour_px is None:
        raise BadRecording(f"{files.first_label}: the first label is empty; a target is needed")
    labels = None if files.labels is None else read_labels(files.labels)
    needed = (len(recording), *recording.shape)
    if labels is not None and labels.shape != needed:
        raise BadRecording(f"{files.labels}: the labels are {labels.shape}; the frames need {needed}")
    return LabelledRecording(recording=recording, labels=labels, region=files.region)


def _contoured(series: Path, frames_per_s: float) -> LabelledRecording:
    """Open a series whose contours in every frame are masks; if some lack one, their centres are a track."""
    recording = read_raw(series, Given(frames_per_s=frames_per_s))
    drawn = recording.target_contours_px
    if recording.target_contour_px is None:
        raise BadRecording(f"{series.with_suffix(ROI_SUFFIX)}: frame 0 has no contour; a target is needed")
    if len(drawn) < len(recording):
        return LabelledRecording(recording=recording, track_px=recording.target_track_px)
    masks = [mask_from_contour(drawn[index], recording.shape) for index in range(len(recording))]
    return LabelledRecording(recording=recording, labels=np.stack(masks))


def _tracked(file: Path, track: Path) -> LabelledRecording:
    box = re.search(r"x,y,w,h=\(([^)]*)\)", track.read_text().partition("\n")[0])
    if box is None:
        raise BadRecording(f"{track}: the first line must name the target box as x,y,w,h=(...)")
    recording = read_npz(file)
    reference = np.loadtxt(track, delimiter=",", comments="#", ndmin=2)
    if len(reference) != len(recording):
        raise BadRecording(f"{track}: {len(reference)} rows for {len(recording)} frames; one per frame is needed")
    contour_px = box_contour(*(float(value) for value in box.group(1).split(",")))
    return LabelledRecording(recording=replace(recording, target_contour_px=contour_px), track_px=reference[:, 2:4])
