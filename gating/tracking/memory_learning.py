"""Learning a memory from a preparation: slowly, and with all its frames at hand.

The tracker follows the target through the preparation. Key frames are chosen so that every frame looks like one of them
once it is shifted, which is also what the confidence asks of a frame in the session. The contour is carried to each by
several ways, and they must agree.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.confidence import LEAST_REST_SCORE_PREPARED
from gating.tracking.local_contrast import SMOOTHING_PX
from gating.tracking.memory import BIN_MM, MOST_KEY_FRAMES, Contour, KeyFrame, Memory, UsualScore, hash_of
from gating.tracking.reference import checked_pixels, checked_target
from gating.tracking.saturation_band import find_bands
from gating.tracking.template import margin_for, masked_around
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackStatus

Frames = NDArray[Any]
Series = NDArray[np.float64]

LEAST_FRAMES: Final = 10
PLACES: Final = 800
"""Of the target and the tissue around it, at which frames are compared."""
ALIKE: Final = 0.985
"""Once every frame looks like a key frame with this ZNCC, no more are needed."""
LEAST_FIT: Final = 0.75
"""Least ZNCC after the contour is carried: below, a frame does not show the target as it was."""
AGREEMENT_MM: Final = 3.0
"""Largest distance between the centres of the outlines that two ways lead to."""
REST_MM: Final = 2.0
LEAST_AT_REST: Final = 5
LEAST_PER_BIN: Final = 3
LEAST_S: Final = 30.0
UNFIT_SHARE: Final = 0.1
HOLD_S, HOLD_FLAT_MM, HOLD_BEYOND, LONG_HOLD_S = 4.0, 3.0, 1.3, 8.0
"""A breath-hold: this long, this flat, and this many times the span of quiet breathing from rest; or very long."""


class _Passage(Struct, frozen=True):
    """The target in every frame of the preparation: (n, ...) each.

    Attributes
    ----------
    contours : list of (m, 2) float32
    content_px : (n, 2) float64
    fits : (n,) float64
        ZNCC after the contour is carried; 0 where it is not to be believed.
    reference_scores : (n,) float64
        ZNCC of the reference at the target's place, only shifted; 0 in a refused frame.
    """

    contours: list[Contour]
    content_px: Series
    fits: Series
    reference_scores: Series


def learn_memory(
    frames: Frames,
    elapsed_s: Series,
    contour_px: NDArray[np.floating[Any]],
    pixel_spacing_mm: tuple[float, float],
    settings: TrackerSettings | None = None,
) -> Memory:
    """Learn what a target looks like, and how surely it is found, from frames without beam.

    Parameters
    ----------
    frames : (n, rows, columns) real numbers
        The first is the reference. Half a minute or more, with the manoeuvre that will be treated.
    elapsed_s : (n,) float64
        Time since the frame before.
    contour_px : (m, 2) real numbers
        Points (x, y) of the target in the reference.
    pixel_spacing_mm : tuple of float
        Spacing of (rows, columns).
    settings : TrackerSettings, optional
        The defaults if left out.

    Raises
    ------
    TrackingError
        If there are fewer than `LEAST_FRAMES` frames, or the target cannot be tracked.
    """
    if len(frames) < LEAST_FRAMES:
        raise TrackingError(f"the preparation has {len(frames)} frames; {LEAST_FRAMES} or more are needed")
    spacing_mm = math.sqrt(pixel_spacing_mm[0] * pixel_spacing_mm[1])
    reference = checked_pixels(frames[0])
    contour = checked_target(contour_px, reference.shape)
    margin_px = margin_for(contour, (settings or TrackerSettings()).margin_mm, spacing_mm)
    passage = _follow(frames, elapsed_s, contour, pixel_spacing_mm, settings or TrackerSettings())
    looks = _looks(frames, passage, contour, margin_px, spacing_mm)
    alike = looks @ looks.T
    chosen = _choose(alike, passage.fits)
    keys = tuple(
        KeyFrame(number, checked_pixels(frames[number]), passage.contours[number], _pair(passage.content_px[number]))
        for number in chosen
    )
    away_mm = (passage.content_px - passage.content_px[0]) * spacing_mm
    axis = _main_axis(away_mm)
    rest_score = _rest_score(passage.reference_scores, away_mm)
    usual = _usual(alike, [0, *chosen], away_mm @ axis)
    remarks = _remarks(rest_score, np.cumsum(elapsed_s) - elapsed_s[0], away_mm @ axis, passage.fits)
    return Memory(
        hash_of(reference), (reference.shape[0], reference.shape[1]), _pair(pixel_spacing_mm), contour, keys,
        rest_score, _pair(axis), usual, float(np.sum(elapsed_s[1:])), remarks,
    )  # fmt: skip


def _follow(
    frames: Frames, elapsed_s: Series, contour: Contour, spacing_mm: tuple[float, float], settings: TrackerSettings
) -> _Passage:
    """Track the target through all frames, and carry the contour straight from the reference to each as well.

    The templates that the tracker learns on its way drift a little, and the fit from the reference is misled where the
    appearance changes: the mean of both is nearer to the truth than the worse of them, and where they disagree neither
    is believed.
    """
    tracker = TemplateTracker(settings)
    tracker.warm_up()
    tracker.set_reference(frames[0], contour, spacing_mm)
    start, pixel_mm = contour_centroid(contour), math.sqrt(spacing_mm[0] * spacing_mm[1])
    contours, content, fits, scores = [contour], [start], [1.0], [1.0]
    for frame, seconds in zip(frames[1:], elapsed_s[1:], strict=True):
        result = tracker.track(frame, float(seconds))
        if result.status is TrackStatus.REFUSED:
            contours.append(contours[-1])
            content.append(content[-1])
            fits.append(0.0)
            scores.append(0.0)
            continue
        (direct, reference_score), (x, y) = tracker.straight_from_reference(), tracker.content_px
        apart_mm = pixel_mm * math.dist(contour_centroid(result.contour_px), contour_centroid(direct.contour_px))
        contours.append((result.contour_px + direct.contour_px) / np.float32(2.0))
        content.append(((x + direct.content_px[0]) / 2.0, (y + direct.content_px[1]) / 2.0))
        fits.append(tracker.evidence.score_moved_back if apart_mm <= AGREEMENT_MM else 0.0)
        scores.append(reference_score)
    return _Passage(contours, np.array(content), np.array(fits), np.array(scores))


def _looks(
    frames: Frames, passage: _Passage, contour: Contour, margin_px: float, spacing_mm: float
) -> NDArray[np.float32]:
    """Return the target in every frame, shifted back, as rows (n, places) of mean 0 and norm 1."""
    rows, columns = np.nonzero(masked_around(contour, margin_px, frames.shape[1:]))
    step = max(len(rows) // PLACES, 1)
    at = np.stack([columns[::step], rows[::step]]).astype(np.float32)[:, None]
    bands = find_bands(frames[0], spacing_mm)
    looks = np.zeros((len(frames), at.shape[2]), np.float32)
    for index, (frame, content) in enumerate(zip(frames, passage.content_px, strict=True)):
        x, y = (np.float32(shift) for shift in content - passage.content_px[0])
        smooth = cv2.GaussianBlur(bands.filled(np.asarray(frame, np.float32)), (0, 0), SMOOTHING_PX)
        seen = cv2.remap(smooth, at[0] + x, at[1] + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        seen = seen - seen.mean()
        looks[index] = seen / max(float(np.linalg.norm(seen)), 1e-6)
    return looks


def _choose(alike: NDArray[np.float32], fits: Series) -> list[int]:
    """Return the numbers of the key frames, in time: one by one the frame that leaves the others least unlike any.

    Squares make a few frames that look like nothing chosen yet count more than many that could look a little better.
    """
    candidates = np.flatnonzero(fits >= LEAST_FIT)
    best = alike[0].copy()
    chosen: list[int] = []
    while len(candidates) and len(chosen) < MOST_KEY_FRAMES and float(best.min()) < ALIKE:
        unlike = (1.0 - np.maximum(best, alike[candidates])) ** 2
        number = int(candidates[np.argmin(unlike.sum(axis=1))])
        if number in (0, *chosen):
            break
        chosen.append(number)
        best = np.maximum(best, alike[number])
    return sorted(chosen)


def _main_axis(away_mm: Series) -> Series:
    """Return the unit vector along which the content moves most, pointing to where it goes from the reference."""
    axis = np.linalg.svd(away_mm - away_mm.mean(axis=0), full_matrices=False)[2][0]
    return np.asarray(axis if float((away_mm @ axis).sum()) >= 0.0 else -axis, np.float64)


def _rest_score(reference_scores: Series, away_mm: Series) -> float:
    """Return the median ZNCC of the reference with the other frames within `REST_MM` of it, or the nearest few."""
    distance = np.linalg.norm(away_mm, axis=1)[1:]
    count = max(int((distance <= REST_MM).sum()), LEAST_AT_REST)
    return float(np.median(reference_scores[1:][np.argsort(distance, kind="stable")[:count]]))


def _usual(alike: NDArray[np.float32], keys: list[int], excursion_mm: Series) -> tuple[UsualScore, ...]:
    """Return the median of every bin that has enough frames; a key frame's likeness to itself does not count."""
    others = alike[:, keys].copy()
    others[keys, range(len(keys))] = -1.0
    best = others.max(axis=1)
    bins = np.round(excursion_mm / BIN_MM).astype(int)
    return tuple(
        UsualScore(float(number) * BIN_MM, float(np.median(best[bins == number])))
        for number in np.unique(bins).tolist()
        if np.count_nonzero(bins == number) >= min(LEAST_PER_BIN, len(best))
    )


def _remarks(rest_score: float, time_s: Series, excursion_mm: Series, fits: Series) -> tuple[str, ...]:
    """Return what must be known before the memory is accepted."""
    remarks = []
    if not rest_score >= LEAST_REST_SCORE_PREPARED:
        remarks.append(
            "the target cannot be tracked confidently: at rest it looks like the reference with ZNCC "
            f"{rest_score:.2f}; {LEAST_REST_SCORE_PREPARED:g} is the limit"
        )
    seconds = float(time_s[-1])
    if not seconds >= LEAST_S:
        remarks.append(f"the preparation lasts {seconds:.0f} s; {LEAST_S:g} s or more are advised")
    unfit = int((fits < LEAST_FIT).sum())
    if unfit > UNFIT_SHARE * len(fits):
        remarks.append(f"the contour could not be carried surely to {unfit} of {len(fits)} frames")
    if not _has_hold(time_s, excursion_mm):
        remarks.append(
            "no breath-hold is in the preparation: the target was never still beyond quiet breathing for "
            f"{HOLD_S:g} s; if one will be treated, prepare again with it, or its frames will be doubted"
        )
    return tuple(remarks)


def _has_hold(time_s: Series, excursion_mm: Series) -> bool:
    """Return whether the target stood still, well away from where quiet breathing takes it or for very long."""
    held = np.zeros(len(time_s), bool)
    for first in range(len(time_s)):
        last = first
        while last + 1 < len(time_s) and np.ptp(excursion_mm[first : last + 2]) <= HOLD_FLAT_MM:
            last += 1
        seconds = time_s[last] - time_s[first]
        if seconds >= LONG_HOLD_S:
            return True
        if seconds >= HOLD_S:
            held[first : last + 1] = True
    if not held.any() or held.all():
        return False
    rest, deepest = np.percentile(excursion_mm[~held], [10, 90])
    beyond = HOLD_BEYOND * max(float(deepest - rest), HOLD_FLAT_MM)
    return bool((np.abs(excursion_mm[held] - rest) >= beyond).any())


def _pair(values: Series | tuple[float, float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
