"""Run a tracker over recordings with known truth, strictly causally, and score it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.case import Case, CaseRun, Evaluation
from gating.evaluation.distances import FrameDistances, frame_distances
from gating.evaluation.files import EvaluationFolder
from gating.evaluation.metrics import FrameMetrics, case_metrics, frame_metrics, relative_d98
from gating.geometry.contours import mask_from_contour
from gating.tracking.checked_tracker import CheckedTracker, checked_maker
from gating.tracking.memory_learning import learn_memory
from gating.tracking.opencv_tracker import refused
from gating.tracking.registry import TrackerFactory, make_tracker
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult, TrackStatus

CONFIDENT = 0.8
WRONG_MM = 3.0
LUNG_SIGMA_PX = 6.0
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


def predicted_masks(run: CaseRun) -> NDArray[np.bool_]:
    """Return masks, (frames, rows, columns): the given label, then that of every propagated contour.

    A lost target gets the mask of the best guess. A refused frame does not show where the target is, and gets the mask
    of the frame before.
    """
    shape = run.case.frames.shape[1:]
    masks = [mask_from_contour(run.case.contour_px, (shape[0], shape[1]))]
    for result in run.results:
        unseen = result.status is TrackStatus.REFUSED
        masks.append(masks[-1] if unseen else mask_from_contour(result.contour_px, (shape[0], shape[1])))
    return np.stack(masks)


def centre_errors_mm(run: CaseRun) -> NDArray[np.float64]:
    """Return the distance of every tracked centre from the truth, mm; NaN where either is unknown.

    A label's centre is compared with that of the outline. A reference track follows what it sees, so it is compared
    with the centre of the content.
    """
    case = run.case
    if case.track_px is not None:
        truth = case.track_px
    elif case.labels is not None:
        truth = np.array([_mask_centre(label) for label in case.labels])
    else:
        return np.full(len(run.results), np.nan)
    by_content = case.track_px is not None
    found = np.array([_centre(result, by_content) for result in run.results]).reshape(-1, 2)
    scale = np.array([case.pixel_spacing_mm[1], case.pixel_spacing_mm[0]])
    distance: NDArray[np.float64] = np.linalg.norm((found - truth[1:]) * scale, axis=1)
    return distance


def _centre(result: TrackResult, by_content: bool) -> tuple[float, float]:
    return result.content_px if by_content and result.content_px is not None else (result.x_px, result.y_px)


def _mask_centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else (float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How well the masks of a case fit its labels: the challenge's metrics, and distances in mm."""

    challenge: FrameMetrics
    distances: FrameDistances


def score_case(run: CaseRun, masks: NDArray[np.bool_]) -> tuple[dict[str, Any], LabelScores | None]:
    """Return all figures of one case.

    Names that end in `_mm` are ours. `dice_similarity_coefficient`, `hausdorff_distance_95`,
    `surface_distance_average`, `center_distance` and `relative_d98_dose` are the challenge's, in px, and there only
    where there are labels.
    """
    case = run.case
    scored = np.s_[run.first - 1 :]
    results = run.results[scored]
    confidence = np.array([result.confidence for result in results])
    errors = centre_errors_mm(run)[scored]
    milliseconds = 1e3 * run.seconds[scored]
    row: dict[str, Any] = {"case_id": case.name, "frame_count": len(case.frames), "first_scored": run.first}
    scores = None
    if case.labels is not None and case.labels.any():
        scores = LabelScores(
            frame_metrics(masks, case.labels), frame_distances(masks, case.labels, case.pixel_spacing_mm)
        )
        row |= case_metrics(scores.challenge, run.first) | _distances(scores.distances, run.first)
        sigma = LUNG_SIGMA_PX if case.region == "lung" else 4.0
        delivered = np.r_[0, run.first : len(masks)]
        row["relative_d98_dose"] = relative_d98(masks[delivered], case.labels[delivered], sigma_px=sigma)
    known = errors[np.isfinite(errors)]
    if len(known):
        row["centre_error_mean_mm"] = float(known.mean())
        row["centre_error_p95_mm"] = float(np.percentile(known, 95))
        row["centre_error_max_mm"] = float(known.max())
        row["within_1_px"] = float((known <= max(case.pixel_spacing_mm)).mean())
        row["confident_and_wrong"] = int(((confidence >= CONFIDENT) & (errors > WRONG_MM)).sum())
    row["confident_fraction"] = float((confidence >= CONFIDENT).mean()) if len(confidence) else float("nan")
    row["not_tracked"] = sum(result.status is not TrackStatus.TRACKED for result in results)
    row["total_runtime"] = (run.completed - run.started).total_seconds()
    row["seconds_per_frame"] = float(milliseconds.mean() / 1e3) if len(milliseconds) else float("nan")
    for name, percentile in (("p50", 50), ("p99", 99), ("max", 100)):
        row[f"track_{name}_ms"] = float(np.percentile(milliseconds, percentile)) if len(milliseconds) else float("nan")
    return row, scores


def _distances(distances: FrameDistances, first: int) -> dict[str, float]:
    hd95, masd = (series[first:][np.isfinite(series[first:])] for series in (distances.hd95_mm, distances.masd_mm))
    if not len(hd95):
        return {}
    return {
        "hd95_mean_mm": float(hd95.mean()),
        "hd95_p95_mm": float(np.percentile(hd95, 95)),
        "masd_mean_mm": float(masd.mean()),
    }


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


def mean_figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of some cases taken together: means, and sums of what is counted."""
    names = dict.fromkeys(
        name for row in rows for name in row if name not in ("case_id", "frame_count", "first_scored")
    )
    counts = ("confident_and_wrong", "not_tracked", "total_runtime")
    merged = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        merged[name] = float(np.sum(values) if name in counts else np.mean(values))
    return merged


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
