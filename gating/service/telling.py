"""What the engine's process says on its console, and how it stands for an operator who asks.

Everything here comes after a command has been sent, and costs the loop a comparison unless there is something to say.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

from gating.decision.reasons import CONSEQUENCES, GateReason
from gating.messages import BeamStatus, EngineStatus, Event, GateCommand, Heartbeat, PeerStatus
from gating.service.presence import Presence
from gating.settings.config import EndpointSettings

SOURCE, BEAM, RECORDER = "source", "beam interface", "recorder"
MAX_FAULTS: Final = 8
ROUTINE: Final = frozenset({"template_accepted"})
"""Codes of events that come with every breath."""
LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "fault": logging.ERROR}

_log: Final = logging.getLogger("cinegate.engine")


class EngineTeller:
    """Tells each change of the gate, each event, and who came and went."""

    def __init__(self) -> None:
        self._presence = Presence(SOURCE, BEAM, RECORDER)
        self.heard_ns = self._presence.heard_ns
        """When each peer was last heard, ns on the engine's clock; the loop sets it for the source."""
        self._command: GateCommand | None = None
        self._beam: BeamStatus | None = None
        self._recorder_state = ""
        self._faults: deque[str] = deque(maxlen=MAX_FAULTS)

    def opened(self, session_id: str, endpoints: EndpointSettings) -> None:
        """Say where the engine publishes, and where it listens."""
        _log.info("session %s: commands go to %s, telemetry to %s", session_id, endpoints.gate, endpoints.telemetry)
        _log.info("hears frames at %s, the beam interface at %s, the recorder at %s",
                  endpoints.frames, endpoints.beam, endpoints.recorder)  # fmt: skip
        _log.info("warms up; the first start on a computer compiles for a minute or more")

    def serves(self, endpoint: str) -> None:
        """Say that the engine is warm, and where it answers operators."""
        _log.info("is warm, and answers operators at %s", endpoint)

    def sent(self, command: GateCommand) -> None:
        """Tell a command that changes the gate, its reason, or the engine's state."""
        before, self._command = self._command, command
        if before is None or _differs(command, before):
            self._tell_gate(logging.INFO, command)
        elif command.detail != before.detail:
            self._tell_gate(logging.DEBUG, command)

    def _tell_gate(self, level: int, command: GateCommand) -> None:
        if _log.isEnabledFor(level):
            words = command.detail or CONSEQUENCES[GateReason(command.reason)].words
            _log.log(level, "gate %s at frame %d: %s, %s (engine %s)", command.state, command.frame_sequence,
                     command.reason, words, command.engine_state)  # fmt: skip

    def tell(self, event: Event) -> None:
        """Tell an event of the engine, and remember it if it is a warning or a fault."""
        if event.severity != "info":
            self._faults.appendleft(event.text)
        level = logging.DEBUG if event.code in ROUTINE else LEVELS[event.severity]
        _log.log(level, "%s", event.text, extra={"code": event.code})

    def heard(self, report: BeamStatus | Heartbeat, now_ns: int) -> None:
        """Note a report of the beam interface or the recorder."""
        if isinstance(report, BeamStatus):
            self._beam, self.heard_ns[BEAM] = report, now_ns
        else:
            self._recorder_state, self.heard_ns[RECORDER] = report.state, now_ns

    def look_around(self, now_ns: int) -> None:
        """Tell who came and who fell silent."""
        for sentence in self._presence.changes(now_ns):
            _log.info("%s", sentence)

    def status(self, counters: Mapping[str, int], now_ns: int) -> EngineStatus | None:
        """Return how the session stands; None before the first command."""
        command, beam = self._command, self._beam
        if command is None:
            return None
        states = {RECORDER: self._recorder_state, BEAM: "" if beam is None else beam.reason}
        peers = [
            PeerStatus(
                peer=peer,
                heard_ms_ago=None if heard_ns is None else max(0, now_ns - heard_ns) / 1e6,
                state=states.get(peer, ""),
            )
            for peer, heard_ns in self.heard_ns.items()
        ]
        return EngineStatus(
            frame_sequence=command.frame_sequence,
            gate=command.state,
            reason=command.reason,
            detail=command.detail,
            source_kind=None if self.heard_ns[SOURCE] is None else command.source_kind,
            commanded=None if beam is None else beam.commanded,
            confirmed=None if beam is None else beam.confirmed,
            peers=peers,
            faults=list(self._faults),
            counters=dict(counters),
        )


def _differs(command: GateCommand, before: GateCommand) -> bool:
    return (
        command.state is not before.state
        or command.reason != before.reason
        or command.engine_state is not before.engine_state
    )
