"""A predictor whose uncertainty is measured: its intervals hold the stated share of what comes."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.prediction.between import NEEDED, Between, position_between
from gating.prediction.simple import MAX_GAP_S, Position, Predictor

COVERAGE: Final = 0.9
NORMAL_HALF_WIDTH: Final = 1.6449
"""Half-width of a 90 % interval of the normal distribution, in standard deviations."""
_ENOUGH: Final = 10
_STEP: Final = 0.03
_WIDEN: Final = 1.5
"""An interval that has held too little although it reached the largest miss goes beyond it by this factor."""


class Prediction(NamedTuple):
    """A predicted position with its uncertainty."""

    position_mm: Position
    """(axes,)"""
    covariance_mm2: NDArray[np.float64] | None
    """(axes, axes): on each axis, `NORMAL_HALF_WIDTH` standard deviations hold 90 % of what comes. None while too
    few predictions have been compared."""


class _Pending(NamedTuple):
    """A prediction whose time has not come."""

    made_s: float
    due_s: float
    predicted: Position
    half_widths: Position | None


class Calibrated:
    """Measures how far a predictor is off, per axis, at the one horizon for which it is asked.

    The half-width of an interval is a quantile of the misses of the last `memory_s`. Which quantile follows from how
    often the intervals have held so far: it rises with each miss and falls otherwise, so that 90 % hold in the long
    run however the motion changes. Of n misses the one of rank 0.9 (n + 1) is taken, as what comes next is larger than
    the k-th smallest with probability 1 - k / (n + 1). Correlations of the axes are those of the same misses.

    Parameters
    ----------
    predictor : Predictor
    memory_s : float
        How far back misses count.

    Source: Gibbs and Candès 2021, Adaptive conformal inference under distribution shift, arXiv:2106.00170, eq. 2; the
    rank: Vovk, Gammerman and Shafer 2005, Algorithmic learning in a random world, doi:10.1007/b106715, chapter 2.
    """

    def __init__(self, predictor: Predictor, memory_s: float = 40.0) -> None:
        self._predictor, self._memory_s = predictor, memory_s
        self._pending: deque[_Pending] = deque()
        self._recent: deque[tuple[float, Position]] = deque(maxlen=NEEDED)
        self._due_s: Position = np.zeros(0)
        self._misses: NDArray[np.float64] = np.zeros((0, 0))
        """(predictions, axes), mm, and when each was due."""
        self._level: Position = np.zeros(0)

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position; it is ignored if it is not finite or not later."""
        position = np.array(position_mm, np.float64)
        if not (np.isfinite(position).all() and (not self._recent or t_s > self._recent[-1][0])):
            return
        if not self._level.size:
            self._level, self._misses = np.full(position.size, COVERAGE), np.zeros((0, position.size))
        if self._recent and t_s - self._recent[-1][0] > MAX_GAP_S:  # nothing is known of what lay between
            self._recent.clear()
            self._pending.clear()
        self._recent.append((t_s, position))
        self._predictor.observe(t_s, position)
        while len(self._recent) == NEEDED and self._pending and self._pending[0].due_s <= self._recent[-2][0]:
            one = self._pending.popleft()
            self._judge(one, position_between(one.due_s, one.made_s, self._recent))
        old = int(np.searchsorted(self._due_s, t_s - self._memory_s))
        self._due_s, self._misses = self._due_s[old:], self._misses[old:]

    def predict(self, horizon_s: float) -> Prediction:
        """Return the position `horizon_s` after the newest one, and its covariance; NaN before the first."""
        predicted = self._predictor.predict(horizon_s)
        if not self._recent:
            return Prediction(predicted, None)
        half_widths = self._half_widths()
        made_s = self._recent[-1][0]
        if horizon_s > 0 and not (self._pending and made_s + horizon_s <= self._pending[-1].due_s):
            self._pending.append(_Pending(made_s, made_s + horizon_s, predicted, half_widths))
        return Prediction(predicted, None if half_widths is None else self._covariance(half_widths))

    def _judge(self, one: _Pending, came: Between) -> None:
        miss = came.position - one.predicted
        miss = np.copysign(np.hypot(miss, came.beside), miss)  # as independent errors add up
        if one.half_widths is not None:
            self._level += _STEP * ((np.abs(miss) > one.half_widths) - (1.0 - COVERAGE))
        self._due_s, self._misses = np.append(self._due_s, one.due_s), np.vstack([self._misses, miss])

    def _half_widths(self) -> Position | None:
        if len(self._misses) < _ENOUGH:
            return None
        last = len(self._misses) - 1
        place = np.clip(np.clip(self._level, 0.0, 1.0) * (last + 2) - 1.0, 0.0, last)
        sizes, below = np.sort(np.abs(self._misses), axis=0), place.astype(int)
        axes = np.arange(len(place))
        lower, upper = sizes[below, axes], sizes[np.minimum(below + 1, last), axes]
        half_widths: Position = lower + (place - below) * (upper - lower)
        return np.where(self._level > 1.0, _WIDEN, 1.0) * half_widths

    def _covariance(self, half_widths: Position) -> NDArray[np.float64]:
        moments = self._misses.T @ self._misses
        sizes = np.sqrt(moments.diagonal())
        correlation = moments / np.maximum(np.outer(sizes, sizes), np.finfo(float).tiny)
        np.fill_diagonal(correlation, 1.0)
        deviations = half_widths / NORMAL_HALF_WIDTH
        covariance: NDArray[np.float64] = correlation * np.outer(deviations, deviations)
        return covariance
