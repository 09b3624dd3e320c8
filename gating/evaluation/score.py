"""How the run of a tracker compares with what is known of its case: masks, distances and the figures of a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.case import CaseRun
from gating.evaluation.distances import FrameDistances, frame_distances
from gating.evaluation.metrics import FrameMetrics, case_metrics, frame_metrics, relative_d98
from gating.geometry.contours import mask_from_contour
from gating.tracking.tracker import TrackResult, TrackStatus

CONFIDENT = 0.8
WRONG_MM = 3.0
LUNG_SIGMA_PX = 6.0


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
