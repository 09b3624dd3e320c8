"""Maps a foreign clock to ours: estimates the offset between the two, with its uncertainty.

A one-way stream offers only pairs of a stamp on the foreign clock and an arrival on ours. Their difference is the
offset plus the delay of that frame, and no delay is shorter than the smallest one of the path. So the smallest
difference is close to the offset plus the smallest delay (the minimum-delay filter: RFC 5905 section 10; Moon, Skelly,
Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999). **The smallest delay
itself cannot be seen from one side.** It has to be measured once at the site and given as `known_delay_ns` with its
uncertainty. Without that measurement, the uncertainty is beyond every limit and the engine refuses to arm.

**A delay that grows looks like drift.** So the offset stays on or below the lower envelope of the whole session: at
time t it is at most the smallest d_i + B (t - t_i) over all pairs i, with difference d and B the largest drift that is
believed (`ClockSettings.max_drift_ppm`). Whatever lies above is delay; it is added to the uncertainty and never to the
offset. If the clocks drift by r and the delay grows by g, the offset errs by (B - r) t at most, and the uncertainty
grows by (g + r - B) t: it is the greater of the two wherever g >= 2 (B - r), for any drift |r| <= B wherever g >= 4 B.
A fall of the differences is believed at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from gating.settings.config import ClockSettings

UNKNOWN_NS: Final = 10_000_000_000
"""The uncertainty of a stamp that cannot be mapped to our clock; beyond any limit."""

MAX_DRIFT: Final = 200e-6
"""Of two quartz clocks; free-running PC clocks stay within 100 ppm each."""
DRIFT_WANDER: Final = 1e-6
"""Change of a quartz clock's rate within minutes, with temperature."""
WINDOW_NS: Final = 20 * 10**9
WINDOW_SAMPLES: Final = 256
MIN_SAMPLES: Final = 12
DRIFT_SPAN_NS: Final = 60 * 10**9
BLOCK_NS: Final = 5 * 10**9
BLOCKS: Final = 60
RAISED_RUN: Final = 3
STEP_MARGIN_NS: Final = 2_000_000
STEP_NS: Final = 8_000_000
"""A smaller step of a clock backward counts as delay: it adds to the uncertainty, which is safe."""
MISS_PROBABILITY: Final = 0.002
DELAY_SHAPE: Final = 2.0
"""Near the smallest delay, the distribution function of delays grows at most like (delay - smallest) to this power.
This holds for uniform, exponential and other falling densities (power 1), and for the sum of two of them (power 2)."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A time of the foreign clock on ours, with its uncertainty."""

    host_ns: int
    uncertainty_ns: int


@dataclass(frozen=True, slots=True)
class _Sample:
    raw_ns: int
    arrival_ns: int
    difference_ns: int
    """Arrival minus stamp, relative to that of the first pair."""


class OffsetEstimator:
    """Estimates the offset and drift of a foreign clock continuously, with the uncertainty of the offset.

    The true offset lies within the stated uncertainty in at least 99 % of cases if the smallest delay of the path is
    within `known_delay_uncertainty_ns` of `known_delay_ns`, the clocks drift by less than 200 ppm, and delays are
    distributed as `DELAY_SHAPE` says. The lower bound follows from the spacing of the order statistics of the
    differences (Robson and Whitlock, Biometrika 51, 1964; Cooke, Biometrika 66, 1979).

    Parameters
    ----------
    max_drift
        Largest relative drift between the two clocks that is believed.
    known_delay_ns, known_delay_uncertainty_ns
        Smallest delay from the moment that a stamp marks to its arrival here, and its uncertainty, both measured at the
        site; a one-way stream cannot show them.
    """

    def __init__(
        self,
        known_delay_ns: int = 0,
        known_delay_uncertainty_ns: int = UNKNOWN_NS,
        *,
        max_drift: float = ClockSettings().max_drift_ppm * 1e-6,
    ) -> None:
        self._believed_drift = max_drift + DRIFT_WANDER
        self._known_delay_ns, self._known_delay_uncertainty_ns = known_delay_ns, known_delay_uncertainty_ns
        self._resolution_ns = 0
        self.steps = 0
        self.drift = 0.0
        self._drift_uncertainty = MAX_DRIFT
        self._base_ns = 0
        self._last: _Sample | None = None
        self._lowest: _Sample | None = None
        """Pair that the lower envelope of the session begins at."""
        self._restart()

    def observe(self, raw_ns: int, arrival_ns: int, resolution_ns: int = 0) -> Mapping:
        """Take one pair and return its stamp on our clock.

        Parameters
        ----------
        raw_ns, arrival_ns
            Stamp on the foreign clock, and arrival on ours.
        resolution_ns
            Smallest step between stamps of the foreign clock.
        """
        self._resolution_ns = resolution_ns
        if self._last is None:
            self._base_ns = arrival_ns - raw_ns
        sample = _Sample(raw_ns, arrival_ns, arrival_ns - raw_ns - self._base_ns)
        self._classify(sample)
        if self._lowest is None or sample.difference_ns < self._envelope_ns(raw_ns):
            self._lowest = sample
        self._last = sample
        return self.map(raw_ns)

    def map(self, raw_ns: int) -> Mapping:
        """Return a foreign stamp on our clock. Its uncertainty is `UNKNOWN_NS` while too little is known."""
        host_ns = raw_ns + self._base_ns - self._known_delay_ns
        if len(self._calm) < MIN_SAMPLES:
            newest = self._last.difference_ns if self._last is not None else 0
            return Mapping(host_ns + newest, UNKNOWN_NS)
        low_ns, high_ns = self._interval(raw_ns)
        if len(self._raised) >= RAISED_RUN:
            high_ns = max(high_ns, min(sample.difference_ns for sample in self._raised))
        fixed_ns = self._known_delay_uncertainty_ns + self._resolution_ns
        offset_ns = min((low_ns + high_ns) / 2, self._envelope_ns(raw_ns))
        reach_ns = max(high_ns - offset_ns, offset_ns - low_ns)
        return Mapping(host_ns + round(offset_ns), min(UNKNOWN_NS, round(reach_ns) + fixed_ns))

    def _envelope_ns(self, at_ns: int) -> float:
        """Return the lower envelope of the session at a time of the foreign clock, relative to the base."""
        assert self._lowest is not None
        return self._lowest.difference_ns + self._believed_drift * (at_ns - self._lowest.raw_ns)

    def forget(self) -> None:
        """Begin anew: the next pair is of another clock."""
        self._last = None
        self._restart()

    def _restart(self) -> None:
        self._calm: deque[_Sample] = deque(maxlen=WINDOW_SAMPLES)
        self._raised: deque[_Sample] = deque(maxlen=WINDOW_SAMPLES)
        self._minima: deque[_Sample] = deque(maxlen=BLOCKS)
        self._lowest = None
        self._jumped = False
        self._block_ns = -(2**63)
        self.drift, self._drift_uncertainty = 0.0, MAX_DRIFT

    def _classify(self, sample: _Sample) -> None:
        """Add a pair to the calm ones, which tell the offset, or to the raised ones, which may not.

        Raised differences mean either a slower path or a foreign clock that stepped back. The first raised pair tells
        which: either the arrivals or the stamps left their rhythm. It may be a late arrival just before a step: a later
        pair whose stamp left the rhythm by more than the difference is raised is a step, and the first that shows it.
        """
        if len(self._calm) < MIN_SAMPLES:
            self._calm.append(sample)
            return
        low_ns, _ = self._interval(sample.raw_ns)
        if sample.difference_ns < low_ns - STEP_MARGIN_NS - self._resolution_ns and self._stamps_jumped(sample):
            self._step([sample])
        elif (raised_ns := self._raised_by_ns(sample)) > 0:
            if not self._raised:
                self._jumped = self._stamps_jumped(sample)
            elif not self._jumped and self._stamps_jumped(sample, raised_ns):
                self._jumped = True
                self._raised.clear()
            self._raised.append(sample)
            if self._jumped and len(self._raised) >= RAISED_RUN:
                self._step(self._raised)
        else:
            self._calm.extend(self._raised)
            self._raised.clear()
            self._calm.append(sample)
            while sample.arrival_ns - self._calm[0].arrival_ns > WINDOW_NS and len(self._calm) > MIN_SAMPLES:
                self._calm.popleft()
            self._update_drift(sample)

    def _step(self, samples: list[_Sample] | deque[_Sample]) -> None:
        known = list(samples)
        self._restart()
        self._calm.extend(known)
        self._lowest = min(known, key=lambda sample: sample.difference_ns)
        self.steps += 1

    def _stamps_jumped(self, sample: _Sample, at_least_ns: float = 0) -> bool:
        assert self._last is not None
        interval_ns = float(np.median(np.diff([known.arrival_ns for known in self._calm])))
        stamp_step_ns = sample.raw_ns - self._last.raw_ns - interval_ns
        arrival_step_ns = sample.arrival_ns - self._last.arrival_ns - interval_ns
        return abs(stamp_step_ns) > max(abs(arrival_step_ns) + STEP_NS, at_least_ns)

    def _raised_by_ns(self, sample: _Sample) -> float:
        """Return how far a difference lies above all that the calm pairs explain."""
        at_ns, allowed_ns = sample.raw_ns, STEP_MARGIN_NS + self._resolution_ns
        highest_ns = max(known.difference_ns + self.drift * (at_ns - known.raw_ns) for known in self._calm)
        return sample.difference_ns - highest_ns - allowed_ns

    def _interval(self, at_ns: int) -> tuple[float, float]:
        """Return the bounds of offset + smallest delay at a time of the foreign clock, relative to the base."""
        ages_ns = np.array([at_ns - sample.raw_ns for sample in self._calm], np.float64)
        differences_ns = np.array([sample.difference_ns for sample in self._calm], np.float64) + self.drift * ages_ns
        wander_ns = self._drift_uncertainty * float(np.abs(ages_ns).max())
        differences_ns.sort()
        rank = len(differences_ns) // 2
        least_ns, spread_ns = differences_ns[0], differences_ns[rank - 1] - differences_ns[0] + 2 * wander_ns
        return float(least_ns - _gap_factor(rank) * spread_ns - wander_ns), float(least_ns + wander_ns)

    def _update_drift(self, sample: _Sample) -> None:
        """Keep the smallest difference of every few seconds, and take the slope from the oldest third to the newest."""
        if sample.raw_ns - self._block_ns <= BLOCK_NS:
            return
        self._block_ns = sample.raw_ns
        recent = [known for known in self._calm if sample.raw_ns - known.raw_ns <= BLOCK_NS]
        self._minima.append(min(recent, key=self._detrended))
        minima = list(self._minima)
        if minima[-1].raw_ns - minima[0].raw_ns < DRIFT_SPAN_NS:
            return
        third = len(minima) // 3
        first, last = min(minima[:third], key=self._detrended), min(minima[-third:], key=self._detrended)
        span_ns = last.raw_ns - first.raw_ns
        low_ns, high_ns = self._interval(sample.raw_ns)
        self.drift = float(np.clip((last.difference_ns - first.difference_ns) / span_ns, -MAX_DRIFT, MAX_DRIFT))
        self._drift_uncertainty = min(MAX_DRIFT, DRIFT_WANDER + 2 * (high_ns - low_ns) / span_ns)

    def _detrended(self, sample: _Sample) -> float:
        assert self._last is not None
        return sample.difference_ns - self.drift * (sample.raw_ns - self._last.raw_ns)


def offset_of_source(settings: ClockSettings) -> OffsetEstimator:
    """Return the estimator from the clock of a source to the clock of the process that receives its frames."""
    return OffsetEstimator(
        round(settings.source_delay_ms * 1e6),
        round(settings.source_delay_uncertainty_ms * 1e6),
        max_drift=settings.max_drift_ppm * 1e-6,
    )


def offset_of_network(settings: ClockSettings) -> OffsetEstimator:
    """Return the estimator from the clock of another host to the clock of the engine."""
    return OffsetEstimator(
        round(settings.network_delay_ms * 1e6),
        round(settings.network_delay_uncertainty_ms * 1e6),
        max_drift=settings.max_drift_ppm * 1e-6,
    )


def _gap_factor(rank: int) -> float:
    """Return how far the floor lies below the smallest of a sample, relative to its spread up to the `rank`-th.

    For a distribution F(x) ~ (x - floor)**a near the floor, ((x_1 - floor) / (x_k - floor))**a follows Beta(1, k - 1),
    whose quantile has a closed form.
    """
    ratio: float = (1 - MISS_PROBABILITY ** (1 / (rank - 1))) ** (1 / DELAY_SHAPE)
    return ratio / (1 - ratio)
