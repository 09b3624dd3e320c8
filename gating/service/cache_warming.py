"""Repeats the step on the last frame shortly before the next one is due, so that the next step finds warm caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gating.clocks.clock import Clock
from gating.engine.engine import Engine
from gating.messages import CineFrame, FrameHeader
from gating.wire.codec import decode, encode

ROUNDS: Final = 2
"""Repetitions: after two, a step takes a tenth less time than after one."""
MAX_SHARE, MAX_MARGIN_SHARE = 0.25, 0.1
"""Shares of a frame interval: the longest warming that is not skipped, and the largest margin after it."""
MIN_MARGIN_NS: Final = 500_000
"""Duration of a frame's transport. Warming at the same time would delay the threads that receive the frame."""
EARLIEST_KEPT: Final = 0.98
"""Decay per frame of the largest earliness: a margin that one frame needed will be needed again."""
FORGET: Final = 0.9
"""Decay per frame of the expected duration, so that one slow round does not stop warming for good."""
RESERVED_FACTOR: Final = 1.25
"""Time reserved for warming, as a multiple of its expected duration."""
PHASE_GAIN, PACE_GAIN = 0.2, 0.02
"""Gains of the filter for phase and interval: single stamps are off by a ms or two."""
LOST_SHARE: Final = 0.25
"""Share of an interval: an arrival that is off by more restarts the filter."""


class CacheWarmer:
    """Processes the newest frame again, from its bytes to a packed command, without any effect.

    Parameters
    ----------
    engine
        Engine whose caches are warmed.
    clock
        Clock of this host.
    max_margin_ms
        As for `WarmingPlan`.
    """

    def __init__(self, engine: Engine, clock: Clock, max_margin_ms: float) -> None:
        self._engine, self._clock = engine, clock
        self._plan = WarmingPlan(max_margin_ms)
        self._newest: tuple[list[bytes], CineFrame] | None = None

    @property
    def due_ns(self) -> int | None:
        """When to warm the caches for the next frame; None if they are not to be warmed."""
        return self._plan.due_ns

    def expect(self, parts: list[bytes], frame: CineFrame, received_ns: int) -> None:
        """Plan the warming for the frame after this one, which was received at `received_ns`."""
        self._newest = parts, frame
        self._plan.expect(frame.header, received_ns, self._engine.frame_interval_ns)

    def warm(self, is_waiting: Callable[[], bool]) -> None:
        """Process the newest frame again, unless the next one is already waiting."""
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
            self._plan.record_duration((self._clock.now_ns() - began_ns) * ROUNDS // done)

    def is_due(self, now_ns: int) -> bool:
        """Return whether to warm the caches now; True once per frame."""
        return self._plan.is_due(now_ns)


class WarmingPlan:
    """Schedules warming for each frame of a stream whose source sets the pace, as late as the frames' jitter allows.

    Parameters
    ----------
    max_margin_ms
        Longest time between the end of warming and the next frame; 0 turns warming off.
    """

    def __init__(self, max_margin_ms: float) -> None:
        self._max_margin_ns = round(max_margin_ms * 1e6)
        self._duration_ns = self._early_ns = 0.0
        self._declared_ns, self._interval_ns, self._expected_ns = 0, 0.0, 0.0
        self.due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether warming is due; True once per frame."""
        if self.due_ns is None or now_ns < self.due_ns:
            return False
        self.due_ns = None
        return True

    def expect(self, header: FrameHeader, received_ns: int, interval_ns: int) -> None:
        """Plan the warming for the frame after that of `header`, which was received at `received_ns`."""
        self.due_ns = None
        if not (header.pacing.is_timed and self._max_margin_ns > 0 and interval_ns > 0):
            return
        self._learn_pace(received_ns, interval_ns)
        self._duration_ns *= FORGET
        if self._duration_ns < MAX_SHARE * interval_ns:
            margin_ns = min(self._max_margin_ns, MAX_MARGIN_SHARE * interval_ns, MIN_MARGIN_NS + self._early_ns)
            self.due_ns = round(self._expected_ns - margin_ns - RESERVED_FACTOR * self._duration_ns)

    def _learn_pace(self, received_ns: int, declared_ns: int) -> None:
        """Predict the next arrival from this one with an alpha-beta filter of phase and interval.

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

    def record_duration(self, duration_ns: int) -> None:
        """Update the expected duration; a longer one counts only half, as it may be a stall."""
        longer_ns = (self._duration_ns + duration_ns) / 2.0
        self._duration_ns = min(duration_ns, longer_ns) if self._duration_ns else float(duration_ns)
