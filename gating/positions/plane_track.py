"""One target in one plane: what was measured there, and where it will be, with the uncertainty of both axes. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gating.messages import Orientation
from gating.prediction import Predictor, Watched, make_predictor
from gating.prediction.calibrated import Calibrated, Prediction
from gating.settings.positions import PositionSettings

KNOT_S = 0.1
"""Spacing of the horizons that are predicted; between them, breathing is as good as straight."""
_FLOOR_MM2 = 0.05**2
"""No position is known better than to this variance: a tracker resolves some hundredths of a pixel."""

Axes = NDArray[np.float64]
"""(2, 3): the plane's two directions, LPS unit vectors."""


class InPlane(NamedTuple):
    """A prediction in a plane."""

    axes: Axes
    position_mm: NDArray[np.float64]
    """(2,), along the axes, from the patient's origin."""
    covariance_mm2: NDArray[np.float64]
    """(2, 2)"""


class PlaneTrack:
    """Positions in one plane, and predictions for every horizon that the consumer's latency can lead to.

    Parameters
    ----------
    orientation
        Of the plane's images.
    settings
        Latency of the consumer, method, and the longest horizon.
    """

    def __init__(self, orientation: Orientation, settings: PositionSettings) -> None:
        self.axes: Axes = np.reshape(np.asarray(orientation, np.float64), (2, 3))
        first_s, last_s = settings.consumer_latency_ms / 1e3, settings.max_horizon_ms / 1e3
        knots = [*np.arange(first_s, last_s, KNOT_S), last_s] if first_s < last_s else [last_s]
        self._knots_s = np.array([knot for knot in knots if knot > 0])
        self._method = settings.method
        self._begin()

    def _begin(self) -> None:
        self.acquired_ns, self._raw_ns = 0, -1
        """When its newest position was acquired, on the engine's clock and on the source's."""
        self._predictors = [Calibrated(_predictor(self._method, float(self._knots_s[-1]))) for _ in self._knots_s]
        self._newest: list[Prediction] = []
        self._here = np.full(2, np.nan)

    def observe(self, raw_ns: int, acquired_ns: int, position_mm: tuple[float, float, float]) -> None:
        """Take a position, acquired at `raw_ns` on the source's clock and at `acquired_ns` on the engine's.

        Time that runs backwards is that of another clock: predictors would ignore the position, and an old one would
        pass for it. All is learned anew then.
        """
        if raw_ns <= self._raw_ns:
            self._begin()
        self._raw_ns = raw_ns
        self._here = self.axes @ np.asarray(position_mm)
        for predictor in self._predictors:
            predictor.observe(raw_ns / 1e9, self._here)
        self._newest = [
            predictor.predict(float(knot)) for predictor, knot in zip(self._predictors, self._knots_s, strict=True)
        ]
        self.acquired_ns = acquired_ns

    def at(self, when_ns: int) -> InPlane | None:
        """Return where the target will be, between two predicted horizons.

        None before the first position, while too few predictions have been compared with what came, and beyond the
        longest horizon.
        """
        horizon_s = (when_ns - self.acquired_ns) / 1e9
        if not self._newest or not 0 <= horizon_s <= self._knots_s[-1]:
            return None
        covariances = [prediction.covariance_mm2 for prediction in self._newest]
        upper = int(np.searchsorted(self._knots_s, horizon_s))
        lower, end = max(upper - 1, 0), covariances[upper]
        start = covariances[lower]
        if start is None or end is None:
            return None
        before_s = self._knots_s[lower] if upper else 0.0
        before = self._newest[lower].position_mm if upper else self._here
        part = (horizon_s - before_s) / (self._knots_s[upper] - before_s)
        position = before + part * (self._newest[upper].position_mm - before)
        return InPlane(self.axes, position, start + part * (end - start) + _FLOOR_MM2 * np.eye(2))


def _predictor(method: str, max_horizon_s: float) -> Predictor:
    predictor = make_predictor(method)
    if isinstance(predictor, Watched):
        predictor.max_horizon_s = max_horizon_s
    return predictor
