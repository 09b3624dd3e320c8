"""Clocks: the engine's own, a manual one for tests, and the offset to a clock that is not ours."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Integer nanoseconds from an arbitrary start, never backward."""

    @property
    def name(self) -> str:
        """Which clock this is; stamps of clocks with different names are never subtracted."""
        ...

    def now_ns(self) -> int:
        """Return the time now, ns."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC of this host. Processes of one boot share it, so its name carries the boot's identity."""

    def __init__(self) -> None:
        self.name = f"monotonic:{_boot_id()}"

    def now_ns(self) -> int:
        """Return the time now, ns."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start_ns: int = 0, name: str = "manual") -> None:
        self.name = name
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time now, ns."""
        return self._now_ns

    def advance_ms(self, milliseconds: float) -> None:
        """Move forward."""
        self._now_ns += round(milliseconds * 1e6)

    def advance_to(self, moment_ns: int) -> None:
        """Move forward to a moment; one that has passed changes nothing."""
        self._now_ns = max(self._now_ns, moment_ns)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return "unknown"
