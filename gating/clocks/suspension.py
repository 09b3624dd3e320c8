"""How long this host has been suspended, which its monotonic clock does not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
"""Counts while the host is suspended; None: this system has no such clock, and a suspension is not seen."""


def suspended_ns() -> int:
    """Return for how long the host has been suspended since it was booted, ns; never more than is true.

    A pause between the two readings makes it less (`clock_gettime(2)`: CLOCK_BOOTTIME is CLOCK_MONOTONIC, and any time
    that the system is suspended).
    """
    return 0 if BOOT_CLOCK is None else time.clock_gettime_ns(BOOT_CLOCK) - time.monotonic_ns()


SHORTEST_NS: Final = 5_000_000
"""Shorter ones are what two readings differ by; no host suspends and wakes within it."""


class SuspensionWatch:
    """Tells when the host was suspended since it was asked last.

    Parameters
    ----------
    suspended
        `suspended_ns`, or another count of the same.
    """

    def __init__(self, suspended: Callable[[], int] = suspended_ns) -> None:
        self._suspended = suspended
        self._known_ns = max(suspended() for _ in range(3))

    def new_ns(self) -> int:
        """Return the time asleep since the last call, ns; 0 for none."""
        new_ns = self._suspended() - self._known_ns
        if new_ns < SHORTEST_NS:
            return 0
        self._known_ns += new_ns
        return new_ns
