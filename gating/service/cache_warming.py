"""When to go through the step on the last frame: shortly before the next one is due, so that it finds warm caches."""

from __future__ import annotations

from typing import Final

from gating.messages import FrameHeader

MAX_SHARE, MAX_MARGIN_SHARE = 0.25, 0.1
"""Of a frame interval: a longer rehearsal is left out; between its end and the next frame stays no more than this."""
LEAST_MARGIN_NS: Final = 500_000
"""A frame is on its way for so long: a rehearsal that runs meanwhile delays what carries it."""
EARLIEST_KEPT: Final = 0.98
"""What is left with every frame of how early one has come: a margin that one frame needed, later ones need as well."""
FORGET: Final = 0.9
"""What is left of the length of a rehearsal with every frame: one slow rehearsal does not end them for good."""
ALLOWED_LENGTH: Final = 1.25
"""Of what it is expected to take: the time set aside for one."""
PHASE_GAIN, PACE_GAIN = 0.2, 0.02
"""How far an arrival moves what is known of the phase and of the interval: single stamps are a ms or two off."""
LOST_SHARE: Final = 0.25
"""Of an interval: farther from where it was expected, an arrival starts the estimate anew."""


class RehearsalPlan:
    """One rehearsal for every frame of a stream that has a pace of its own, as late as the frames' scatter allows.

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
        self._follow(received_ns, interval_ns)
        self._length_ns *= FORGET
        if self._length_ns < MAX_SHARE * interval_ns:
            margin_ns = min(self._most_margin_ns, MAX_MARGIN_SHARE * interval_ns, LEAST_MARGIN_NS + self._early_ns)
            self.due_ns = round(self._expected_ns - margin_ns - ALLOWED_LENGTH * self._length_ns)

    def _follow(self, received_ns: int, declared_ns: int) -> None:
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
        """Learn how long one took; what is longer than the one before counts for half, for it may be a stall."""
        self._length_ns = min(took_ns, (self._length_ns + took_ns) / 2.0) if self._length_ns else float(took_ns)
