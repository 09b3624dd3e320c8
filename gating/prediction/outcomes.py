"""Predictions until their time has come, and what was then measured."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from gating.prediction.simple import MAX_GAP_S, Position


class Outcome(NamedTuple):
    """A prediction, and the position that was measured when its time had come."""

    due_s: float
    predicted: Position
    stayed: Position
    """The newest position when the prediction was made: what persistence would have said."""
    truth: Position
    """Interpolated linearly between the two positions around `due_s`."""


class Outcomes:
    """Keeps predictions until they can be compared with a measured position. Pure; the caller vouches for its input."""

    def __init__(self) -> None:
        self._pending: deque[tuple[float, Position, Position]] = deque()
        self._newest: tuple[float, Position] | None = None

    @property
    def last_due_s(self) -> float | None:
        """Time for which the newest pending prediction was made; None if none is pending."""
        return self._pending[-1][0] if self._pending else None

    def expect(self, due_s: float, predicted: Position, stayed: Position) -> None:
        """Keep a prediction for `due_s`, which is later than those before."""
        self._pending.append((due_s, predicted, stayed))

    def observe(self, t_s: float, position: Position) -> list[Outcome] | None:
        """Take a later position, (axes,) mm; return what came of the predictions up to it, or None after a gap.

        After a gap longer than `MAX_GAP_S`, and before the first position, nothing is known of what lay between: the
        pending predictions are forgotten.
        """
        before, self._newest = self._newest, (t_s, position)
        if before is None or t_s - before[0] > MAX_GAP_S:
            self._pending.clear()
            return None
        came = []
        while self._pending and self._pending[0][0] <= t_s:
            due_s, predicted, stayed = self._pending.popleft()
            came.append(Outcome(due_s, predicted, stayed, _on_line(due_s, before, self._newest)))
        return came


def _on_line(when_s: float, start: tuple[float, Position], end: tuple[float, Position]) -> Position:
    return start[1] + (when_s - start[0]) / (end[0] - start[0]) * (end[1] - start[1])
