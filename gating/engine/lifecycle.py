"""The engine's state: whether it is armed, and what has latched it. Pure."""

from __future__ import annotations

from gating.decision.arming import ArmingEvent, transition
from gating.decision.reasons import HoldReason
from gating.messages import EngineState


class Lifecycle:
    """Makes the transitions of `gating.decision.arming`, and keeps the first reason that latched."""

    def __init__(self) -> None:
        self.state = EngineState.STARTING
        self.latched_by: HoldReason | None = None
        self.is_warm = False

    def apply(self, event: ArmingEvent) -> str | None:
        """Make a transition; return why it is not possible, or None."""
        self.is_warm |= event is ArmingEvent.WARMED_UP
        before = self.state
        outcome = transition(before, event)
        self.state = outcome.state
        return None if outcome.accepted else f"not possible while {before}"

    def latch(self, reason: HoldReason) -> bool:
        """Latch; return False if the engine has latched already."""
        if self.latched_by is not None:
            return False
        self.latched_by = reason
        self.apply(ArmingEvent.HARD_FAULT)
        return True

    def acknowledge(self) -> str | None:
        """Clear the reason that latched; return why that is not possible, or None."""
        refused = self.apply(ArmingEvent.ACKNOWLEDGE)
        if refused is None:
            self.latched_by = None
        return refused
