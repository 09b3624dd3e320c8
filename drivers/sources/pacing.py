"""When a simulated or recorded frame is due. Deadlines are absolute on the host's clock, so delays never add up."""

from __future__ import annotations

import time
from typing import Final

from drivers.errors import Unavailable
from gating.clocks.clock import Clock
from gating.messages import Pacing

SPIN_NS: Final = 150_000
"""Busy waiting before a deadline: a sleeping process wakes 60 us late on an idle host."""
MISSED_NS: Final = 2_000_000
"""A frame later than this counts as a missed deadline."""


class Pacer:
    """Deadlines of a stream: its own stamps divided by `speed`, counted from the first frame.

    Frames of `STEPPED` and `UNPACED` streams are always due; the engine's answers set their pace.

    Raises
    ------
    Unavailable
        If the speed is not a positive number, or is not 1 in real time.
    """

    def __init__(self, pacing: Pacing, speed: float, clock: Clock) -> None:
        if not 0 < speed <= 1e6:
            raise Unavailable(f"speed is {speed}; above 0 up to 1000000 is needed")
        if pacing is not Pacing.SCALED and speed != 1:
            raise Unavailable(f"speed is {speed} with pacing {pacing}; only scaled pacing takes a speed other than 1")
        self.paced = pacing.is_timed
        self.speed = speed if self.paced else 0.0
        self.missed = 0
        self.latest_ns = 0
        self._clock = clock
        self._origin_ns: int | None = None

    @property
    def counters(self) -> dict[str, int]:
        """Number of missed deadlines, and longest delay so far, us."""
        return {"deadlines_missed": self.missed, "latest_us": self.latest_ns // 1000}

    def wait(self, since_first_ns: int, timeout_ms: int) -> int | None:
        """Wait until a frame is due and return that host time; None if the time-out comes first.

        Parameters
        ----------
        since_first_ns
            Stamp of the frame minus that of the first frame, on the stream's own clock.
        timeout_ms
            Longest wait.
        """
        now_ns = self._clock.now_ns()
        if not self.paced:
            return now_ns
        if self._origin_ns is None:
            self._origin_ns = now_ns
        due_ns = self._origin_ns + round(since_first_ns / self.speed)
        until_ns = now_ns + timeout_ms * 1_000_000
        if due_ns > until_ns:
            _sleep_until(until_ns, self._clock)
            return None
        late_ns = _sleep_until(due_ns, self._clock) - due_ns
        self.latest_ns = max(self.latest_ns, late_ns)
        self.missed += late_ns > MISSED_NS
        return due_ns


def _sleep_until(due_ns: int, clock: Clock) -> int:
    """Wait until `due_ns`; return the time afterwards."""
    while (left_ns := due_ns - clock.now_ns()) > SPIN_NS:
        time.sleep((left_ns - SPIN_NS) / 1e9)
    while (now_ns := clock.now_ns()) < due_ns:
        pass
    return now_ns
