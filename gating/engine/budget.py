"""Checks each decision against its latency budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gating.decision.reasons import GateReason, HoldReason
from gating.latency.budgets import DecisionBudget
from gating.messages import StageStamps


@dataclass(slots=True)
class DecisionWatch:
    """Compares each decision with its budget, and remembers which recent ones exceeded it."""

    budget: DecisionBudget
    _over: deque[int] = field(default_factory=deque)
    """Numbers of the decisions within the window that took too long."""
    _decisions: int = 0

    def observe(self, frame_sequence: int, stamps: StageStamps) -> HoldReason | None:
        """Return a fault if a decision took longer than the budget.

        Parameters
        ----------
        frame_sequence
            Sequence number of the frame that was decided on, for the text of the fault.
        stamps
            Time stamps of the decision; those from received to tracked are used.
        """
        self._decisions += 1
        took_ms = (stamps.tracked_ns - stamps.received_ns) / 1e6
        if took_ms <= self.budget.max_ms:
            return None
        self._over.append(self._decisions)
        while self._over[0] <= self._decisions - self.budget.window:
            self._over.popleft()
        decode_ms = (stamps.decoded_ns - stamps.received_ns) / 1e6
        slowest_ms, slowest = max((decode_ms, "decode"), (took_ms - decode_ms, "track"))
        text = (
            f"frame {frame_sequence} took {took_ms:.1f} ms ({slowest} {slowest_ms:.1f} ms), "
            f"the budget is {self.budget.max_ms:g} ms"
        )
        if len(self._over) >= self.budget.repeated:
            repeated = f"{len(self._over)} of the last {self.budget.window} decisions were over budget: {text}"
            return HoldReason(GateReason.OVER_BUDGET_REPEATEDLY, repeated)
        return HoldReason(GateReason.OVER_BUDGET, text)

    def forget(self) -> None:
        """Start the count again after an operator's acknowledgement."""
        self._over.clear()
