"""Stamps of a day, continued across midnight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from drivers.errors import BadFrame
from drivers.formats.dicom_time import DAY_NS, LOCAL, TIME_OF_DAY
from drivers.formats.frame import VendorFrame
from gating.clocks.clock import Clock
from gating.clocks.counter import CounterUnwrapper

_TICK_NS: Final = 1000


class DayUnwrapper:
    """Continue local stamps across midnight and across changes of daylight saving; leave stamps in UTC as they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counter = CounterUnwrapper(DAY_NS // _TICK_NS, _TICK_NS, wall_clock=True)
        self._first_day_ns: int | None = None

    def unwrap(self, frames: Sequence[VendorFrame]) -> list[VendorFrame]:
        """Return the frames with stamps that go on. Raises `BadFrame`."""
        now_ns = self._clock.now_ns()
        return [self._unwrapped(frame, now_ns) for frame in frames]

    def _unwrapped(self, frame: VendorFrame, now_ns: int) -> VendorFrame:
        if frame.clock not in (LOCAL, TIME_OF_DAY):
            return frame
        day_ns, since_midnight_ns = divmod(frame.acquired_ns, DAY_NS)
        if self._first_day_ns is None:
            self._first_day_ns = day_ns * DAY_NS
        unwrapped_ns = self._first_day_ns + self._counter.unwrap(since_midnight_ns // _TICK_NS, now_ns)
        if not unwrapped_ns >= 0:
            raise BadFrame(f"the stamp of frame {frame.name} lies {-unwrapped_ns / 1e9:g} s before the first day")
        return replace(frame, acquired_ns=unwrapped_ns)
