"""Frames that wait a set time for those before them."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from drivers.formats.frame import PlaneGeometry, VendorFrame, checked_frame
from drivers.sources.live import Arrival
from drivers.sources.ordering import MAX_HELD, InOrder
from gating.clocks.clock import ManualClock
from gating.messages import StampMeaning

PLANE = PlaneGeometry.checked((1, 1), (0, 1, 0, 0, 0, -1), (0, 0, 0))
MS = 1_000_000


class Scripted:
    """Arrivals that are there at once."""

    name = "scripted"

    def __init__(self, *arrivals: Arrival) -> None:
        self.left = deque(arrivals)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait(self, timeout_ms: int) -> Arrival | None:
        return self.left.popleft() if self.left else None


def arrived(at_ms: int, *acquired_ms: int) -> Arrival:
    return Arrival(at_ms * MS, tuple(frame(one) for one in acquired_ms))


def frame(acquired_ms: int) -> VendorFrame:
    stamp: dict[str, Any] = {"acquired_ns": acquired_ms * MS, "clock": "c", "meaning": StampMeaning.START}
    return checked_frame(np.zeros((8, 8), np.uint8), PLANE, name=str(acquired_ms), **stamp)


def released(ordered: InOrder) -> list[tuple[int, int]]:
    """What goes out without waiting: acquisition and arrival of each frame, ms."""
    out = []
    while (arrival := ordered.wait(0)) is not None and arrival.frames:
        out.append((arrival.frames[0].acquired_ns // MS, arrival.arrived_ns // MS))
    return out


def test_a_frame_waits_its_time_and_goes_out_after_those_before_it() -> None:
    clock = ManualClock(1000 * MS)
    ordered = InOrder(Scripted(arrived(1000, 30), arrived(1000, 10)), 100, clock)
    assert released(ordered) == []
    clock.advance_to(1100 * MS)
    assert released(ordered) == [(10, 1000), (30, 1000)]


def test_arrivals_never_run_backwards_and_a_later_frame_waits_on() -> None:
    clock = ManualClock(1050 * MS)
    ordered = InOrder(Scripted(arrived(1000, 20), arrived(1050, 10), arrived(1050, 40)), 100, clock)
    assert released(ordered) == []
    clock.advance_to(1100 * MS)
    assert released(ordered) == [(10, 1050), (20, 1050)]
    clock.advance_to(1150 * MS)
    assert released(ordered) == [(40, 1050)]


def test_frames_of_one_arrival_are_told_apart() -> None:
    clock = ManualClock(1100 * MS)
    assert released(InOrder(Scripted(arrived(1000, 30, 10, 20)), 100, clock)) == [(10, 1000), (20, 1000), (30, 1000)]


def test_what_is_no_frame_does_not_wait() -> None:
    clock = ManualClock(1000 * MS)
    arrival = InOrder(Scripted(arrived(1000, 10), Arrival(1000 * MS, problem="bad")), 100, clock).wait(0)
    assert arrival is not None
    assert arrival.problem == "bad"


def test_the_number_of_frames_that_wait_is_bounded() -> None:
    clock = ManualClock(0)
    ordered = InOrder(Scripted(arrived(0, *range(MAX_HELD + 3))), 100, clock)
    assert released(ordered) == [(0, 0), (1, 0), (2, 0)]
