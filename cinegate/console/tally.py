"""What the gate and the beam came to since the console attached: times, holds and software latency. Pure."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gating.latency.stages import LatencySummary, beam_ms, stage_ms, summarise
from gating.messages import BeamStatus, GateCommand, GateState, Pacing

LATENCY_NS: Final = 30_000_000_000
"""Latencies of the newest 30 s count."""
MAX_STEP_NS: Final = 1_000_000_000
"""A longer silence between two reports of the beam interface counts as no beam: it was not seen."""
MAX_PUBLISHED: Final = 512


Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values of the newest 30 s; none that is older is kept."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, Value]] = deque()

    def add(self, value: Value, now_ns: int) -> None:
        """Add a value that came at a time of the monotonic clock."""
        self._values.append((now_ns, value))
        self._forget(now_ns)

    def values(self, now_ns: int | None = None) -> list[Value]:
        """Return those of the newest 30 s: at this time, or else when the newest came."""
        if now_ns is not None:
            self._forget(now_ns)
        return [value for _, value in self._values]

    def _forget(self, now_ns: int) -> None:
        while self._values and self._values[0][0] < now_ns - LATENCY_NS:
            self._values.popleft()


class HoldTally(Struct, frozen=True):
    """How often and for how long one reason held the beam."""

    reason: str
    times: int
    seconds: float


class Tally:
    """Counts from the first decided frame that the console heard of."""

    def __init__(self) -> None:
        self.watched_ns = 0
        self.beam_on_ns = 0
        self._holds: Counter[str] = Counter()
        self._held_ns: Counter[str] = Counter()
        self._command: tuple[GateCommand, int] | None = None
        self._beam: BeamStatus | None = None
        self._published_ns: dict[int, int] = {}
        self._engine_ms: Recent[float] = Recent()
        self._loop_ms: Recent[float] = Recent()

    def observe_command(self, command: GateCommand, now_ns: int) -> None:
        """Count a command of the engine."""
        if command.frame_sequence < 0:
            return
        before, self._command = self._command, (command, now_ns)
        if before is not None:
            earlier, earlier_ns = before
            self.watched_ns += now_ns - earlier_ns
            if earlier.state is GateState.HOLD:
                self._held_ns[earlier.reason] += now_ns - earlier_ns
        if command.state is GateState.HOLD and (before is None or before[0].reason != command.reason):
            self._holds[command.reason] += 1
        if not command.renewal and command.pacing is Pacing.REAL_TIME:
            self._published_ns[command.frame_sequence] = command.stamps.published_ns
            if len(self._published_ns) > MAX_PUBLISHED:
                self._published_ns.pop(next(iter(self._published_ns)))
            if (took_ms := stage_ms(command.stamps).get("engine")) is not None:
                self._engine_ms.add(took_ms, now_ns)

    def observe_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Count a report of the beam interface, by its own clock."""
        before, self._beam = self._beam, status
        if before is not None and before.interface_id == status.interface_id and before.confirmed is GateState.ON:
            step_ns = status.sent_ns - before.sent_ns
            self.beam_on_ns += step_ns if 0 < step_ns <= MAX_STEP_NS else 0
        published_ns = 0 if status.renewal else self._published_ns.pop(status.frame_sequence, 0)
        if (loop_ms := beam_ms(status, published_ns).get("loop")) is not None and loop_ms >= 0:
            self._loop_ms.add(loop_ms, now_ns)

    @property
    def duty_cycle(self) -> float | None:
        """Confirmed beam-on time over the time watched; None before the first frame."""
        return self.beam_on_ns / self.watched_ns if self.watched_ns else None

    def holds(self) -> list[HoldTally]:
        """Return the holds by reason, the longest first."""
        return [HoldTally(reason, self._holds[reason], ns / 1e9) for reason, ns in self._held_ns.most_common()]

    def engine_latency(self) -> LatencySummary:
        """Return the engine's share: frame received to command handed to the socket."""
        return summarise(self._engine_ms.values())

    def loop_latency(self) -> LatencySummary:
        """Return frame published to command received by the beam interface."""
        return summarise(self._loop_ms.values())
