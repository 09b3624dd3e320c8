"""The messages that a scene receives from its pipeline, and when."""

from __future__ import annotations

import time
from typing import Final

from gating.messages import BeamStatus, ControlReply, Event, GateCommand, GateState, Heartbeat
from gating.wire.codec import WireError, decode

RECENT_NS: Final = 150_000_000


class MessageLog:
    """Messages since the scene began or since `forget`. Times are on the host's monotonic clock, ns."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, GateCommand]] = []
        self.statuses: list[tuple[int, BeamStatus]] = []
        self.events: list[Event] = []
        self.recorder_beats: list[tuple[int, Heartbeat]] = []
        self.replies: list[ControlReply] = []

    def add(self, parts: list[bytes], at_ns: int) -> None:
        """Add a message; one that cannot be read is skipped."""
        try:
            message = decode(parts)
        except WireError:
            return
        match message:
            case GateCommand() as command:
                self.commands.append((at_ns, command))
            case BeamStatus() as status:
                self.statuses.append((at_ns, status))
            case Event() as event:
                self.events.append(event)
            case Heartbeat(role="recorder") as beat:
                self.recorder_beats.append((at_ns, beat))
            case ControlReply() as reply:
                self.replies.append(reply)
            case _:
                pass

    def forget(self) -> None:
        """Keep only the newest command, status and event."""
        self.commands, self.statuses, self.events = self.commands[-1:], self.statuses[-1:], self.events[-1:]

    @property
    def newest(self) -> GateCommand | None:
        """Newest gate command; None before the first."""
        return self.commands[-1][1] if self.commands else None

    def beam_is_on(self) -> bool:
        """Return whether the beam interface has just confirmed that the beam is on."""
        if not self.statuses:
            return False
        received_ns, status = self.statuses[-1]
        return status.confirmed is GateState.ON and time.monotonic_ns() - received_ns < RECENT_NS
