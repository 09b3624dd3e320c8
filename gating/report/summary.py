"""The summary of a session, as a record and as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.definitions import beam_on_time, clip, distance_mm, duty_cycle, residual_mm
from gating.analysis.displacements import displacements_mm, judged_in_3d
from gating.analysis.motion import GatedMotion, known_beam, motion_from_session, session_span_ns
from gating.analysis.sites import SiteDelivery, site_deliveries
from gating.analysis.unknown import number, percent
from gating.geometry.plane import ImagePlane
from gating.latency.stages import STAGES, LatencySummary, summarise
from gating.messages import (
    ARRIVAL_TIME_MEANS,
    ASSUMED_CLOCK,
    ASSUMED_TIME_MEANS,
    GateState,
    Pacing,
    StampMeaning,
    TargetEstimate,
    TargetReference,
)
from gating.report.position_stream import PositionStream, position_stream
from gating.report.site_rows import ALL, site_rows
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

MAX_EVENTS: Final = 500


class EventLine(Struct, frozen=True, kw_only=True):
    """One event; its time is in seconds after the first frame."""

    t_s: float
    role: str
    severity: str
    code: str
    text: str


class Motion(Struct, frozen=True, kw_only=True):
    """Motion of a target's centre, mm; None where it is not known."""

    target: str
    frames: int
    range_si_mm: float | None
    """Range in the frames in which the target was tracked; None along an axis that the plane does not show."""
    range_ap_mm: float | None
    range_lr_mm: float | None
    residual_p50_mm: float | None
    """Residual motion, as `gating.analysis.definitions` defines it."""
    residual_p95_mm: float | None
    residual_max_mm: float | None


class SessionSummary(Struct, frozen=True, kw_only=True):
    """The summary of a session."""

    session_id: str
    started_at: str
    source: str
    origins: list[str]
    """Every peer that the images came from, with its series."""
    source_kind: str
    pacing: str
    speed: float
    beam_kind: str
    real_time: bool
    """False if a recording was not replayed at its own rate. Its latencies are then not real-time."""
    arrival_time: bool
    """True if stamps are arrival times. The age of the images is then not known."""
    times_assumed: bool
    """True if the recording held no times, and a user gave its rate."""
    duration_s: float
    frames_published: int
    frames_recorded: int
    frames_decided: int
    frames_skipped: int
    beam_known_by: str
    """How beam-on times are known: "confirmed" by the beam interface, "commanded", or "" if they are not."""
    duty_cycle: float | None
    duty_cycle_commanded: float | None
    """The same of commanded beam."""
    beam_on_s: float | None
    beam_on_periods: list[tuple[float, float]]
    """In s after the first published frame."""
    reasons: dict[str, int]
    """Reason to number of decided frames."""
    holds: dict[str, int]
    """Reason to number of permitted periods that it ended."""
    latency_ms: dict[str, LatencySummary]
    motion: list[Motion]
    events: list[EventLine]
    versions: dict[str, str]
    config_hash: str
    overrides: list[str]
    """Settings that disarm a safeguard, each with its reason."""
    tracker: str
    undecodable: int
    cut: str
    """What a torn log lacks; empty if the log is whole."""
    positions: PositionStream | None
    """What machines that follow were told; None if no position stream was heard."""
    sites: list[SiteDelivery]
    """What each site of the session received; empty for a session without sites."""


def summarise_session(path: Path) -> SessionSummary:
    """Read a log and summarise it.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    return summarise_data(read_data(path))


def summarise_data(data: SessionData) -> SessionSummary:
    """Summarise a log that has been read."""
    header, stream = data.header, data.stream
    first = next(iter(data.frames.values()), None)
    declared = stream or first
    meanings = {each.acquired_meaning for each in (stream, *data.frames.values()) if each is not None}
    published = data.end.frames_published if data.end else max(data.frames, default=-1) + 1
    decided = len(data.outcomes)
    span_ns = session_span_ns(data)
    beam_ns, known_by = known_beam(data)
    motions = _motions(data)
    return SessionSummary(
        session_id=header.session_id if header else data.metadata.get("session_id", ""),
        started_at=header.started_at if header else "",
        source=declared.source if declared else "",
        origins=list(data.origins),
        source_kind=str(declared.source_kind) if declared else "",
        pacing=str(declared.pacing) if declared else "",
        speed=declared.speed if declared else 0.0,
        beam_kind=data.beam_kind,
        real_time=all(frame.pacing is Pacing.REAL_TIME for frame in data.frames.values()) and bool(data.frames),
        arrival_time=StampMeaning.ARRIVAL in meanings,
        times_assumed=declared is not None and declared.acquired_clock == ASSUMED_CLOCK,
        duration_s=(span_ns[1] - span_ns[0]) / 1e9,
        frames_published=published,
        frames_recorded=len(data.frames),
        frames_decided=decided,
        frames_skipped=max(0, published - decided),
        beam_known_by=known_by,
        duty_cycle=_known(duty_cycle(beam_ns, span_ns)) if known_by else None,
        duty_cycle_commanded=_known(duty_cycle(data.commanded_on, span_ns)) if data.commands else None,
        beam_on_s=beam_on_time(beam_ns, span_ns) / 1e9 if known_by else None,
        beam_on_periods=[(data.seconds(begin), data.seconds(end)) for begin, end in clip(beam_ns, span_ns).tolist()],
        reasons=dict(Counter(outcome.command.reason for outcome in data.outcomes.values()).most_common()),
        holds=_holds(data),
        latency_ms={stage: summarise(data.stages_ms[stage]) for stage in STAGES if stage in data.stages_ms},
        motion=[_motion(data, target, motions.get(target)) for target in data.estimates],
        events=[
            EventLine(t_s=data.seconds(e.at_ns), role=e.role, severity=e.severity, code=e.code, text=e.text)
            for e in data.events[:MAX_EVENTS]
        ],
        versions=dict(header.versions) if header else {"cinegate": data.metadata.get("cinegate", "")},
        config_hash=header.config_hash if header else "",
        overrides=list(header.overrides) if header else [],
        tracker=header.tracker if header else "",
        undecodable=data.undecodable,
        cut=data.cut,
        positions=position_stream(data.positions),
        sites=site_deliveries(data),
    )


def summary_dict(summary: SessionSummary) -> dict[str, Any]:
    """Return the summary as plain builtins, ready for JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain


def summary_table(summary: SessionSummary) -> Table:
    """Return the summary as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Session {summary.session_id}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    named = summary.source.startswith(summary.source_kind)
    kind = summary.source if named else f"{summary.source} ({summary.source_kind})"
    table.add_row("source", kind if summary.real_time else f"{kind}, NOT at its own rate ({summary.pacing})")
    for origin in summary.origins:
        table.add_row("peer, series", Text(origin))
    if summary.arrival_time:
        table.add_row("stamps", Text(ARRIVAL_TIME_MEANS, style="red"))
    if summary.times_assumed:
        table.add_row("times", Text(ASSUMED_TIME_MEANS, style="red"))
    for sentence in summary.overrides:
        table.add_row("safeguard off", Text(sentence, style="red"))
    table.add_row("frames", f"{summary.frames_published} published, {summary.frames_decided} decided")
    table.add_row("skipped", str(summary.frames_skipped))
    known = f"{percent(summary.duty_cycle)} {summary.beam_known_by}".strip()
    commanded = f", {percent(summary.duty_cycle_commanded)} commanded" if summary.beam_known_by == "confirmed" else ""
    table.add_row("duty cycle", known + commanded)
    table.add_row("beam on", f"{number(summary.beam_on_s)} s in {len(summary.beam_on_periods)} periods")
    for site, plan, planned, on in site_rows(summary.sites):
        table.add_row(
            Text(site if site == ALL else f"site {site}"),
            Text(", ".join(filter(None, (plan, f"planned {planned}", f"beam on {on}")))),
        )
    for motion in summary.motion:
        table.add_row(f"residual motion, {motion.target}", f"{number(motion.residual_p95_mm)} mm (95 % of beam on)")
    if summary.positions is not None:
        table.add_row("positions", Text(summary.positions.sentence()))
    table.add_row("reasons", ", ".join(f"{reason} {count}" for reason, count in summary.reasons.items()))
    unit = "ms" if summary.real_time else "ms, not real-time"
    for stage, latency in summary.latency_ms.items():
        if stage in ("engine", "loop") and latency.p50 is not None:
            figures = f"p50 {latency.p50:.2f}, p99 {latency.p99:.2f}, p99.9 {latency.p999:.2f}, max {latency.max:.2f}"
            table.add_row(f"{stage} latency", f"{figures} {unit} (n = {latency.n})")
    if summary.cut:
        table.add_row("torn log", summary.cut)
    return table


def displacement_mm(estimates: list[TargetEstimate], reference: TargetReference | None) -> NDArray[np.float64]:
    """Return (n, 3) LPS displacements from the reference; without one, from the first estimate."""
    first = estimates[0].position_mm if estimates else (0.0, 0.0, 0.0)
    return displacements_mm(estimates, reference.centre_mm if reference else first)


def _holds(data: SessionData) -> dict[str, int]:
    ended: Counter[str] = Counter()
    was_on = False
    for _, command in data.commanded:
        if was_on and command.state is not GateState.ON:
            ended[command.reason] += 1
        was_on = command.state is GateState.ON
    return dict(ended.most_common())


def _motions(data: SessionData) -> dict[str, GatedMotion]:
    """Return the motion of each target; nothing for a log whose settings this version cannot read."""
    try:
        return {motion.target: motion for motion in motion_from_session(data)}
    except ConfigError:
        return {}


def _motion(data: SessionData, target: str, motion: GatedMotion | None) -> Motion:
    estimates = data.estimates[target]
    lr, ap, si = _ranges_mm(data, estimates)
    residual = np.empty((0, 3)) if motion is None else residual_mm(motion)
    p50, p95, largest = (_known(distance_mm(residual, percentile)) for percentile in (50, 95, 100))
    return Motion(
        target=target,
        frames=len(estimates),
        range_lr_mm=lr,
        range_ap_mm=ap,
        range_si_mm=si,
        residual_p50_mm=p50,
        residual_p95_mm=p95,
        residual_max_mm=largest,
    )


def _ranges_mm(data: SessionData, estimates: list[TargetEstimate]) -> list[float | None]:
    tracked = [one for one in estimates if one.status == "tracked"]
    moved = displacements_mm(tracked, (0.0, 0.0, 0.0))
    known = moved[np.isfinite(moved).all(axis=1)]
    geometry = next((data.frames[e.frame_sequence] for e in estimates if e.frame_sequence in data.frames), data.stream)
    shown = ImagePlane.of(geometry).shown_axes().values() if geometry is not None else ()
    known_axes = range(3) if judged_in_3d(tracked) else shown
    return [float(np.ptp(known[:, axis])) if len(known) and axis in known_axes else None for axis in range(3)]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
