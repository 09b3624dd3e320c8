"""What one session with a phantom comes to: each figure defined once, by name, from what was measured.

A figure is a function of a `ChainRecord`, which holds the phantom's true motion beside what the chain saw, decided and
did, all on the clock of this host. Latencies are those of `gating.latency.physical`: from the crossing of the gating
level to the change of the beam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gating.errors import CinegateError
from gating.latency.physical import Crossing, PhysicalLog, PhysicalLogError, crossings, phase_latency_ms
from gating.latency.stages import summarise
from gating.prediction import make_predictor
from gating.qa.motion import Window

STEP_S: Final = 1e-3
"""Grid on which crossings and changes of the beam are paired; a latency is known to half of it."""
LEAST_FRAMES: Final = 3

Series = NDArray[np.float64]


class NotMeasuredError(CinegateError, ValueError):
    """A value could not be measured. The text is one sentence that says why."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChainRecord:
    """A session of the real chain beside the truth. Frames have one row each; times are s from the first frame."""

    t_s: Series
    """Acquisition of each frame."""
    truth_mm: Series
    """(n, 2) of (along columns, along rows): the phantom's target, from where it was in the first frame."""
    seen_mm: Series
    """(n, 2) the same as the tracker saw it; NaN where it saw nothing."""
    known_s: Series
    """When the decision on each frame was sent; NaN for a frame without one."""
    inside: Series
    """1: the decision found the target inside, 0: outside, NaN: it held for another reason."""
    beam: tuple[tuple[float, bool], ...]
    """Every change of the beam itself, in order: (s, on)."""
    windows: tuple[Window, ...]
    level_mm: float
    interval_s: float
    """Nominal interval between frames."""
    frames_expected: int
    resume_frames: int = 1
    """Good frames in a row before beam on."""
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    stamp_uncertainty_ms: float = 0.0
    log_findings: tuple[str, ...] = ()
    """What is missing, broken or contradicted in the session log."""
    replay_differences: int | None = None
    """Decisions that a replay of the log does not repeat; None if it was not replayed."""
    lease_excess_ms: float | None = None
    stale_excess_ms: float | None = None
    horizon_ms: float = 250.0

    def span(self, kind: Literal["rest", "plateau", "sine", "ramp"]) -> list[Window]:
        """Return the spans of one kind. Raises `NotMeasuredError` if the motion has none."""
        found = [window for window in self.windows if window.kind == kind]
        if not found:
            raise NotMeasuredError(f"the motion of this session has no {kind}")
        return found

    def frames(self, window: Window) -> NDArray[np.bool_]:
        """Return which frames of a span the tracker saw. Raises `NotMeasuredError` if there are fewer than three."""
        chosen: NDArray[np.bool_] = (self.t_s >= window.begin_s) & (self.t_s < window.end_s)
        chosen &= np.isfinite(self.seen_mm).all(axis=1)
        if chosen.sum() < LEAST_FRAMES:
            raise NotMeasuredError(
                f"{int(chosen.sum())} frames were tracked from {window.begin_s:.1f} to {window.end_s:.1f} s; "
                f"{LEAST_FRAMES} are needed"
            )
        return chosen

    @property
    def distance_mm(self) -> Series:
        """Return the true distance from the middle of the window along SI, which image rows show."""
        return np.abs(self.truth_mm[:, 1])


def step_error_mm(record: ChainRecord) -> float:
    """Return the largest error of a known step: the seen change of position from rest less the true one."""
    middles = []
    for window in (record.span("rest")[0], *record.span("plateau")):
        chosen = record.frames(window)
        middles.append([np.median(mm[chosen], axis=0) for mm in (record.seen_mm, record.truth_mm)])
    moved = np.array(middles)
    error = (moved[1:, 0] - moved[0, 0]) - (moved[1:, 1] - moved[0, 1])
    return float(np.linalg.norm(error, axis=1).max())


def sine_error_mm(record: ChainRecord) -> float:
    """Return the 95th percentile of the distance between the seen and the true target during the sine."""
    chosen = record.frames(record.span("sine")[0])
    return float(np.percentile(np.linalg.norm((record.seen_mm - record.truth_mm)[chosen], axis=1), 95))


def sine_phase_ms(record: ChainRecord) -> float:
    """Return how late the sine is known: the phase of seen positions, when they were sent, behind that of the truth."""
    chosen = record.frames(record.span("sine")[0]) & np.isfinite(record.known_s)
    truth, seen = record.truth_mm[chosen, 1], record.seen_mm[chosen, 1]
    try:
        return phase_latency_ms(record.t_s[chosen], truth, record.known_s[chosen], seen)
    except PhysicalLogError as error:
        raise NotMeasuredError(str(error)) from None


def drift_error_mm(record: ChainRecord) -> float:
    """Return the error of a slow drift: the seen slope less the true one, over the length of the ramp."""
    window = record.span("ramp")[0]
    chosen = record.frames(window)
    slopes = [np.polyfit(record.t_s[chosen], mm[chosen, 1], 1)[0] for mm in (record.seen_mm, record.truth_mm)]
    return float(abs(slopes[0] - slopes[1]) * (window.end_s - window.begin_s))


def latency_ms(record: ChainRecord, beam: Literal["off", "on"]) -> float:
    """Return the median latency from the crossing of the gating level to the change of the beam."""
    return float(np.median([crossing.latency_ms for crossing in _crossings(record, beam)]))


def chain_ms(record: ChainRecord, beam: Literal["off", "on"]) -> float:
    """Return the median time from the acquisition of the frame that decides to the change of the beam.

    The wait from the crossing to that frame is left out, of one frame interval and what the tracker errs at the level;
    so a delay of the chain shows to the millisecond whatever the frame rate. Beam on is decided by the last of
    `resume_frames` frames in a row.
    """
    wanted, after = (0.0, 1) if beam == "off" else (1.0, record.resume_frames)
    turned = np.flatnonzero((record.inside[1:] == wanted) & (record.inside[:-1] == 1 - wanted)) + 1
    times = []
    for crossing in _crossings(record, beam):
        before = turned[record.t_s[turned] <= crossing.followed_s]
        if len(before) and before[-1] + after <= len(record.t_s):
            times.append(1e3 * (crossing.followed_s - record.t_s[before[-1] + after - 1]))
    if not times:
        raise NotMeasuredError(f"no decision precedes the changes of the beam to {beam}")
    return float(np.median(times))


def gate_level_error_mm(record: ChainRecord) -> float:
    """Return how far from its level the gate changes: the true distance that best divides inside from outside."""
    decided = np.isfinite(record.inside)
    inside, distance = record.inside[decided] == 1, record.distance_mm[decided]
    if not (inside.any() and not inside.all()):
        raise NotMeasuredError("the decisions found the target always inside or always outside")
    order = np.argsort(distance)
    wrong = np.concatenate([[0], np.cumsum(~inside[order])]) + np.append(np.cumsum(inside[order][::-1])[::-1], 0)
    best = np.flatnonzero(wrong == wrong.min())
    bounds = np.concatenate([[distance[order][0]], distance[order], [distance[order][-1]]])
    return float((bounds[best[0]] + bounds[best[-1] + 1]) / 2 - record.level_mm)


def gate_level_error_ms(record: ChainRecord) -> float:
    """Return the time in which the phantom, at its usual speed at the level, covers the error of the level."""
    return 1e3 * gate_level_error_mm(record) / _speed_mm_s(record)


def beam_outside_ms(record: ChainRecord) -> float:
    """Return the longest time for which the beam was on while the target was outside: end to end."""
    _, distance_mm, on = _on_grid(record)
    outside = (on & (distance_mm > record.level_mm)).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], outside, [0]])))
    lengths = np.diff(edges.reshape(-1, 2), axis=1)
    if not on.any():
        raise NotMeasuredError("the beam was never on")
    return float(1e3 * STEP_S * lengths.max()) if len(lengths) else 0.0


def beam_distance_mm(record: ChainRecord) -> float:
    """Return the 95th percentile of the target's true distance from the middle of its window with the beam on."""
    _, distance_mm, on = _on_grid(record)
    if not on.any():
        raise NotMeasuredError("the beam was never on")
    return float(np.percentile(distance_mm[on], 95))


def prediction_error_mm(record: ChainRecord) -> float:
    """Return the root mean square error of the ridge predictor over the second half of the sine, at the horizon."""
    window = record.span("sine")[0]
    chosen = record.frames(window)
    t_s, seen = record.t_s[chosen], record.seen_mm[chosen, 1]
    predictor, horizon_s, wrong = make_predictor("ridge"), record.horizon_ms / 1e3, []
    for at_s, position in zip(t_s, seen, strict=True):
        predictor.observe(float(at_s), [position])
        if (window.begin_s + window.end_s) / 2 < at_s < window.end_s - horizon_s:
            there = np.interp(at_s + horizon_s, record.t_s, record.truth_mm[:, 1])
            wrong.append(float(predictor.predict(horizon_s)[0]) - there)
    if not (wrong and np.isfinite(wrong).all()):
        raise NotMeasuredError(f"the predictor predicted nothing in {window.end_s - window.begin_s:.0f} s of sine")
    return float(np.sqrt(np.mean(np.square(wrong))))


def frames_undecided(record: ChainRecord) -> float:
    """Return how many of the phantom's frames have no decision."""
    return float(record.frames_expected - int(np.isfinite(record.known_s).sum()))


def _stage_p99_ms(record: ChainRecord, stage: str) -> float:
    p99 = summarise(record.stages_ms.get(stage, [])).p99
    return _known(p99, f"the log holds no time of the stage {stage}")


def _known(value: float | None, why: str) -> float:
    if value is None:
        raise NotMeasuredError(why)
    return float(value)


def _crossings(record: ChainRecord, beam: Literal["off", "on"]) -> list[Crossing]:
    grid_s, distance_mm, on = _on_grid(record)
    try:
        found = [one for one in crossings(PhysicalLog(grid_s, distance_mm, on), record.level_mm) if one.beam == beam]
    except PhysicalLogError as error:
        raise NotMeasuredError(str(error)) from None
    if not found:
        raise NotMeasuredError(f"the beam never went {beam} after the target had crossed {record.level_mm:g} mm")
    return found


def _on_grid(record: ChainRecord) -> tuple[Series, Series, NDArray[np.bool_]]:
    grid_s = np.arange(0, float(record.t_s[-1]) + STEP_S / 2, STEP_S)
    on = np.zeros(len(grid_s), np.bool_)
    for at_s, state in record.beam:
        on[np.searchsorted(grid_s, at_s) :] = state
    return grid_s, np.interp(grid_s, record.t_s, record.distance_mm), on


def _speed_mm_s(record: ChainRecord) -> float:
    """Return the median speed at which the phantom crosses the level."""
    above = record.distance_mm > record.level_mm
    at = np.flatnonzero(above[1:] != above[:-1])
    if not len(at):
        raise NotMeasuredError(f"the phantom never crosses {record.level_mm:g} mm")
    return float(np.median(np.abs(np.diff(record.distance_mm)[at]) / np.diff(record.t_s)[at]))


FIGURES: Final[dict[str, Callable[[ChainRecord], float]]] = {
    "step_error_mm": step_error_mm,
    "sine_error_mm": sine_error_mm,
    "sine_phase_ms": sine_phase_ms,
    "drift_error_mm": drift_error_mm,
    "beam_off_ms": lambda record: latency_ms(record, "off"),
    "beam_on_ms": lambda record: latency_ms(record, "on"),
    "beam_off_chain_ms": lambda record: chain_ms(record, "off"),
    "beam_on_chain_ms": lambda record: chain_ms(record, "on"),
    "gate_level_error_mm": gate_level_error_mm,
    "gate_level_error_ms": gate_level_error_ms,
    "beam_outside_ms": beam_outside_ms,
    "beam_distance_mm": beam_distance_mm,
    "prediction_error_mm": prediction_error_mm,
    "frames_undecided": frames_undecided,
    "engine_p99_ms": lambda record: _stage_p99_ms(record, "engine"),
    "loop_p99_ms": lambda record: _stage_p99_ms(record, "loop"),
    "stamp_uncertainty_ms": lambda record: record.stamp_uncertainty_ms,
    "log_findings": lambda record: float(len(record.log_findings)),
    "replay_differences": lambda record: _known(record.replay_differences, "the log was not replayed"),
    "lease_excess_ms": lambda record: _known(record.lease_excess_ms, "the engine was not killed in this session"),
    "stale_excess_ms": lambda record: _known(record.stale_excess_ms, "the source was not stopped in this session"),
}
"""Every figure by the name that a step gives as its `measure`."""
