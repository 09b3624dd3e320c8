"""What the summary and the report need from a session log, read in one pass; pixels are not kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gating.latency.stages import beam_ms, stage_ms
from gating.messages import (
    BeamStatus,
    CineFrame,
    Event,
    FrameHeader,
    GateCommand,
    GateState,
    SessionHeader,
    StreamEnd,
    StreamInfo,
    TargetEstimate,
    TargetPosition,
    TargetReference,
)
from gating.session.log import read_session

STATUS_GAP_NS: Final = 500_000_000
"""How long a confirmed state counts without another status."""

Interval = tuple[int, int]


@dataclass(slots=True)
class FrameOutcome:
    """The first command that announced a frame, and when it was sent."""

    command: GateCommand
    at_ns: int


@dataclass(slots=True)
class SessionData:
    """A session in memory. Times are ns on the recorder's monotonic clock; lists are in order of arrival."""

    path: Path
    metadata: dict[str, str] = field(default_factory=dict)
    header: SessionHeader | None = None
    """Of the first engine."""
    sites: dict[str, str] = field(default_factory=dict)
    """The site that each engine treated, by the engine's id; without engines that treated none."""
    stream: StreamInfo | None = None
    end: StreamEnd | None = None
    references: dict[str, TargetReference] = field(default_factory=dict)
    frames: dict[int, FrameHeader] = field(default_factory=dict)
    estimates: dict[str, list[TargetEstimate]] = field(default_factory=dict)
    outcomes: dict[int, FrameOutcome] = field(default_factory=dict)
    commands: list[tuple[int, GateCommand]] = field(default_factory=list)
    """Every command, with its time."""
    commanded: list[tuple[int, GateCommand]] = field(default_factory=list)
    """Every change of commanded state or reason, with its time."""
    statuses: list[tuple[int, BeamStatus]] = field(default_factory=list)
    """Every status of the beam interface, with its time."""
    events: list[Event] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    stage_frames: dict[str, list[int]] = field(default_factory=dict)
    confirmed_on: list[Interval] = field(default_factory=list)
    commanded_on: list[Interval] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    """Every peer with its series that the source declared, in words; empty if the source has no peer."""
    positions: list[TargetPosition] = field(default_factory=list)
    """What machines that follow were told of this session, if a position stream was heard."""
    beam_kind: str = ""
    undecodable: int = 0
    cut: str = ""

    @property
    def first_ns(self) -> int:
        """When the first frame was published; 0 if none was."""
        return min((frame.published_ns for frame in self.frames.values()), default=0)

    @property
    def last_ns(self) -> int:
        """When the interval of the last frame ends."""
        last_ns = max((frame.published_ns for frame in self.frames.values()), default=0)
        return last_ns + self.interval_ns if self.frames else 0

    @property
    def interval_ns(self) -> int:
        """The mean interval between published frames."""
        stamps = sorted(frame.published_ns for frame in self.frames.values())
        return (stamps[-1] - stamps[0]) // (len(stamps) - 1) if len(stamps) > 1 else 0

    def seconds(self, at_ns: int) -> float:
        """Return a time in seconds after the first published frame."""
        return (at_ns - self.first_ns) / 1e9


def read_data(path: Path) -> SessionData:
    """Read a session log.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    data = SessionData(path)
    reader = read_session(path)
    statuses: list[tuple[int, BeamStatus]] = []
    commands: list[tuple[int, GateCommand]] = []
    for _, log_time_ns, message in reader:
        match message:
            case CineFrame():
                data.frames.setdefault(message.header.sequence, message.header)
            case GateCommand():
                commands.append((log_time_ns, message))
            case BeamStatus():
                statuses.append((log_time_ns, message))
            case TargetEstimate():
                data.estimates.setdefault(message.target, []).append(message)
            case TargetPosition():
                data.positions.append(message)
            case TargetReference():
                data.references.setdefault(message.target, message)
            case SessionHeader() | StreamInfo():
                _note(data, message)
            case StreamEnd():
                data.end = message
            case Event():
                data.events.append(message)
            case _:
                pass
    data.metadata, data.cut, data.undecodable = reader.raw.metadata, reader.raw.cut, reader.undecodable
    session_id = data.metadata.get("session_id")
    data.positions = [one for one in data.positions if session_id in (None, one.session_id)]
    _fold_commands(data, commands)
    _fold_statuses(data, statuses)
    return data


def _note(data: SessionData, said: SessionHeader | StreamInfo) -> None:
    """Note what an engine or a source says of itself."""
    if isinstance(said, SessionHeader):
        data.header = data.header or said
        if said.site:
            data.sites[said.engine_id] = said.site
    else:
        data.stream = said
        if (said.peer or said.series) and said.origin not in data.origins:
            data.origins.append(said.origin)


def _fold_commands(data: SessionData, commands: list[tuple[int, GateCommand]]) -> None:
    same_clock = data.header is not None and data.header.clock == data.metadata.get("clock")
    changes: list[tuple[int, bool, int]] = []
    before: tuple[GateState, str] | None = None
    for log_time_ns, command in commands:
        at_ns = command.stamps.sent_ns if same_clock and command.stamps.sent_ns else log_time_ns
        data.commands.append((at_ns, command))
        on = command.state is GateState.ON
        changes.append((at_ns, on, at_ns + round(command.lease_ms * 1e6)))
        if (command.state, command.reason) != before:
            before = (command.state, command.reason)
            data.commanded.append((at_ns, command))
        sequence = command.frame_sequence
        if sequence < 0 or command.renewal or sequence in data.outcomes:
            continue
        data.outcomes[sequence] = FrameOutcome(command, at_ns)
        for stage, took_ms in stage_ms(command.stamps).items():
            _add(data, stage, sequence, took_ms)
    data.commanded_on = _merge(changes)


def _fold_statuses(data: SessionData, statuses: list[tuple[int, BeamStatus]]) -> None:
    changes: list[tuple[int, bool, int]] = []
    answered: set[int] = set()
    for log_time_ns, status in statuses:
        data.beam_kind = status.beam_kind
        at_ns = status.sent_ns if status.clock == data.metadata.get("clock") else log_time_ns
        data.statuses.append((at_ns, status))
        changes.append((at_ns, status.confirmed is GateState.ON, at_ns + STATUS_GAP_NS))
        if status.renewal or status.frame_sequence in answered:
            continue
        answered.add(status.frame_sequence)
        frame = data.frames.get(status.frame_sequence)
        published_ns = frame.published_ns if frame is not None and frame.publish_clock == status.clock else 0
        for stage, took_ms in beam_ms(status, published_ns).items():
            _add(data, stage, status.frame_sequence, took_ms)
    data.confirmed_on = _merge(changes)


def _add(data: SessionData, stage: str, sequence: int, took_ms: float) -> None:
    data.stages_ms.setdefault(stage, []).append(took_ms)
    data.stage_frames.setdefault(stage, []).append(sequence)


def _merge(changes: Iterable[tuple[int, bool, int]]) -> list[Interval]:
    """Turn (time, on, valid until) into intervals of on. A state lasts until the next one or its own end."""
    intervals: list[Interval] = []
    begin_ns: int | None = None
    until_ns = 0
    for at_ns, on, valid_until_ns in changes:
        if begin_ns is not None and (not on or at_ns > until_ns):
            intervals.append((begin_ns, min(at_ns, until_ns)))
            begin_ns = None
        if on:
            begin_ns = at_ns if begin_ns is None else begin_ns
            until_ns = valid_until_ns
    if begin_ns is not None:
        intervals.append((begin_ns, until_ns))
    return intervals
