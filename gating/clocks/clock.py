"""The clocks of a process: that of the host, one that replays a log, and one that moves only when it is set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, Protocol

Stage = Literal["decoded", "tracked"]
"""A stage of the engine's step that has just ended."""


class Clock(Protocol):
    """Counts integer nanoseconds from an arbitrary start and never runs backward."""

    @property
    def name(self) -> str:
        """Identifies the clock: stamps of clocks with different names are never subtracted."""
        ...

    def now_ns(self) -> int:
        """Return the time now, ns."""
        ...


class StageClock(Clock, Protocol):
    """A clock that also stamps stages by name, so that a recorded clock can replay them."""

    def stage_ns(self, stage: Stage) -> int:
        """Return when a stage of the step ended, ns."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC of this host. All processes since the same boot share it, so its name contains the boot's id."""

    def __init__(self) -> None:
        self.name = f"monotonic:{_boot_id()}"

    def now_ns(self) -> int:
        """Return the time now, ns."""
        return time.monotonic_ns()

    def stage_ns(self, stage: Stage) -> int:
        """Return the time now, ns."""
        return time.monotonic_ns()


class RecordedClock:
    """Replays the times of one step that a log has recorded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._decided_ns = 0
        self._stages_ns: dict[Stage, int] = {}

    def set(self, *, decided_ns: int, decoded_ns: int = 0, tracked_ns: int = 0) -> None:
        """Set when the step was decided, which becomes the time now, and when its stages ended."""
        self._decided_ns = decided_ns
        self._stages_ns = {"decoded": decoded_ns, "tracked": tracked_ns}

    def now_ns(self) -> int:
        """Return when the step was decided, ns."""
        return self._decided_ns

    def stage_ns(self, stage: Stage) -> int:
        """Return when a stage of the step ended, ns."""
        return self._stages_ns[stage]


class ManualClock:
    """A clock that moves only when it is set."""

    def __init__(self, start_ns: int = 0, name: str = "manual") -> None:
        self.name = name
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time now, ns."""
        return self._now_ns

    def stage_ns(self, stage: Stage) -> int:
        """Return the time now, ns."""
        return self._now_ns

    def advance_ms(self, milliseconds: float) -> None:
        """Move forward by a time."""
        self._now_ns += round(milliseconds * 1e6)

    def advance_to(self, moment_ns: int) -> None:
        """Move forward to a time. One that has passed changes nothing."""
        self._now_ns = max(self._now_ns, moment_ns)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return "unknown"
