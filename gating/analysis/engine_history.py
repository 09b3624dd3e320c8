"""The history of each engine in a session log, in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gating.analysis.logged_targets import logged_image
from gating.decision.reasons import GateReason
from gating.messages import (
    CineFrame,
    Event,
    FrameHeader,
    GateCommand,
    ImageHeader,
    Message,
    ReferenceImage,
    SessionHeader,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.session.log import read_session
from gating.targets.image import TargetImage

LOOK_AHEAD_NS: Final = 1_000_000_000
"""The recorder may receive a command before the frame that caused it; it may be this much later."""
_HISTORY: Final = (SessionHeader, StreamInfo, ImageHeader, GateCommand, TargetReference, TargetEstimate, Event)


@dataclass(slots=True)
class EngineHistory:
    """What a log holds of one engine, except frames and commands."""

    header: SessionHeader
    streams: list[StreamInfo] = field(default_factory=list)
    """Every stream of the log, once; first the one that this engine accepted."""
    accepted: StreamInfo | None = None
    references: list[TargetReference] = field(default_factory=list)
    images: dict[str, TargetImage] = field(default_factory=dict)
    """The images in which targets were drawn, by content hash; those of the whole log."""
    events: deque[Event] = field(default_factory=deque)
    estimates: dict[tuple[int, str], TargetEstimate] = field(default_factory=dict)
    undeclared: bool = False
    """Whether frames were held because their stream had not been declared; earlier versions took them all the same."""


def read_histories(path: Path) -> dict[str, EngineHistory]:
    """Read the history of every engine; a log has several if an engine was restarted."""
    histories: dict[str, EngineHistory] = {}
    streams: list[StreamInfo] = []
    newest: StreamInfo | None = None
    images: dict[str, TargetImage] = {}
    current: EngineHistory | None = None
    early: list[Message] = []
    for _, _, message in read_session(path, _HISTORY):
        if isinstance(message, SessionHeader):
            current = histories.setdefault(message.engine_id, EngineHistory(message))
            for earlier in early:
                _add(current, earlier)
            early.clear()
        elif isinstance(message, StreamInfo):
            newest = message
            if message not in streams:
                streams.append(message)
        elif isinstance(message, ReferenceImage):
            images[message.header.content_hash] = logged_image(message)
        elif isinstance(message, GateCommand):
            if message.reason == GateReason.UNDECLARED_STREAM and message.engine_id in histories:
                histories[message.engine_id].undeclared = True
        elif isinstance(message, TargetReference | TargetEstimate | Event):
            if current is None:
                early.append(message)
            else:
                _add(current, message, newest)
    for history in histories.values():
        first = history.accepted or next(iter(streams), None)
        history.streams, history.images = sorted(streams, key=lambda stream: stream != first), images
        history.events = deque(sorted(history.events, key=lambda event: event.at_ns))
    return histories


def _add(history: EngineHistory, message: Message, newest: StreamInfo | None = None) -> None:
    if isinstance(message, TargetReference):
        if message not in history.references:
            history.references.append(message)
    elif isinstance(message, TargetEstimate):
        history.estimates[message.frame_sequence, message.target] = message
    elif isinstance(message, Event) and message.role == "engine":
        history.events.append(message)
        if message.code == "stream_opened":
            history.accepted = newest


def frame_of(command: GateCommand, frames: deque[tuple[int, CineFrame]]) -> CineFrame | None:
    """Return the frame that caused a command: the one of its number that was logged nearest to the engine's receipt."""
    received_ns = command.stamps.received_ns
    while frames and frames[0][0] < received_ns - 5 * LOOK_AHEAD_NS:
        frames.popleft()
    candidates = [(abs(at - received_ns), frame) for at, frame in frames if _number(frame) == command.frame_sequence]
    return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _number(frame: CineFrame) -> int:
    return frame.header.sequence


def frames_and_commands(path: Path) -> Iterator[tuple[CineFrame | GateCommand, int]]:
    """Yield frames and commands with their log times; commands a second late, so that their frames precede them."""
    waiting: deque[tuple[int, GateCommand]] = deque()
    for _, log_time_ns, message in read_session(path, (FrameHeader, GateCommand)):
        if isinstance(message, CineFrame):
            yield message, log_time_ns
        elif isinstance(message, GateCommand):
            waiting.append((log_time_ns, message))
        while waiting and waiting[0][0] < log_time_ns - LOOK_AHEAD_NS:
            at_ns, command = waiting.popleft()
            yield command, at_ns
    for at_ns, command in waiting:
        yield command, at_ns
