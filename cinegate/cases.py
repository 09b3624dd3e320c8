"""Labelled recordings, as a driver reads them, turned into the cases that the evaluation scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gating.evaluation.case import Case

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from drivers.recordings.labelled import LabelledRecording


def read_cases(dataset: Path, frames_per_s: float | None = None) -> Iterator[Case]:
    """Every case of a folder, one at a time, laid out as `drivers.recordings.labelled.read_labelled` says.

    `frames_per_s` is the rate of recordings that hold none, by default 4. Raises `BadRecording`.
    """
    from drivers.recordings.labelled import DEFAULT_FRAMES_PER_S, read_labelled

    return map(case_of, read_labelled(dataset, DEFAULT_FRAMES_PER_S if frames_per_s is None else frames_per_s))


def case_of(labelled: LabelledRecording) -> Case:
    """Return a labelled recording with all its frames in memory. Raises `BadRecording`."""
    recording = labelled.recording
    assert recording.target_contour_px is not None
    return Case(
        name=recording.name,
        frames=np.stack([recording.frames[index] for index in range(len(recording))]),
        elapsed_s=np.diff(recording.stamps_ns, prepend=recording.stamps_ns[0]) / 1e9,
        pixel_spacing_mm=recording.pixel_spacing_mm,
        contour_px=recording.target_contour_px,
        labels=labelled.labels,
        track_px=labelled.track_px,
        region=labelled.region,
        grid=mask_grid(recording),
        times_assumed=recording.times_assumed,
    )


def mask_grid(recording: Recording) -> Path | None:
    """Return the image on whose grid masks of a recording belong; None where it is no image file."""
    return recording.path if recording.path.suffix == ".mha" else None
