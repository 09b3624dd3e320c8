"""One tracker on one subject, frame by frame, and figures over any number of frames.

Two centres are told apart: that of the *outline* (centroid of the contour, what a human label gives) and that of the
*content* (mean motion of what is inside, what a correlation track gives). A frame is judged by the outline where it is
known, else by the content. What is unknown is NaN, and None in a figure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.truth.subject import Subject
from gating.evaluation.case import CaseRun
from gating.evaluation.distances import frame_distances
from gating.evaluation.metrics import frame_metrics
from gating.evaluation.score import CONFIDENT, WRONG_MM, predicted_masks
from gating.geometry.contours import contour_centroid
from gating.targets.boundary import GatingBoundary
from gating.tracking.tracker import TrackStatus

Series = NDArray[np.float64]
WRONG_PX: Final = 2.0
MARGIN_MM: Final = 3.0
TOF_POINTS: Final = 5.0


class Scores(NamedTuple):
    """Figures of n frames; all (n,) float64.

    Attributes
    ----------
    dice, hd95_mm
        As `gating.evaluation.metrics` defines them.
    outline_mm, content_mm
        Error of the contour's centroid, and of the reported centre.
    judged_mm
        The one of them that counts.
    wrong_mm
        Error from which on the frame is wrong: 3 mm, or 2 px where that is more.
    tof_points
        Target-out fraction by the tracked contour less that by the true one, percentage points; the boundary is the
        true contour of the first frame and 3 mm around it.
    confidence, tracked
        The tracker's own, and 1 where its status is `tracked`.
    track_ms
        Time of `track`.
    """

    dice: Series
    hd95_mm: Series
    outline_mm: Series
    content_mm: Series
    judged_mm: Series
    wrong_mm: Series
    tof_points: Series
    confidence: Series
    tracked: Series
    track_ms: Series


def score(run: CaseRun, subject: Subject, first: int = 1) -> Scores:
    """Return the scores of the frames from `first` on; frame 0 is given and never scored."""
    case, results = subject.case, run.results
    scale = np.array(case.pixel_spacing_mm[::-1])
    found = np.array([contour_centroid(one.contour_px) for one in results])
    outline_mm = np.linalg.norm((found - subject.outline_px[1:]) * scale, axis=1)
    centres = np.array([one.content_px or (one.x_px, one.y_px) for one in results])
    content_mm = np.linalg.norm((centres - subject.content_px[1:]) * scale, axis=1)
    known = np.isfinite(subject.outline_px[1:, 0])
    dice, hd95_mm = np.full((2, len(results)), np.nan)
    if case.labels is not None:
        masks = predicted_masks(run)
        dice = frame_metrics(masks, case.labels).dice_similarity_coefficient[1:]
        hd95_mm = frame_distances(masks, case.labels, case.pixel_spacing_mm).hd95_mm[1:]
    spacing = float(scale.max())
    columns = (
        dice, hd95_mm, outline_mm, content_mm, np.where(known, outline_mm, content_mm),
        np.full(len(results), max(WRONG_MM, WRONG_PX * spacing)), _tof_points(run, subject),
        np.array([one.confidence for one in results]),
        np.array([one.status is TrackStatus.TRACKED for one in results], float), 1e3 * run.seconds,
    )  # fmt: skip
    return Scores(*(column[max(first, 1) - 1 :] for column in columns))


def _tof_points(run: CaseRun, subject: Subject) -> Series:
    errors = np.full(len(run.results), np.nan)
    if not subject.contours:
        return errors
    right, down = (MARGIN_MM / spacing for spacing in subject.case.pixel_spacing_mm[::-1])
    boundary = GatingBoundary(subject.contours[0], (right, right, down, down))
    for index, (result, truth) in enumerate(zip(run.results, subject.contours[1:], strict=True)):
        if len(truth):
            errors[index] = 100.0 * (boundary.out_fraction(result.contour_px) - boundary.out_fraction(truth))
    return errors


def joined(scores: list[Scores]) -> Scores:
    """Return the frames of several subjects as one."""
    return Scores(*(np.concatenate(columns) for columns in zip(*scores, strict=True)))


def figures(scores: Scores) -> dict[str, Any]:
    """Return one row of the table; None where nothing is known."""
    confident = scores.confidence >= CONFIDENT
    wrong = confident & (scores.judged_mm > scores.wrong_mm)
    out = confident & (np.abs(scores.tof_points) > TOF_POINTS)
    judged = bool(np.isfinite(scores.judged_mm).any())
    return {
        "frames": len(confident),
        "dsc": _mean(scores.dice),
        "hd95_mm": _mean(scores.hd95_mm),
        "outline_mm": _mean(scores.outline_mm),
        "outline_p95_mm": _p95(scores.outline_mm),
        "content_mm": _mean(scores.content_mm),
        "content_p95_mm": _p95(scores.content_mm),
        "tof_points": _mean(np.abs(scores.tof_points)),
        "tof_p95_points": _p95(np.abs(scores.tof_points)),
        "confident": float(confident.mean()),
        "tracked": float(scores.tracked.mean()),
        "confident_wrong": int(wrong.sum()) if judged else None,
        "confident_wrong_max_mm": float(scores.judged_mm[wrong].max()) if wrong.any() else None,
        "confident_tof": int(out.sum()) if np.isfinite(scores.tof_points).any() else None,
        "p50_ms": float(np.percentile(scores.track_ms, 50)),
        "p99_ms": float(np.percentile(scores.track_ms, 99)),
    }


def _mean(values: Series) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _p95(values: Series) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, 95)) if len(known) else None
