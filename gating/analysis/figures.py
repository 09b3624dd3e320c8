"""The clinical figures of a session: what a physicist asks about gating after a treatment.

What each figure means, and how it is computed, is in `gating.analysis.definitions`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.definitions import beam_on_time, clip, distance_mm, duty_cycle, free_mm, residual_mm, spread_mm
from gating.analysis.dose import challenge_d98, smooth_d98
from gating.analysis.drift import baseline_over_time, baseline_shift, too_short
from gating.analysis.holds import Hold, find_holds, hold_to_hold_mm
from gating.analysis.motion import GatedMotion, motion_from_session
from gating.decision.reasons import BRIDGEABLE, GateReason
from gating.session.summary_data import SessionData

AXES: Final = ("LR", "AP", "SI")
RADIUS_MM: Final = 15.0
"""Radius for the dose proxies if the contour is not known."""
_INSIDE: Final = (GateReason.IN_WINDOW, GateReason.SETTLING)


class AxisMotion(Struct, frozen=True, kw_only=True):
    """Motion along one patient axis while the beam was on, mm, from the middle of the gating window.

    Positive towards left, posterior, superior.
    """

    axis: str
    shown: bool
    """False if the plane does not show this axis. Nothing was measured along it then, and the figures are NaN."""
    mean_mm: float
    """What is left of the session's error with gating."""
    free_mean_mm: float
    """The same over the whole session: the error that it would have without gating."""
    sd_mm: float
    p95_mm: float
    """95th percentile of the distance from the middle of the window."""
    range_mm: float
    baseline_shift_mm: float
    """Shift of the exhale position from the beginning to the end of the session; NaN if it is too short to tell."""


class BaselinePoint(Struct, frozen=True, kw_only=True):
    """Baseline shift since the beginning of the session, mm towards left, posterior, superior; NaN if not shown."""

    t_s: float
    lr_mm: float
    ap_mm: float
    si_mm: float


class Transitions(Struct, frozen=True, kw_only=True):
    """How late the beam followed the target across the edge of its window, and how far the target moved meanwhile."""

    count: int
    latency_p50_ms: float
    latency_p95_ms: float
    travel_p50_mm: float
    travel_p95_mm: float


class SessionFigures(Struct, frozen=True, kw_only=True):
    """What gating did for one target. NaN: not known, for example because the beam was never on."""

    target: str
    frames: int
    duration_s: float
    beam_known_by: str
    beam_on_s: float
    duty_cycle: float
    extended_by: float
    """Treatment time divided by the time with beam on."""
    held_s: float
    """Time without beam, by which gating extended the treatment."""
    beam_on_periods: int
    beam_on_median_s: float
    beam_on_shortest_s: float
    beam_on_longest_s: float
    residual: tuple[AxisMotion, ...]
    residual_p95_mm: float
    """95th percentile (AAPM TG-76 section VI)."""
    residual_sd_mm: float
    """SD: the root of the summed variances of the axes."""
    free_p95_mm: float
    """The same over the whole session, as it would be without gating."""
    coverage: float
    """Mean fraction of the target inside the gating boundary while the beam was on."""
    beam_off: Transitions
    """Overshoot: the target is already outside, the beam still on."""
    beam_on: Transitions
    """Undershoot: the target is already inside, the beam not yet on."""
    baseline: tuple[BaselinePoint, ...]
    """Every 10 s over the session."""
    baseline_unknown_because: str
    """Why no baseline shift is known; empty if one is."""
    holds: tuple[Hold, ...]
    """Breath-holds, if the session has a rule for them."""
    hold_to_hold_mm: float
    """SD of the positions of the breath-holds: how well they repeat."""
    low_confidence_s: float
    low_quality_s: float
    """Time in which the tracker refused the image: not finite, without contrast, or not of the reference's shape."""
    lost_s: float
    """Time in which the target was not found."""
    relative_d98: float
    """TrackRAD2025's relative D98 (`gating.analysis.dose.challenge_d98`), of a round target of the contour's area."""
    smooth_d98: float
    """The same with the dose that the challenge describes, which is not cut (`gating.analysis.dose.smooth_d98`)."""


def session_figures(log: Path | SessionData) -> list[SessionFigures]:
    """Return the figures of every tracked target of a session log.

    Raises
    ------
    gating.session.log.SessionError
        If the file is no session log.
    """
    return [figures(motion) for motion in motion_from_session(log)]


def figures(motion: GatedMotion) -> SessionFigures:
    """Return the figures of one target. Times are counted on a grid of 10 ms; positions are interpolated."""
    beam, free = residual_mm(motion), free_mm(motion)
    lengths_s = np.diff(clip(motion.beam_s, motion.span_s), axis=1)[:, 0]
    on_s, duty = (f(motion.beam_s, motion.span_s) for f in (beam_on_time, duty_cycle))
    frame_s = _frame_seconds(motion)
    radius_mm = RADIUS_MM if motion.radius_mm is None else motion.radius_mm
    status, holds = np.array(motion.status), find_holds(motion)
    return SessionFigures(
        target=motion.target,
        frames=len(motion.t_s),
        duration_s=motion.duration_s,
        beam_known_by=motion.beam_known_by,
        beam_on_s=on_s,
        duty_cycle=duty,
        extended_by=1 / duty if duty > 0 else float("nan"),
        held_s=motion.duration_s - on_s,
        beam_on_periods=len(lengths_s),
        beam_on_median_s=_or_nan(np.median, lengths_s),
        beam_on_shortest_s=_or_nan(np.min, lengths_s),
        beam_on_longest_s=_or_nan(np.max, lengths_s),
        residual=_axes(motion, beam, free),
        residual_p95_mm=distance_mm(beam),
        residual_sd_mm=spread_mm(beam),
        free_p95_mm=distance_mm(free),
        coverage=_coverage(motion),
        beam_off=_transitions(motion, turning_on=False),
        beam_on=_transitions(motion, turning_on=True),
        baseline=_baseline(motion),
        baseline_unknown_because=too_short(motion.t_s, motion.displacement_mm),
        holds=holds,
        hold_to_hold_mm=hold_to_hold_mm(holds),
        low_confidence_s=float(frame_s[status == "low_confidence"].sum()),
        low_quality_s=float(frame_s[status == "refused"].sum()),
        lost_s=float(frame_s[status == "lost"].sum()),
        relative_d98=challenge_d98(beam, radius_mm),
        smooth_d98=smooth_d98(beam, radius_mm),
    )


def _axes(motion: GatedMotion, beam: NDArray[np.float64], free: NDArray[np.float64]) -> tuple[AxisMotion, ...]:
    shift = baseline_shift(motion.t_s, motion.displacement_mm)
    shift_mm = np.full(3, np.nan) if shift is None else shift.shift_mm
    measured = zip(AXES, motion.shown, beam.T, free.T, shift_mm.tolist(), strict=True)
    return tuple(
        _axis(name, axis, free_axis, shift_mm) if shown else _unseen_axis(name)
        for name, shown, axis, free_axis, shift_mm in measured
    )


def _axis(name: str, axis: NDArray[np.float64], free: NDArray[np.float64], shift_mm: float) -> AxisMotion:
    return AxisMotion(
        axis=name,
        shown=True,
        mean_mm=_or_nan(np.mean, axis),
        free_mean_mm=_or_nan(np.mean, free),
        sd_mm=_or_nan(np.std, axis),
        p95_mm=_percentile(np.abs(axis)),
        range_mm=_or_nan(np.ptp, axis),
        baseline_shift_mm=shift_mm,
    )


def _unseen_axis(name: str) -> AxisMotion:
    return msgspec.structs.replace(_axis(name, np.empty(0), np.empty(0), float("nan")), shown=False)


def _baseline(motion: GatedMotion) -> tuple[BaselinePoint, ...]:
    times_s, shift_mm = baseline_over_time(motion.t_s, motion.displacement_mm)
    shift_mm = np.where(motion.shown, shift_mm, np.nan)
    rows = np.round(np.column_stack([times_s, shift_mm]), 3).tolist()
    return tuple(BaselinePoint(t_s=t, lr_mm=lr, ap_mm=ap, si_mm=si) for t, lr, ap, si in rows)


def _transitions(motion: GatedMotion, *, turning_on: bool) -> Transitions:
    """Pair each change of the beam with the crossing of the window before it, if that went in the same direction.

    A beam that goes off while the target is inside follows no crossing; the stream may have ended. A crossing lies
    between the last frame on one side and the first on the other, where the interpolated out fraction reaches its
    limit; half-way if another rule decided.
    """
    changes_s = motion.beam_s[:, 0 if turning_on else 1]
    inside = np.array([reason in _INSIDE for reason in motion.reasons])
    crossed = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    latency_s, travel_mm = [], []
    for change_s in changes_s:
        before = int(np.searchsorted(motion.t_s[crossed], change_s, side="right")) - 1
        if before < 0 or inside[crossed[before]] != turning_on:
            continue
        if not turning_on and motion.reasons[crossed[before]] not in BRIDGEABLE:
            continue
        crossing_s = _crossing_s(motion, int(crossed[before]))
        if change_s - crossing_s <= 3.0:
            latency_s.append(change_s - crossing_s)
            there, then = motion.at(np.array([crossing_s, change_s]))
            travel_mm.append(float(np.linalg.norm(then - there)))
    late, far = np.array(latency_s), np.array(travel_mm)
    far = far[np.isfinite(far)]
    return Transitions(
        count=len(late),
        latency_p50_ms=1e3 * _or_nan(np.median, late),
        latency_p95_ms=1e3 * _percentile(late),
        travel_p50_mm=_or_nan(np.median, far),
        travel_p95_mm=_percentile(far),
    )


def _crossing_s(motion: GatedMotion, index: int) -> float:
    before_s, after_s = motion.t_s[index - 1], motion.t_s[index]
    before, after = motion.out_fraction[index - 1], motion.out_fraction[index]
    limit = motion.max_out_fraction
    share = (limit - before) / (after - before) if (before - limit) * (after - limit) < 0 else 0.5
    return float(before_s + share * (after_s - before_s))


def _coverage(motion: GatedMotion) -> float:
    when_s, _, on = motion.grid()
    when_s = when_s[on]
    return 1 - _or_nan(np.mean, np.interp(when_s, motion.t_s, motion.out_fraction)) if len(when_s) else float("nan")


def _frame_seconds(motion: GatedMotion) -> NDArray[np.float64]:
    if len(motion.t_s) < 2:
        return np.zeros(len(motion.t_s))
    steps = np.diff(motion.t_s)
    return np.append(steps, np.median(steps))


def _percentile(values: NDArray[np.float64]) -> float:
    return float(np.percentile(values, 95)) if len(values) else float("nan")


def _or_nan(statistic: Callable[..., Any], values: NDArray[np.float64]) -> float:
    return float(statistic(values)) if len(values) else float("nan")
