"""Unwraps the counter of a foreign clock, such as ticks since midnight."""

from __future__ import annotations

from typing import Final

DAY_NS: Final = 86_400 * 10**9
HOUR_NS: Final = 3_600 * 10**9


class CounterUnwrapper:
    """Turns a counter that wraps into nanoseconds that do not.

    The arrival tells how often the counter wrapped, so pauses may be longer than a wrap. Small steps backward remain
    steps backward; it is up to the caller to refuse them.

    Parameters
    ----------
    modulus
        Count at which the counter wraps: 34 560 000 for ticks of 2.5 ms since midnight, 2**16, 2**32.
    tick_ns
        Length of one count.
    wall_clock
        Whether the counter follows local time, and so jumps by an hour when daylight saving begins or ends. Such a jump
        is removed and counted.
    """

    def __init__(self, modulus: int, tick_ns: int, *, wall_clock: bool = False) -> None:
        self._modulus, self._tick_ns, self._wall_clock = modulus, tick_ns, wall_clock
        self._last: tuple[int, int] | None = None
        self._shift_ns = 0
        self.hour_changes = 0

    def unwrap(self, count: int, arrival_ns: int) -> int:
        """Return the count as nanoseconds since the counter's zero before the first one.

        Raises
        ------
        ValueError
            If the counter cannot show this count.
        """
        if not 0 <= count < self._modulus:
            raise ValueError(f"time stamp is {count} ticks; 0 to {self._modulus - 1} are possible")
        bare_ns = count * self._tick_ns
        if self._last is None:
            self._last = (bare_ns, arrival_ns)
            return bare_ns
        last_ns, last_arrival_ns = self._last
        expected_ns = last_ns + arrival_ns - last_arrival_ns
        stamp_ns = self._nearest(bare_ns + self._shift_ns, expected_ns)
        ahead_ns = stamp_ns - expected_ns
        if self._wall_clock and abs(abs(ahead_ns) - HOUR_NS) < HOUR_NS // 100:
            hour_ns = HOUR_NS if ahead_ns > 0 else -HOUR_NS
            self._shift_ns -= hour_ns
            self.hour_changes += 1
            stamp_ns -= hour_ns
        self._last = (stamp_ns, arrival_ns)
        return stamp_ns

    def _nearest(self, bare_ns: int, expected_ns: int) -> int:
        period_ns = self._modulus * self._tick_ns
        return bare_ns + (2 * (expected_ns - bare_ns) + period_ns) // (2 * period_ns) * period_ns
