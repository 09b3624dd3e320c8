"""A tracker scored where the truth is known, with the metrics of the TrackRAD2025 challenge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinegate.cases import case_of, read_cases
from cinegate.recordings import Frames, Spacing, as_recording
from cinegate.settings import Settings, load_config
from cinegate.targets import Target, make_targets
from drivers.errors import BadRecording
from drivers.recordings import Recording
from drivers.recordings.labelled import LabelledRecording
from gating.errors import TargetError
from gating.evaluation import Case, Evaluation
from gating.evaluation import evaluate as evaluate_cases
from gating.geometry.contours import mask_from_contour
from gating.tracking.registry import TrackerFactory

Labels = str | os.PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]
"""Masks (frames, rows, columns), contours (frames, n, 2), or a label file (`.mha`)."""


def evaluate(
    frames: Frames,
    target: Target | None = None,
    *,
    labels: Labels | None = None,
    times_s: ArrayLike | None = None,
    spacing_mm: Spacing | None = None,
    plane: str = "",
    config: Settings | None = None,
    tracker: str | TrackerFactory | None = None,
    prepare_frames: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score a tracker as `cinegate evaluate` does: DSC, centre distance, HD95, MASD, relative D98, time per frame.

    Parameters
    ----------
    frames
        A folder of labelled cases (TrackRAD2025 layout, or `.npz` with reference tracks), which needs no labels; or a
        recording as `gate` takes it.
    target
        In the first frame, as for `gate`. None: the recording's own, else the first label.
    labels
        Of every frame: masks, (frames, rows, columns); outlines, (frames, n, 2) of (x, y) px; or a label file
        (`.mha`). None: the target track that the recording holds, which gives centre errors alone.
    times_s, spacing_mm, plane, config, tracker
        As for `gate`; of the settings only the tracker's matter.
    prepare_frames
        Frames at the start of each case from which the tracker learns a memory, as in a preparation; the rest is
        scored.
    out
        Folder for the tables, masks and the HTML page; nothing is written without it.

    Returns
    -------
    Evaluation
        `aggregates`, `results` (one row per case) and `frames` (one per frame); lists of dictionaries, for pandas.

    Raises
    ------
    CinegateError
        If there is nothing to score, or labels do not fit: `BadRecording`, `TargetError`, `TrackingError`.

    Examples
    --------
    >>> found = cinegate.evaluate("case.npz", labels=masks, target=(60, 64, 40, 34))
    >>> found.aggregates["dice_similarity_coefficient"], found.aggregates["center_distance"]
    (0.94, 0.62)
    """
    settings = load_config(config)
    if isinstance(frames, str | os.PathLike) and Path(frames).is_dir() and labels is None and target is None:
        cases = read_cases(Path(frames))
    else:
        cases = iter([_case(frames, target, labels, times_s, spacing_mm, plane)])
    return evaluate_cases(
        cases,
        None if out is None else Path(out),
        tracker or settings.tracker,
        settings.tracking,
        prepare_frames=prepare_frames,
    )


def _case(
    frames: Frames,
    target: Target | None,
    labels: Labels | None,
    times_s: ArrayLike | None,
    spacing_mm: Spacing | None,
    plane: str,
) -> Case:
    recording = as_recording(frames, times_s, spacing_mm, plane)
    masks = None if labels is None else _masks(labels, recording)
    if masks is None and recording.target_track_px is None:
        raise BadRecording(f"{recording.path} holds no target track; labels are needed to score a tracker")
    if target is None and recording.target_contour_px is None and masks is not None:
        target = masks[0]
    specs = make_targets(target, recording)
    if len(specs) != 1:
        raise TargetError(f"targets: {len(specs)} given; exactly one is scored")
    drawn = replace(recording, target_contour_px=specs[0].contour_px)
    track = None if masks is not None else recording.target_track_px
    return case_of(LabelledRecording(recording=drawn, labels=masks, track_px=track))


def _masks(labels: Labels, recording: Recording) -> NDArray[np.bool_]:
    if isinstance(labels, str | os.PathLike):
        from drivers.recordings.trackrad import read_labels

        masks = list(read_labels(Path(labels)))
    else:
        drawn = [np.asarray(label) for label in labels]
        outlines = all(label.ndim == 2 and label.shape[1] == 2 for label in drawn)
        masks = [mask_from_contour(label, recording.shape) if outlines else label > 0 for label in drawn]
    unfit = next((mask.shape for mask in masks if mask.shape != recording.shape), recording.shape)
    if len(masks) != len(recording) or unfit != recording.shape:
        raise BadRecording(
            f"labels: {len(masks)} of {unfit}; {len(recording)} of {recording.shape} (rows, columns) are needed, "
            "as the frames"
        )
    return np.stack(masks)
