"""Frames put in order of acquisition, for peers that send them in another order."""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import replace
from itertools import count
from typing import Final

from drivers.formats.frame import VendorFrame
from drivers.sources.live import Arrival, Arrivals
from gating.clocks.clock import Clock

MAX_HELD: Final = 512
"""Frames that wait for earlier ones; beyond it the earliest goes."""


class InOrder:
    """`Arrivals` whose frames wait a set time for earlier ones.

    Parameters
    ----------
    arrivals
        Where frames come from.
    within_ms
        How long a frame waits; each is older by so much when it is published.
    clock
        The host's monotonic clock, which also dates `arrivals`.
    """

    def __init__(self, arrivals: Arrivals, within_ms: float, clock: Clock) -> None:
        self.name = arrivals.name
        self._arrivals, self._within_ns, self._clock = arrivals, round(within_ms * 1e6), clock
        self._reset()

    def _reset(self) -> None:
        self._held: list[tuple[int, int, VendorFrame, Arrival]] = []
        """A heap by acquisition."""
        self._arrived: deque[tuple[int, int]] = deque()
        """When each frame arrived and its acquisition, in order of arrival."""
        self._count, self._newest_ns, self._released_ns = count(), 0, 0

    def open(self) -> None:
        """Start. Raises `Unavailable`."""
        self._reset()
        self._arrivals.open()

    def close(self) -> None:
        """Stop."""
        self._arrivals.close()

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the next frame in order, or what is told of it; None on time-out. Raises `SourceFault`."""
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while (due := self._due()) is None:
            left_ms = max(0, until_ns - time.monotonic_ns()) // 1_000_000
            arrival = self._arrivals.wait(int(min(left_ms, self._next_due_ms())))
            if arrival is not None and not arrival.frames:
                return arrival
            if arrival is not None:
                self._hold(arrival)
            elif time.monotonic_ns() >= until_ns:
                return self._due()
        return due

    def _hold(self, arrival: Arrival) -> None:
        for frame in arrival.frames:
            heapq.heappush(self._held, (frame.acquired_ns, next(self._count), frame, arrival))
            self._arrived.append((arrival.arrived_ns, frame.acquired_ns))

    def _next_due_ms(self) -> float:
        if not self._arrived:
            return float("inf")
        return max(0.0, (self._arrived[0][0] + self._within_ns - self._clock.now_ns()) / 1e6) + 1

    def _due(self) -> Arrival | None:
        """Return the earliest frame held if it, or one after it, has waited long enough."""
        now_ns = self._clock.now_ns()
        while self._arrived and now_ns - self._arrived[0][0] >= self._within_ns:
            self._newest_ns = max(self._newest_ns, self._arrived.popleft()[1])
        if not self._held or (self._held[0][0] > self._newest_ns and len(self._held) <= MAX_HELD):
            return None
        _, _, frame, arrival = heapq.heappop(self._held)
        self._released_ns = max(self._released_ns, arrival.arrived_ns)
        return replace(arrival, arrived_ns=self._released_ns, frames=(frame,))
