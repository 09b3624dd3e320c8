"""The line of a beam switch: driven to what is permitted, and compared with its read-back."""

from __future__ import annotations

from drivers.ports import BeamSwitch
from gating.clocks.clock import Clock
from gating.messages import GateState


class Line:
    """A switch, the state that it was driven to, and the state that it confirms.

    Attributes
    ----------
    confirmed
        State of the newest read-back.
    applied_ns
        When the switch was last driven.
    """

    def __init__(self, switch: BeamSwitch) -> None:
        self._switch = switch
        self._driven: GateState | None = None
        self._settled_by_ns = 0
        self.confirmed = GateState.HOLD
        self.applied_ns = 0

    def settling(self) -> bool:
        """Whether the line has not yet confirmed the state that it was driven to."""
        return self._driven is not None and self._driven is not self.confirmed

    def drive(self, state: GateState, clock: Clock) -> None:
        """Drive the line to a new state. If the switch raises, the level is unknown, and the next call drives again."""
        if state is self._driven:
            return
        self._driven = None
        self._switch.set_beam(state)
        self._driven = state
        self.applied_ns = clock.now_ns()
        self._settled_by_ns = self.applied_ns + round(self._switch.settle_ms * 1e6)

    def compare(self, now_ns: int) -> str:
        """Read the line back; return a sentence if it has disagreed for longer than it may, else an empty one."""
        self.confirmed = self._switch.read_back()
        if self._driven is None or self.confirmed is self._driven or now_ns < self._settled_by_ns:
            return ""
        return (
            f"line was driven to {self._driven} and reads back {self.confirmed} after {self._switch.settle_ms:.0f} ms"
        )
