"""Clocks: the monotonic clock of this host, and a manual one for tests and offline use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Counts integer nanoseconds from an arbitrary start and never runs backward."""

    @property
    def name(self) -> str:
        """Identifies the clock: stamps of clocks with different names are never subtracted."""
        ...

    def now_ns(self) -> int:
        """Return the time now, ns."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC of this host. All processes since the same boot share it, so its name contains the boot's id."""

    def __init__(self) -> None:
        self.name = f"monotonic:{_boot_id()}"

    def now_ns(self) -> int:
        """Return the time now, ns."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when it is set."""

    def __init__(self, start_ns: int = 0, name: str = "manual") -> None:
        self.name = name
        self._now_ns = start_ns

    def now_ns(self) -> int:
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
