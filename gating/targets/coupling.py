"""How a structure moves in one direction while it moves in another: learned, and judged by its own errors. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from gating.settings.three_d import ThreeDSettings

_LEARN_OVER_S: Final = 30.0
"""Time constant with which earlier sightings lose weight; some seven breaths."""
_RIDGE_MM2: Final = 1.0
"""Pull of the slope towards where it began: motion of less than 1 mm teaches nothing."""
_RIDGE_PREPARED_MM2: Final = 100.0
"""Pull towards what a preparation has taught."""
_MAX_ERRORS: Final = 4096


@dataclass(frozen=True, slots=True)
class Sighting:
    """A structure as one plane shows it: where it is along both directions, mm, and its speed along the first."""

    at_ns: int
    along_mm: float
    speed_mm_s: float
    across_mm: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a preparation has taught."""

    slope: float
    lag_s: float
    growth_mm_s: float


class Coupling:
    """The displacement across a plane, estimated from that along it since the last sighting of both.

    `across = constant + slope * along + lag_s * speed`, fitted by least squares whose weights fade; the speed tells the
    way in from the way out (hysteresis). Only differences to the last sighting are used, so that at age 0 the estimate
    is what was seen, and a drift of the baseline is followed. Each new sighting shows how wrong the estimate would have
    been at its age; the bound grows with age at the rate that covers `coverage` of these errors. The order statistic
    that it takes is that of conformal prediction (Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random
    World): its coverage holds for errors that may be exchanged with each other, which motion is not always.

    Source of the model: Low et al. 2005, doi:10.1016/j.ijrobp.2005.03.070, where a point of the lung moves in
    proportion to the tidal volume and to the airflow, its rate; here the displacement along stands for the volume.
    """

    def __init__(self, settings: ThreeDSettings, prepared: Prepared | None = None) -> None:
        self._settings = settings
        self.slope, self.lag_s = (prepared.slope, prepared.lag_s) if prepared else (0.0, 0.0)
        self._growth_prepared_mm_s = prepared.growth_mm_s if prepared else None
        self.growth_mm_s: float | None = self._growth_prepared_mm_s
        """Growth of the bound with age; None until enough errors are known."""
        self._ridge = np.diag([1e-9, *[_RIDGE_PREPARED_MM2 if prepared else _RIDGE_MM2] * 2])
        self._pull = self._ridge @ (0.0, self.slope, self.lag_s)
        self._squares, self._products = np.zeros((3, 3)), np.zeros(3)
        self._errors: deque[tuple[int, float]] = deque(maxlen=_MAX_ERRORS)
        """When, and how fast the error would have had to grow from that of a measurement, mm/s."""
        self.last: Sighting | None = None
        self._unlearned: list[Sighting] = []
        self._learned_ns: int | None = None

    @property
    def errors(self) -> int:
        """Number of errors from which the growth is known."""
        return len(self._errors)

    def estimate_mm(self, along_mm: float, speed_mm_s: float) -> float:
        """Return the displacement across, from that along and the last sighting; NaN before the first."""
        if self.last is None:
            return math.nan
        moved_mm, faster_mm_s = along_mm - self.last.along_mm, speed_mm_s - self.last.speed_mm_s
        return self.last.across_mm + self.slope * moved_mm + self.lag_s * faster_mm_s

    def bound_mm(self, at_ns: int) -> float:
        """Return the bound of the estimate at a time; it never shrinks with age, and is infinite until it is known."""
        if self.last is None or self.growth_mm_s is None or at_ns < self.last.at_ns:
            return math.inf  # time that runs backwards is that of another clock
        age_s = (at_ns - self.last.at_ns) / 1e9
        return self._settings.measured_mm + self.growth_mm_s * age_s

    def observe(self, seen: Sighting) -> None:
        """Take a sighting of both directions. It is learned by `learn`, once the frame's command has been sent."""
        if self.last is not None and seen.at_ns > self.last.at_ns:
            error_mm = abs(seen.across_mm - self.estimate_mm(seen.along_mm, seen.speed_mm_s))
            age_s = (seen.at_ns - self.last.at_ns) / 1e9
            self._errors.append((seen.at_ns, max(0.0, error_mm - self._settings.measured_mm) / age_s))
        self._unlearned.append(seen)
        self.last = seen

    def learn(self) -> None:
        """Fit the coupling and the growth of its bound to the sightings since the last call."""
        if not self._unlearned:
            return
        for seen in self._unlearned:
            self._learn(seen)
        self._unlearned.clear()
        _, self.slope, self.lag_s = np.linalg.solve(self._squares + self._ridge, self._products + self._pull).tolist()
        self.growth_mm_s = self._learned_growth_mm_s()

    def _learn(self, seen: Sighting) -> None:
        if self._learned_ns is not None:
            fade = math.exp(-max(0, seen.at_ns - self._learned_ns) / 1e9 / _LEARN_OVER_S)
            self._squares *= fade
            self._products *= fade
        self._learned_ns = seen.at_ns
        features = np.array((1.0, seen.along_mm, seen.speed_mm_s))
        self._squares += np.outer(features, features)
        self._products += features * seen.across_mm

    def _learned_growth_mm_s(self) -> float | None:
        newest_ns = self.last.at_ns if self.last is not None else 0
        while self._errors and newest_ns - self._errors[0][0] > self._settings.memory_s * 1e9:
            self._errors.popleft()
        count = len(self._errors)
        if count < self._settings.learn_frames:
            return self._growth_prepared_mm_s
        rank = min(count, math.ceil((count + 1) * self._settings.coverage))
        growths = np.fromiter((growth for _, growth in self._errors), float, count)
        return float(np.partition(growths, rank - 1)[rank - 1])
