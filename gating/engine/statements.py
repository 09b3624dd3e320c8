"""What the engine says: every command, event and reply, signed with its session, its name and its clock. Pure."""

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


class Statements:
    """Makes the engine's messages.

    Parameters
    ----------
    session_id, engine_id : who speaks.
    clock : of the stamps.
    lease_ms : of each permission.
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
    ) -> GateCommand:
        """Return a decision as a gate command, stamped as sent now."""
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
        )

    def reply(self, state: EngineState, text: str, *, accepted: bool) -> ControlReply:
        """Return an answer to an operator."""
        return ControlReply(session_id=self.session_id, accepted=accepted, engine_state=state, text=text[:400])

    def event(self, severity: Severity, code: str, text: str) -> Event:
        """Return something worth the log."""
        return Event(
            session_id=self.session_id,
            role="engine",
            severity=severity,
            code=code,
            text=text[:400],
            at_ns=self._clock.now_ns(),
        )
