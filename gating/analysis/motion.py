"""Where a target was, what the engine decided, and when the beam was on: the table from which all figures come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.analysis.displacements import displacements_mm, judged_in_3d
from gating.geometry.contours import equivalent_radius_mm
from gating.geometry.plane import ImagePlane
from gating.messages import ASSUMED_CLOCK, FrameHeader, GateState, StreamInfo, TargetEstimate
from gating.session.summary_data import Interval, SessionData, read_data
from gating.settings.config import Config, GatingSettings, parse_past_config
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, OverlapRule
from gating.targets.from_settings import boundary_rule, rules_of

Intervals = NDArray[np.float64]
"""(n, 2) of (begin, end), s, in order."""
GRID_S = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class GatedMotion:
    """One target over a session, with a row for each decided frame. All times are on the same clock, s.

    Attributes
    ----------
    target
        Name of the target.
    t_s
        (n,) acquisition times.
    displacement_mm
        (n, 3) LPS, of the target centre from its place in the reference frame, as the rules judged it: in the plane, or
        in 3D. NaN where the target was not found.
    position_mm
        (n, 3) LPS, of the target centre; NaN where the target was not found.
    gate_on
        (n,) whether the frame's decision permits beam.
    reasons, status
        n reasons of the decisions, n statuses of the tracker.
    confidence, out_fraction
        (n,) confidence of the tracker, fraction of the target outside the boundary.
    max_out_fraction
        Limit of `out_fraction`.
    window_mm
        (3,) LPS, middle of the gating window relative to the reference, where the dose is planned.
    beam_s
        When the beam was on.
    beam_known_by
        "confirmed" by the beam interface, "commanded", or "simulated".
    span_s
        Begin and end of the session.
    shown
        Whether the plane shows LR, AP, SI. Along an axis that it does not show, displacements are 0 and nothing is
        known.
    hold_rule
        Breath-hold rule of the target, if it has one.
    radius_mm
        Radius of a circle with the area of the target in the reference frame; None if that is not known.
    times_assumed
        Whether `t_s` follows from a rate that a user gave.
    """

    target: str
    t_s: NDArray[np.float64]
    displacement_mm: NDArray[np.float64]
    position_mm: NDArray[np.float64]
    gate_on: NDArray[np.bool_]
    reasons: tuple[str, ...]
    status: tuple[str, ...]
    confidence: NDArray[np.float64]
    out_fraction: NDArray[np.float64]
    max_out_fraction: float
    window_mm: NDArray[np.float64]
    beam_s: Intervals
    beam_known_by: str
    span_s: tuple[float, float]
    shown: tuple[bool, bool, bool] = (True, True, True)
    hold_rule: BreathHoldRule | None = None
    radius_mm: float | None = None
    times_assumed: bool = False

    @property
    def duration_s(self) -> float:
        """Length of the session."""
        return self.span_s[1] - self.span_s[0]

    def since(self, begin_s: float) -> GatedMotion:
        """Return the part of the session that begins at a time."""
        kept = self.t_s >= begin_s
        return replace(
            self,
            t_s=self.t_s[kept],
            displacement_mm=self.displacement_mm[kept],
            position_mm=self.position_mm[kept],
            gate_on=self.gate_on[kept],
            reasons=tuple(compress(self.reasons, kept.tolist())),
            status=tuple(compress(self.status, kept.tolist())),
            confidence=self.confidence[kept],
            out_fraction=self.out_fraction[kept],
            span_s=(begin_s, self.span_s[1]),
        )

    def at(self, when_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacement at (m,) times, (m, 3) mm, interpolated linearly; NaN next to a frame without one."""
        return np.stack([np.interp(when_s, self.t_s, axis) for axis in self.displacement_mm.T], axis=1)

    def grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return every 10 ms from first to last row: times, displacements, and whether the beam was on."""
        when_s = np.arange(self.t_s[0], self.t_s[-1] + GRID_S / 2, GRID_S) if len(self.t_s) else np.empty(0)
        return when_s, self.at(when_s) if len(self.t_s) else np.empty((0, 3)), inside(when_s, self.beam_s)


def inside(when_s: NDArray[np.float64], intervals: Intervals) -> NDArray[np.bool_]:
    """Return which times lie in one of the intervals."""
    on: NDArray[np.bool_] = np.searchsorted(intervals[:, 0], when_s, side="right") > np.searchsorted(
        intervals[:, 1], when_s, side="right"
    )
    return on


def span_of(t_s: NDArray[np.float64]) -> tuple[float, float]:
    """Return the begin and end of a session with frames at (n,) times: the last stands for one mean interval."""
    if not len(t_s):
        return 0.0, 0.0
    first_s, last_s = float(t_s[0]), float(t_s[-1])
    return first_s, last_s + (last_s - first_s) / max(1, len(t_s) - 1)


def beam_intervals(
    t_s: NDArray[np.float64], gate_on: NDArray[np.bool_], on_latency_s: float, off_latency_s: float
) -> Intervals:
    """Return when the beam is on if it follows every decision after a latency, counted from the acquisition.

    Intervals that would end before they begin are left out, and overlapping ones are joined.
    """
    steps = np.diff(np.concatenate([[False], gate_on, [False]]).astype(int))
    ends = np.append(t_s, t_s[-1] if len(t_s) else 0.0)
    begin = ends[steps == 1] + on_latency_s
    end = ends[steps == -1] + off_latency_s
    joined: list[list[float]] = []
    for a, b in zip(begin, end, strict=True):
        if joined and a <= joined[-1][1]:
            joined[-1][1] = max(b, joined[-1][1])
        elif b > a:
            joined.append([a, b])
    return np.array(joined, float).reshape(-1, 2)


def motion_from_estimates(
    estimates: Sequence[TargetEstimate],
    t_s: NDArray[np.float64],
    reference_mm: tuple[float, float, float],
    gating: GatingSettings,
    beam_s: Intervals,
    beam_known_by: str,
    *,
    span_s: tuple[float, float],
    plane: FrameHeader | StreamInfo,
    contour_px: ArrayLike | None = None,
) -> GatedMotion:
    """Return the table of one target.

    Parameters
    ----------
    estimates
        Estimates of the target, in order.
    t_s
        When their frames were acquired.
    reference_mm
        LPS, target centre in the reference frame.
    gating
        Settings of the session.
    beam_s, beam_known_by
        When the beam was on, and how that is known.
    span_s
        Begin and end of the session, on the clock of `t_s`.
    plane
        Geometry and clock of the target's frames.
    contour_px
        (n, 2) of (x, y), the target in the reference frame.
    """
    name = estimates[0].target if estimates else ""
    shown = range(3) if judged_in_3d(estimates) else ImagePlane.of(plane).shown_axes().values()
    away = displacements_mm(estimates, reference_mm, ImagePlane.of(plane))
    position = np.array([e.position_mm for e in estimates], float).reshape(-1, 3)
    lost = [e.status != "tracked" for e in estimates]
    away[lost] = position[lost] = np.nan
    return GatedMotion(
        target=name,
        t_s=t_s,
        displacement_mm=away,
        position_mm=position,
        gate_on=np.array([e.gate is GateState.ON for e in estimates], bool),
        reasons=tuple(str(e.reason) for e in estimates),
        status=tuple(str(e.status) for e in estimates),
        confidence=np.array([e.confidence for e in estimates], float),
        out_fraction=np.array([e.target_out_fraction for e in estimates], float),
        max_out_fraction=boundary_rule(name, gating).max_out_fraction,
        window_mm=window_centre_mm(name, gating),
        beam_s=beam_s,
        beam_known_by=beam_known_by,
        span_s=span_s,
        shown=(0 in shown, 1 in shown, 2 in shown),
        hold_rule=next((r for r in rules_of(name, gating.rules) if isinstance(r, BreathHoldRule)), None),
        radius_mm=None if contour_px is None else equivalent_radius_mm(np.asarray(contour_px), plane.pixel_spacing_mm),
        times_assumed=plane.acquired_clock == ASSUMED_CLOCK,
    )


def window_centre_mm(name: str, gating: GatingSettings) -> NDArray[np.float64]:
    """Return the middle of a target's gating window from its place in the reference frame, (3,) LPS mm.

    It is the shift of the first of its rules that have one; the reference itself if none has.
    """
    placed = (r for r in rules_of(name, gating.rules) if isinstance(r, BoundaryRule | CentreRule | OverlapRule))
    return np.array(next((rule.shift_lps_mm for rule in placed), (0.0, 0.0, 0.0)))


def session_span_ns(data: SessionData) -> tuple[int, int]:
    """Return when a session began and ended, by the acquisition of its frames on the publisher's clock.

    The last frame stands for one mean interval. Equal numbers if there are no frames.
    """
    acquired_ns = [frame.acquired_on_publish_clock_ns for frame in data.frames.values()]
    return (min(acquired_ns), max(acquired_ns) + data.interval_ns) if acquired_ns else (0, 0)


def session_config(data: SessionData) -> Config:
    """Return the settings of a session; the default ones if the log has none. Raises `ConfigError`."""
    header = data.header
    return Config() if header is None else parse_past_config(header.config_toml, "the session's configuration")


def known_beam(data: SessionData) -> tuple[list[Interval], str]:
    """Return when the beam was on, ns, and how that is known: "confirmed", "commanded", or "" if nothing is known."""
    if data.confirmed_on or data.beam_kind:
        return data.confirmed_on, "confirmed"
    return data.commanded_on, "commanded" if data.commands else ""


def motion_from_session(log: Path | SessionData) -> list[GatedMotion]:
    """Return the table of every target of a session.

    Times count from the acquisition of the first frame. The beam is on as confirmed by the beam interface, or as
    commanded if there was no beam interface. A log without either has no beam.

    Raises
    ------
    gating.session.log.SessionError
        If the file is no session log.
    gating.settings.config.ConfigError
        If the log holds a configuration that this version refuses.
    """
    data = log if isinstance(log, SessionData) else read_data(log)
    if not data.frames:
        return []
    acquired_ns = {sequence: frame.acquired_on_publish_clock_ns for sequence, frame in data.frames.items()}
    begin_ns, end_ns = session_span_ns(data)
    intervals, known_by = known_beam(data)
    beam_s = (np.array(intervals, float).reshape(-1, 2) - begin_ns) / 1e9
    gating = session_config(data).gating
    tables = []
    for name, estimates in data.estimates.items():
        known = [e for e in estimates if e.frame_sequence in acquired_ns]
        reference = data.references.get(name)
        if reference is None or len(known) < 2:
            continue
        t_s = (np.array([acquired_ns[e.frame_sequence] for e in known], float) - begin_ns) / 1e9
        span_s = 0.0, (end_ns - begin_ns) / 1e9
        plane = data.frames[known[0].frame_sequence]
        tables.append(
            motion_from_estimates(
                known,
                t_s,
                reference.centre_mm,
                gating,
                beam_s,
                known_by,
                span_s=span_s,
                plane=plane,
                contour_px=reference.contour_px,
            )
        )
    return tables
