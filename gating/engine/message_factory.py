"""Builds the engine's commands, events and replies, each with its session, sender and time stamp. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from gating.clocks.clock import Clock
from gating.decision.decide import GateDecision
from gating.messages import (
    ControlReply,
    EngineState,
    Event,
    GateCommand,
    GateState,
    Pacing,
    Severity,
    SourceKind,
    StageStamps,
)


class MessageFactory:
    """Builds the engine's messages.

    Parameters
    ----------
    session_id, engine_id
        Identify the session and the engine in every message.
    clock
        Clock of the time stamps.
    lease_ms
        How long each beam-on command is valid.
    """

    def __init__(self, session_id: str, engine_id: str, clock: Clock, lease_ms: float) -> None:
        self.session_id, self._engine_id = session_id, engine_id
        self._clock, self._lease_ms = clock, lease_ms

    def command(
        self,
        decision: GateDecision,
        decided_ns: int,
        *,
        number: int,
        state: EngineState,
        frame_sequence: int,
        renewal: bool,
        source_kind: SourceKind,
        pacing: Pacing,
        stamps: StageStamps,
        interface_id: str = "",
    ) -> GateCommand:
        """Return a decision as a gate command whose time of sending is now."""
        return GateCommand(
            session_id=self.session_id,
            engine_id=self._engine_id,
            command_sequence=number,
            state=decision.state,
            reason=decision.reason,
            detail=decision.detail[:400],
            engine_state=state,
            frame_sequence=frame_sequence,
            renewal=renewal,
            lease_ms=self._lease_ms if decision.state is GateState.ON else 0.0,
            source_kind=source_kind,
            pacing=pacing,
            stamps=replace(stamps, decided_ns=decided_ns, sent_ns=self._clock.now_ns()),
            interface_id=interface_id,
        )

    def reply(self, state: EngineState, text: str, *, accepted: bool) -> ControlReply:
        """Return a reply to an operator."""
        return ControlReply(session_id=self.session_id, accepted=accepted, engine_state=state, text=text[:400])

    def event(self, severity: Severity, code: str, text: str) -> Event:
        """Return an event for the log."""
        return Event(
            session_id=self.session_id,
            role="engine",
            severity=severity,
            code=code,
            text=text[:400],
            at_ns=self._clock.now_ns(),
        )
