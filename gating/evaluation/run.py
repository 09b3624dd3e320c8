"""Run a tracker over recordings with known truth, strictly causally, and score it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.case import Case, CaseRun, Evaluation
from gating.evaluation.files import EvaluationFolder
from gating.evaluation.score import LabelScores, centre_errors_mm, mean_figures, predicted_masks, score_case
from gating.tracking.checked_tracker import CheckedTracker, checked_maker
from gating.tracking.memory_learning import learn_memory
from gating.tracking.opencv_tracker import refused
from gating.tracking.registry import TrackerFactory, make_tracker
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult

ONE_LINE = {
    "dice_similarity_coefficient": ("DSC", ".3f", ""),
    "hd95_mean_mm": ("HD95", ".2f", "mm"),
    "centre_error_mean_mm": ("centre error", ".2f", "mm"),
    "relative_d98_dose": ("relative D98", ".3f", ""),
    "track_p99_ms": ("p99", ".2f", "ms a frame"),
}
"""What the line of a case shows: name, format and unit."""


def run_case(
    case: Case,
    tracker: str | TrackerFactory,
    settings: TrackerSettings,
    prepare_frames: int = 0,
    *,
    tracked: Callable[[], None] = lambda: None,
) -> CaseRun:
    """Track one case; each scored frame's result depends on that frame and those before it, on nothing later.

    Parameters
    ----------
    prepare_frames : int
        Frames at the start that are the preparation: a tracker that can learn a memory from them does, and only the
        frames after them are scored. With 0 nothing is prepared.
    tracked : callable
        Called after each frame but the first, for progress.

    Raises
    ------
    TrackingError
        If the tracker is unknown or the target cannot be tracked, naming the case.
    TrackerFault
        If the tracker fails, or gives a result that cannot be one.
    """
    started = datetime.now(UTC)
    follower = checked_maker(lambda: make_tracker(tracker, settings))()
    follower.warm_up()
    try:
        follower.set_reference(case.frames[0], case.contour_px, case.pixel_spacing_mm)
        if prepare_frames:
            _prepare(follower, case, settings, prepare_frames)
    except TrackingError as error:
        raise TrackingError(f"{case.name}: {error}") from None
    results: list[TrackResult] = []
    seconds = np.zeros(len(case.frames) - 1)
    for index in range(1, len(case.frames)):
        before = perf_counter()
        results.append(follower.track(case.frames[index], float(case.elapsed_s[index])))
        seconds[index - 1] = perf_counter() - before
        tracked()
    return CaseRun(case, results, seconds, started, datetime.now(UTC), max(prepare_frames, 1))


def _prepare(follower: CheckedTracker, case: Case, settings: TrackerSettings, count: int) -> None:
    if not count < len(case.frames):
        raise TrackingError(f"{count} frames of preparation leave none of {len(case.frames)} to score")
    if follower.takes_memory:
        first = np.s_[:count]
        memory = learn_memory(
            case.frames[first], case.elapsed_s[first], case.contour_px, case.pixel_spacing_mm, settings
        )
        follower.use_memory(memory)


def _untracked(case: Case, sentence: str, first: int) -> CaseRun:
    """Return the run of a case that the tracker has refused."""
    now, count = datetime.now(UTC), len(case.frames) - 1
    return CaseRun(case, [refused(sentence, 0)] * count, np.zeros(count), now, now, first)


def evaluate(
    cases: Iterable[Case],
    out: Path | None = None,
    tracker: str | TrackerFactory = "template",
    settings: TrackerSettings | None = None,
    *,
    worst_frames: int = 3,
    prepare_frames: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Track every case and score it; write metrics, masks and a report where a folder is given.

    Parameters
    ----------
    cases : iterable of Case
        With their truth, as far as it is known; one at a time is held in memory.
    out : Path, optional
        Folder for `metrics.csv`, `frames.csv`, `metrics.json`, `report.html` and `predictions/`; the last has the
        layout that the organisers' evaluation program reads.
    tracker : str or class
        Name in the registry, or a tracker's class.
    settings : TrackerSettings, optional
        The defaults if left out.
    worst_frames : int
        Frames drawn per case.
    prepare_frames : int
        Frames at the start of each case that are its preparation, see `run_case`; the others are scored.
    progress : callable
        Called with one line per case.

    Returns
    -------
    Evaluation
        One row per case, their means, and one sentence for every case whose target cannot be tracked; its first mask
        is kept for all frames and scored.

    Raises
    ------
    TrackingError
        If the tracker is unknown, or no target can be tracked.
    """
    folder = None if out is None else EvaluationFolder(out, worst_frames)
    rows: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    unfit: dict[str, str] = {}
    for case in cases:
        try:
            run = run_case(case, tracker, settings or TrackerSettings(), prepare_frames)
        except TrackingError as error:
            unfit[case.name] = str(error)
            run = _untracked(case, str(error), max(prepare_frames, 1))
        masks = predicted_masks(run)
        row, scores = score_case(run, masks)
        errors = centre_errors_mm(run)
        rows.append(row)
        frames += _frame_rows(run, errors, scores)
        if folder is not None:
            folder.add(run, masks, errors, None if scores is None else scores.challenge)
        progress(_one_line(row))
    if unfit and len(unfit) == len(rows):
        raise TrackingError("; ".join(unfit.values()))
    name = tracker if isinstance(tracker, str) else getattr(tracker, "__name__", "tracker")
    found = Evaluation(
        tracker=name,
        aggregates=mean_figures(rows),
        results=rows,
        refused=unfit,
        frames=frames,
        prepare_frames=prepare_frames,
    )
    if folder is not None:
        folder.write(found)
    return found


def _one_line(row: dict[str, Any]) -> str:
    figures = [
        f"{label} {row[name]:{form}} {unit}".strip() for name, (label, form, unit) in ONE_LINE.items() if name in row
    ]
    return f"{row['case_id']}: {', '.join(figures)}"


def _frame_rows(run: CaseRun, errors: NDArray[np.float64], scores: LabelScores | None) -> list[dict[str, Any]]:
    rows = []
    for index in range(run.first - 1, len(run.results)):
        result = run.results[index]
        row: dict[str, Any] = {"case_id": run.case.name, "frame": index + 1, "x_px": result.x_px, "y_px": result.y_px}
        row |= {"confidence": result.confidence, "score": result.score, "status": str(result.status)}
        row |= {"templates": result.templates, "track_ms": 1e3 * run.seconds[index], "centre_error_mm": errors[index]}
        if scores is not None:
            row["hd95_mm"] = scores.distances.hd95_mm[index + 1]
            row["masd_mm"] = scores.distances.masd_mm[index + 1]
            row["dice_similarity_coefficient"] = scores.challenge.dice_similarity_coefficient[index + 1]
            row["hausdorff_distance_95"] = scores.challenge.hausdorff_distance_95[index + 1]
        rows.append(row | {"detail": result.detail})
    return rows
