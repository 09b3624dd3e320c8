"""Shortly before a frame is due, the step is gone through once more on the last one, so that it finds warm caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gating.clocks.clock import Clock
from gating.engine.engine import Engine
from gating.messages import CineFrame, FrameHeader
from gating.wire.codec import decode, encode

ROUNDS: Final = 2
"""In a row: after the second one a step takes a tenth less than after the first."""
MAX_SHARE, MAX_MARGIN_SHARE = 0.25, 0.1
"""Of a frame interval: warming that takes longer is left out; it ends no earlier than this before the next frame."""
LEAST_MARGIN_NS: Final = 500_000
"""A frame is on its way for this long: warming that runs meanwhile delays the threads that carry it."""
EARLIEST_KEPT: Final = 0.98
"""What each frame leaves of how early one has come: a margin that one frame needed, later ones need as well."""
FORGET: Final = 0.9
"""What each frame leaves of how long warming takes: one slow round does not end it for good."""
ALLOWED_LENGTH: Final = 1.25
"""The time set aside for it, over what it is expected to take."""
PHASE_GAIN, PACE_GAIN = 0.2, 0.02
"""How far an arrival moves the known phase and interval: single stamps are a ms or two off."""
LOST_SHARE: Final = 0.25
"""Of an interval: an arrival that is farther from its expected moment starts the estimate anew."""


class CacheWarmer:
    """Goes through the newest frame again, from its bytes to a packed command, without consequences.

    Parameters
    ----------
    engine : whose caches are warmed.
    clock : of this host.
    most_margin_ms : as of `WarmingPlan`.
    """

    def __init__(self, engine: Engine, clock: Clock, most_margin_ms: float) -> None:
        self._engine, self._clock = engine, clock
        self._plan = WarmingPlan(most_margin_ms)
        self._newest: tuple[list[bytes], CineFrame] | None = None

    @property
    def due_ns(self) -> int | None:
        """When to warm the caches for the next frame; None where that is not to be done."""
        return self._plan.due_ns

    def expect(self, parts: list[bytes], frame: CineFrame, received_ns: int) -> None:
        """Plan for the frame after this one, whose bytes came at `received_ns`."""
        self._newest = parts, frame
        self._plan.expect(frame.header, received_ns, self._engine.frame_interval_ns)

    def warm(self, is_waiting: Callable[[], bool]) -> None:
        """Go through the newest frame, unless the next one waits already."""
        if self._newest is None:
            return
        began_ns = self._clock.now_ns()
        parts, frame = self._newest
        done = 0
        while done < ROUNDS and not is_waiting():
            decode(parts)
            encode(self._engine.warm_caches(frame))
            done += 1
        if done:
            self._plan.took((self._clock.now_ns() - began_ns) * ROUNDS // done)

    def is_due(self, now_ns: int) -> bool:
        """Whether to warm the caches now; said once for each frame."""
        return self._plan.is_due(now_ns)


class WarmingPlan:
    """When to warm the caches for each frame of a stream with a pace of its own: as late as the frames' scatter allows.

    Parameters
    ----------
    most_margin_ms : it has ended no longer than this before the next frame is due; 0: never.
    """

    def __init__(self, most_margin_ms: float) -> None:
        self._most_margin_ns = round(most_margin_ms * 1e6)
        self._length_ns = self._early_ns = 0.0
        self._declared_ns, self._interval_ns, self._expected_ns = 0, 0.0, 0.0
        self.due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        """Whether the time for it has come; said once for each frame."""
        if self.due_ns is None or now_ns < self.due_ns:
            return False
        self.due_ns = None
        return True

    def expect(self, header: FrameHeader, received_ns: int, interval_ns: int) -> None:
        """Plan for the frame after the one of `header`, which came at `received_ns`."""
        self.due_ns = None
        if not (header.pacing.is_timed and self._most_margin_ns > 0 and interval_ns > 0):
            return
        self._learn_pace(received_ns, interval_ns)
        self._length_ns *= FORGET
        if self._length_ns < MAX_SHARE * interval_ns:
            margin_ns = min(self._most_margin_ns, MAX_MARGIN_SHARE * interval_ns, LEAST_MARGIN_NS + self._early_ns)
            self.due_ns = round(self._expected_ns - margin_ns - ALLOWED_LENGTH * self._length_ns)

    def _learn_pace(self, received_ns: int, declared_ns: int) -> None:
        """Learn from an arrival when the next one is expected: an alpha-beta filter of phase and interval.

        Source: E. Brookner, "Tracking and Kalman Filtering Made Easy", 1998, chapter 1 (there: g-h filter).
        """
        error_ns = received_ns - self._expected_ns
        if declared_ns != self._declared_ns or abs(error_ns) > LOST_SHARE * declared_ns:
            self._declared_ns = declared_ns
            self._interval_ns, self._expected_ns = float(declared_ns), float(received_ns)
        else:
            self._early_ns = max(-error_ns, EARLIEST_KEPT * self._early_ns)
            self._expected_ns += PHASE_GAIN * error_ns
            self._interval_ns += PACE_GAIN * error_ns
        self._expected_ns += self._interval_ns

    def took(self, took_ns: int) -> None:
        """Learn how long it took; what is longer than the time before counts for half, for it may be a stall."""
        self._length_ns = min(took_ns, (self._length_ns + took_ns) / 2.0) if self._length_ns else float(took_ns)
