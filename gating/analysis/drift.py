"""Baseline shift: how far the exhale position has moved."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW_S: Final = 20.0
"""Time over which positions are averaged: four to six breaths."""
LEAST_SAMPLES: Final = 20
LEAST_EXHALES: Final = 3
_BREATHING_MM: Final = 2.0


@dataclass(frozen=True, slots=True)
class BaselineShift:
    """A change of the exhale position.

    Attributes
    ----------
    shift_mm
        (3,) LPS, of the latest position from the first or from the reference.
    speed_mm_min
        (3,) LPS, in the last minute.
    uncertainty_mm
        (3,) standard error of the shift.
    breaths
        Number of exhale positions that it is based on; 0 if the target does not breathe.
    """

    shift_mm: NDArray[np.float64]
    speed_mm_min: NDArray[np.float64]
    uncertainty_mm: NDArray[np.float64]
    breaths: int


def exhale_positions(
    t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the time and (n, 3) position of every exhale; of every two seconds if the target does not breathe.

    Breaths are separated where the motion along its main direction rises through its middle. The exhale is the end at
    which the target stays longer, and its position is the median of the quarter of a breath's samples nearest to that
    end. Source: exhale is the longest and most reproducible phase, AAPM TG-76 section II.
    """
    known = np.isfinite(displacement_mm).all(axis=1)
    t_s, p = t_s[known], displacement_mm[known]
    if len(t_s) < LEAST_SAMPLES:
        return np.empty(0), np.empty((0, 3))
    middles_s = np.arange(t_s[0], t_s[-1] + 2.0, 2.0)
    trend = np.array([np.median(p[np.abs(t_s - when) <= WINDOW_S / 2], axis=0) for when in middles_s])
    local = p - np.stack([np.interp(t_s, middles_s, axis) for axis in trend.T], axis=1)
    _, _, directions = np.linalg.svd(local - local.mean(axis=0), full_matrices=False)
    along = local @ directions[0]
    low, middle, high = np.percentile(along, [5, 50, 95])
    if not high - low > _BREATHING_MM:
        return _by_time(t_s, p, 2.0)
    if high - middle < middle - low:
        along, low, high = -along, -high, -low
    middle = (low + high) / 2
    cuts = rises(along, middle, 0.15 * (high - low))
    breaths = [(a, b) for a, b in pairwise(cuts) if 1.5 <= t_s[b] - t_s[a] <= 15.0 and b - a >= 6]
    if len(breaths) < 3:
        return _by_time(t_s, p, 2.0)
    when, where = [], []
    for a, b in breaths:
        nearest = a + np.argsort(along[a:b])[: max(2, (b - a) // 4)]
        when.append(float(np.mean(t_s[nearest])))
        where.append(np.median(p[nearest], axis=0))
    return np.array(when), np.array(where)


def baseline_shift(
    t_s: NDArray[np.float64],
    displacement_mm: NDArray[np.float64],
    *,
    reference_mm: NDArray[np.float64] | None = None,
    window_s: float = WINDOW_S,
) -> BaselineShift | None:
    """Return how far the exhale position has shifted; None if too little is known, as `too_short` says.

    The latest position is the median of the last `window_s`. The speed is the Theil-Sen slope of the last minute (Sen
    1968, doi:10.1080/01621459.1968.10480934). The standard error is that of a median, 1.253 sigma / sqrt(n) with sigma
    from the MAD.

    Parameters
    ----------
    t_s, displacement_mm
        (n,) and (n, 3) LPS; NaN where the target was not found.
    reference_mm
        (3,) LPS, from which the shift counts; the exhale position of the first `window_s` if not given.
    window_s
        Time over which a position is averaged.
    """
    when, where = exhale_positions(t_s, displacement_mm)
    if len(when) < LEAST_EXHALES or (reference_mm is None and _overlap_s(when, window_s) > 0):
        return None
    late = where[when >= when[-1] - window_s]
    early = where[when <= when[0] + window_s]
    reference = np.median(early, axis=0) if reference_mm is None else reference_mm
    error = _median_error(late)
    if reference_mm is None:
        error = np.hypot(error, _median_error(early))
    minute = when >= when[-1] - 60.0
    speed = np.array([60 * _slope(when[minute], axis) for axis in where[minute].T])
    breathes = len(when) < (t_s[-1] - t_s[0]) / 2.0 * 0.9
    return BaselineShift(np.median(late, axis=0) - reference, speed, error, len(when) if breathes else 0)


def too_short(t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64]) -> str:
    """Return why the end of a session cannot be compared with its beginning; empty if it can.

    Both are averages over `WINDOW_S`. Where they overlap, the shift between them would be 0 whatever happened.
    """
    when, _ = exhale_positions(t_s, displacement_mm)
    if len(when) < LEAST_EXHALES:
        return f"{len(when)} exhale positions were found; {LEAST_EXHALES} are needed"
    if _overlap_s(when, WINDOW_S) > 0:
        return f"exhale positions were found over {when[-1] - when[0]:.0f} s; {2 * WINDOW_S:.0f} s are needed"
    return ""


def _overlap_s(when_s: NDArray[np.float64], window_s: float) -> float:
    return 2 * window_s - float(when_s[-1] - when_s[0])


def baseline_over_time(
    t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64], *, every_s: float = 10.0, window_s: float = WINDOW_S
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the baseline shift over a session: times (n,), s, and shifts (n, 3), LPS mm, from the first `window_s`.

    Each is the median exhale position of the `window_s` before its time. Times with fewer than three exhales are left
    out. None for a session that is `too_short`.
    """
    when, where = exhale_positions(t_s, displacement_mm)
    if len(when) < LEAST_EXHALES or _overlap_s(when, window_s) > 0:
        return np.empty(0), np.empty((0, 3))
    reference = np.median(where[when <= when[0] + window_s], axis=0)
    times = np.arange(when[0] + window_s, t_s[-1] + every_s / 2, every_s)
    windows = [(when > at - window_s) & (when <= at) for at in times]
    kept = [(at, np.median(where[seen], axis=0)) for at, seen in zip(times, windows, strict=True) if seen.sum() > 2]
    return np.array([at for at, _ in kept]), np.array([p for _, p in kept]).reshape(-1, 3) - reference


def session_exhale(t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the exhale position at the beginning of the session, (3,) LPS mm; None if it is `too_short`."""
    when, exhales = exhale_positions(t_s, displacement_mm)
    if len(when) < LEAST_EXHALES or _overlap_s(when, WINDOW_S) > 0:
        return None
    began: NDArray[np.float64] = np.median(exhales[when <= when[0] + WINDOW_S], axis=0)
    return began


def _by_time(
    t_s: NDArray[np.float64], p: NDArray[np.float64], every_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bins = ((t_s - t_s[0]) / every_s).astype(int)
    chosen = np.unique(bins)
    return (
        np.array([np.median(t_s[bins == b]) for b in chosen]),
        np.array([np.median(p[bins == b], axis=0) for b in chosen]),
    )


def rises(along: NDArray[np.float64], middle: float, slack: float) -> list[int]:
    """Return where a signal rises through `middle`, if it was clearly below it since the last rise."""
    cuts, below = [], False
    for index, value in enumerate(along.tolist()):
        if value < middle - slack:
            below = True
        elif below and value > middle + slack:
            cuts.append(index)
            below = False
    return cuts


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if len(i) else 0.0


def _median_error(p: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = 1.4826 * np.median(np.abs(p - np.median(p, axis=0)), axis=0)
    error: NDArray[np.float64] = 1.253 * spread / np.sqrt(len(p))
    return error
