"""The engine's life: whether it is armed, and what has latched it. Pure."""

from __future__ import annotations

from gating.decision.arming import ArmingEvent, transition
from gating.decision.reasons import HoldReason
from gating.messages import EngineState


class Lifecycle:
    """Goes through the transitions of `gating.decision.arming`, and keeps the first reason that latched."""

    def __init__(self) -> None:
        self.state = EngineState.STARTING
        self.latched_by: HoldReason | None = None

    def apply(self, event: ArmingEvent) -> str | None:
        """Go through a transition; return why that is not possible, or None."""
        before = self.state
        outcome = transition(before, event)
        self.state = outcome.state
        return None if outcome.accepted else f"not possible while {before}"

    def latch(self, reason: HoldReason) -> bool:
        """Latch; return False if something has latched already."""
        if self.latched_by is not None:
            return False
        self.latched_by = reason
        self.apply(ArmingEvent.HARD_FAULT)
        return True

    def acknowledge(self) -> str | None:
        """Let go of what has latched; return why that is not possible, or None."""
        refused = self.apply(ArmingEvent.ACKNOWLEDGE)
        if refused is None:
            self.latched_by = None
        return refused
