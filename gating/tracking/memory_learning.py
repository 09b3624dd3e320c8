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
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.averages import Averages
from gating.tracking.layers import growth
from gating.tracking.local_contrast import SMOOTHING_PX
from gating.tracking.memory import BIN_MM, MOST_KEY_FRAMES, Contour, KeyFrame, Memory, UsualScore, hash_of
from gating.tracking.memory_remarks import layer_remarks, remarks
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
MORE_PASSES, ALMOST_NONE = 2, 0.02
"""Further passes with what has been learned, as long as the contour is not surely carried to almost all frames."""
LEAST_FIT: Final = 0.75
"""Least ZNCC after the contour is carried: below, a frame does not show the target as it was."""
AGREEMENT_MM: Final = 3.0
"""Largest distance between the centres of the outlines that two ways lead to."""
REST_MM: Final = 2.0
LEAST_AT_REST: Final = 5
LEAST_PER_BIN: Final = 3
LEAST_FOR_MEANS: Final = 0.82
"""Least ZNCC of the target at rest for means: where noise hides it, frames are alike in what lies still in them."""
LEAST_NOISE: Final = 0.04
"""Least share of noise in the reference frame's local contrast for means: with less, they blur more than they clear."""


class _Preparation(Struct, frozen=True):
    """What is learned from; see `learn_memory`."""

    frames: Frames
    elapsed_s: Series
    contour: Contour
    spacing_mm: tuple[float, float]
    settings: TrackerSettings

    @property
    def pixel_mm(self) -> float:
        """Size of a pixel."""
        return math.sqrt(self.spacing_mm[0] * self.spacing_mm[1])

    @property
    def margin_px(self) -> float:
        """Width of the tissue around the target that takes part in the fit."""
        return margin_for(self.contour, self.settings.margin_mm, self.pixel_mm)


class _Passage(Struct, frozen=True):
    """The target in every frame of the preparation: (n, ...) each.

    Attributes
    ----------
    contours : list of (m, 2) float32
    content_px : (n, 2) float64
    fits : (n,) float64
        ZNCC after the contour is carried; 0 where it is not to be believed.
    direct_fits : (n,) float64
        The same for the reference alone; 0 in a refused frame.
    reference_scores : (n,) float64
        ZNCC of the reference at the target's place, only shifted; 0 in a refused frame.
    """

    contours: list[Contour]
    content_px: Series
    fits: Series
    direct_fits: Series
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
    reference = checked_pixels(frames[0])
    contour = checked_target(contour_px, reference.shape)
    preparation = _Preparation(frames, elapsed_s, contour, _pair(pixel_spacing_mm), settings or TrackerSettings())
    passage = _follow(preparation, None)
    memory = _learned(preparation, passage)
    for _ in range(MORE_PASSES):
        unbelieved = np.count_nonzero(passage.fits < LEAST_FIT)
        if unbelieved <= ALMOST_NONE * len(frames):
            break
        passage = _follow(preparation, memory)
        memory = _learned(preparation, passage)
        if not np.count_nonzero(passage.fits < LEAST_FIT) < unbelieved:
            break
    memory = _with_means(preparation, passage, memory)
    away_mm = _away_mm(preparation, passage)
    layers = growth(frames, contour, away_mm, preparation.pixel_mm, _main_axis(away_mm))
    return replace(memory, remarks=(*memory.remarks, *layer_remarks(layers)))


def _learned(preparation: _Preparation, passage: _Passage) -> Memory:
    """Return the memory of one pass."""
    frames, reference = preparation.frames, checked_pixels(preparation.frames[0])
    looks = _looks(preparation, frames, passage.content_px)
    alike = looks @ looks.T
    chosen = _choose(alike, passage.fits)
    keys = tuple(_key(passage, number, frames[number]) for number in chosen)
    away_mm = _away_mm(preparation, passage)
    axis = _main_axis(away_mm)
    rest_score = _rest_score(passage.reference_scores, away_mm)
    believed = passage.fits >= LEAST_FIT
    time_s = np.cumsum(preparation.elapsed_s) - preparation.elapsed_s[0]
    return Memory(
        hash_of(reference),
        (reference.shape[0], reference.shape[1]),
        preparation.spacing_mm,
        preparation.contour,
        keys,
        rest_score,
        _pair(axis),
        _usual(alike, [0, *chosen], away_mm @ axis, believed),
        float(time_s[-1]),
        remarks(rest_score, time_s, away_mm @ axis, believed, keys),
    )


def _away_mm(preparation: _Preparation, passage: _Passage) -> Series:
    """Return how far the content is from the reference, (n, 2)."""
    return np.asarray((passage.content_px - passage.content_px[0]) * preparation.pixel_mm, np.float64)


def _key(passage: _Passage, number: int, pixels: NDArray[Any]) -> KeyFrame:
    content = _pair(passage.content_px[number])
    return KeyFrame(
        number, checked_pixels(pixels), passage.contours[number], content, float(passage.direct_fits[number])
    )


def _follow(preparation: _Preparation, memory: Memory | None) -> _Passage:
    """Track the target through all frames, and carry the contour straight from the reference to each as well.

    The templates that the tracker learns on its way drift a little, and the fit from the reference is misled where the
    appearance changes. Where both fit and yet disagree, neither is believed. With the memory of an earlier pass, key
    frames half way lead to frames that the reference does not reach.
    """
    tracker = TemplateTracker(preparation.settings)
    tracker.warm_up()
    tracker.set_reference(preparation.frames[0], preparation.contour, preparation.spacing_mm)
    if memory is not None:
        tracker.use_memory(memory)
    contours, content = [preparation.contour], [contour_centroid(preparation.contour)]
    fits, direct_fits, scores = [1.0], [1.0], [1.0]
    for frame, seconds in zip(preparation.frames[1:], preparation.elapsed_s[1:], strict=True):
        result = tracker.track(frame, float(seconds))
        if result.status is TrackStatus.REFUSED:
            contours.append(contours[-1])
            content.append(content[-1])
            fits.append(0.0)
            direct_fits.append(0.0)
            scores.append(0.0)
            continue
        carried = tracker.beside_reference()
        contours.append(carried.motion.contour_px)
        content.append(carried.motion.content_px)
        fits.append(carried.motion.score if carried.apart_mm <= AGREEMENT_MM else 0.0)
        direct_fits.append(carried.direct_fit)
        scores.append(carried.reference_score)
    return _Passage(contours, np.array(content), np.array(fits), np.array(direct_fits), np.array(scores))


def _with_means(preparation: _Preparation, passage: _Passage, memory: Memory) -> Memory:
    """Return a memory whose pictures are means, with the contours carried from the reference's over the others.

    Where means do not help, see `LEAST_FOR_MEANS` and `LEAST_NOISE`, it stays as it is.
    """
    if not memory.rest_score >= LEAST_FOR_MEANS:
        return memory
    numbers = [0, *(key.number for key in memory.key_frames)]
    looks = _looks(preparation, preparation.frames, passage.content_px)
    alike = np.where(passage.fits >= LEAST_FIT, looks[numbers] @ looks.T, -1.0).astype(np.float32)
    averages = Averages(preparation.frames, preparation.contour, preparation.margin_px, preparation.pixel_mm)

    def mean_of(number: int, row: NDArray[np.float32]) -> NDArray[Any]:
        return averages.mean(number, passage.contours[number], passage.content_px, row)

    means = [mean_of(0, alike[0])]
    if not averages.noise(means[0], preparation.contour, passage.content_px[0]) >= LEAST_NOISE:
        return memory
    means += [mean_of(number, row) for number, row in zip(numbers[1:], alike[1:], strict=True)]
    content_px = passage.content_px[numbers]
    looks = _looks(preparation, np.stack(means), content_px)
    carried = averages.carried(means, preparation.contour, content_px, looks @ looks.T)
    keys = tuple(
        replace(key, pixels=mean, contour_px=contour, content_px=content)
        for key, mean, (contour, content) in zip(memory.key_frames, means[1:], carried[1:], strict=True)
    )
    return replace(memory, key_frames=keys, mean_picture=means[0])


def _looks(preparation: _Preparation, frames: Frames, content_px: Series) -> NDArray[np.float32]:
    """Return the target in every frame, shifted back, as rows (n, places) of mean 0 and norm 1."""
    contour, pixel_mm = preparation.contour, preparation.pixel_mm
    rows, columns = np.nonzero(masked_around(contour, preparation.margin_px, frames.shape[1:]))
    step = max(len(rows) // PLACES, 1)
    at = np.stack([columns[::step], rows[::step]]).astype(np.float32)[:, None]
    bands = find_bands(frames[0], pixel_mm)
    looks = np.zeros((len(frames), at.shape[2]), np.float32)
    for index, (frame, content) in enumerate(zip(frames, content_px, strict=True)):
        x, y = (np.float32(shift) for shift in content - content_px[0])
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


def _usual(
    alike: NDArray[np.float32], keys: list[int], excursion_mm: Series, believed: NDArray[np.bool_]
) -> tuple[UsualScore, ...]:
    """Return the median of every bin that has enough believed frames; a key frame is not compared with itself.

    Where no bin has enough, the fullest ones count.
    """
    others = alike[:, keys].copy()
    others[keys, range(len(keys))] = -1.0
    best = others.max(axis=1)
    best, bins = best[believed], np.round(excursion_mm[believed] / BIN_MM).astype(int)
    numbers, counts = np.unique(bins, return_counts=True)
    return tuple(
        UsualScore(float(number) * BIN_MM, float(np.median(best[bins == number])))
        for number in numbers[counts >= min(LEAST_PER_BIN, int(counts.max()))].tolist()
    )


def _pair(values: Series | tuple[float, float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
