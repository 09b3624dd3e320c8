"""Predictors that learn the motion: ridge regression on a sliding window, and recursive least squares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.prediction.simple import MAX_GAP_S, MAX_HORIZON_S, Position

SHORTEST_LAG_S: Final = 0.1
_CAPACITY: Final = 4096


class Past:
    """Positions of the last seconds, and one row of regressors for each.

    A row holds the position relative to a fixed point, and the positions 1, 2, ... lags ago relative to this one. They
    are interpolated linearly at their true times, so that uneven sampling shifts nothing.
    """

    def __init__(self, seconds: float, span_s: float) -> None:
        self._seconds, self._span_s = seconds, span_s
        self.start = self.end = self.epoch = 0

    def append(self, t_s: float, position_mm: ArrayLike) -> bool:
        """Take a position; return False if it was ignored."""
        position = np.asarray(position_mm, np.float64)
        dt = t_s - self.t_s[self.end - 1] if self.end else np.inf
        if not (dt > 0 and np.isfinite(position).all()):
            return False
        if dt > MAX_GAP_S:
            self._begin(position)
        elif self.end == _CAPACITY:
            self._compact()
        self.t_s[self.end], self.position[self.end] = t_s, position
        self.end += 1
        self._fill_rows()
        return True

    def row_range(self, until_s: float) -> tuple[int, int]:
        """Return the first and one past the last sample with a full row that was taken at `until_s` or before."""
        oldest_s = self.t_s[self.end - 1] - self._seconds
        first = max(self.start, int(np.searchsorted(self.t_s[: self.end], oldest_s)))
        return first, max(first, int(np.searchsorted(self.t_s[: self.end], until_s, side="right")))

    def ahead(self, index: int, horizon_s: float) -> Position:
        """Return how far the target had moved `horizon_s` after a sample, (axes,) mm."""
        moved: Position = self._at(self.t_s[index : index + 1] + horizon_s)[0] - self.position[index]
        return moved

    def moved(self, first: int, last: int, horizon_s: float) -> NDArray[np.float64]:
        """Return how far the target had moved `horizon_s` after each of some samples, (samples, axes) mm."""
        moved: NDArray[np.float64] = self._at(self.t_s[first:last] + horizon_s) - self.position[first:last]
        return moved

    def _begin(self, position: Position) -> None:
        self.t_s = np.empty(_CAPACITY)
        self.position = np.empty((_CAPACITY, position.size))
        self.rows = np.empty((_CAPACITY, 0))
        self._origin = position
        self.start = self.end = 0
        self.epoch += 1

    def _compact(self) -> None:
        kept = min(self.end - int(np.searchsorted(self.t_s, self.t_s[-1] - self._seconds)), _CAPACITY // 2)
        for array in (self.t_s, self.position, self.rows):
            array[:kept] = array[self.end - kept : self.end].copy()
        self.start, self.end = max(0, self.start - self.end + kept), kept
        self.epoch += 1

    def _fill_rows(self) -> None:
        """Write the newest sample's row; the first time, choose the lags by the sampling and write all of them."""
        begin = self.end - 1
        if self.rows.shape[1] == 0:
            if self.t_s[begin] - self.t_s[0] < self._span_s or self.end < 6:
                return
            lag_s = max(SHORTEST_LAG_S, float(np.median(np.diff(self.t_s[: self.end]))))
            self._lags_s = lag_s * np.arange(1, max(2, round(self._span_s / lag_s)) + 1)
            self.rows = np.empty((_CAPACITY, (len(self._lags_s) + 1) * self.position.shape[1]))
            self.epoch += 1
            self.start = begin = int(np.searchsorted(self.t_s[: self.end], self.t_s[0] + self._lags_s[-1] - 1e-9))
        for index in range(begin, self.end):
            here = self.position[index]
            self.rows[index, here.size :] = (self._at(self.t_s[index] - self._lags_s) - here).ravel()
            self.rows[index, : here.size] = here - self._origin

    def _at(self, t_s: NDArray[np.float64]) -> Position:
        known_s, known = self.t_s[: self.end], self.position[: self.end]
        return np.stack([np.interp(t_s, known_s, axis) for axis in known.T], axis=1)


class Regression(ABC):
    """Adds a displacement, regressed on the past, to the newest position."""

    def __init__(self, past: Past) -> None:
        self._past = past

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position."""
        self._past.append(t_s, position_mm)

    def predict(self, horizon_s: float) -> Position:
        """Return the newest position plus the regressed displacement, which is 0 while too little is known."""
        past = self._past
        if past.end == 0:
            return np.full(1, np.nan)
        here: Position = past.position[past.end - 1]
        displacement = None if past.rows.shape[1] == 0 else self._displacement(horizon_s)
        return here if displacement is None else here + displacement

    @abstractmethod
    def _displacement(self, horizon_s: float) -> Position | None:
        """Return how far the target will have moved, (axes,) mm; None while too little is known."""


class Ridge(Regression):
    """Linear regression on the last second of motion, fitted anew to a sliding window at every prediction.

    The displacement over the horizon is fitted, so that the penalty pulls towards persistence. The result is divided by
    1 + leverage: it shrinks where the present is unlike the window.

    Parameters
    ----------
    window_s : float
        How far back the fit looks.
    span_s : float
        How far back one row of regressors looks.
    penalty : float
        Penalty relative to the mean square of the regressors.

    Source: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; linear regression did best at short horizons on
    cine MRI in Pohl et al. 2024, arXiv:2410.05882. Leverage: Hoaglin and Welsch 1978,
    doi:10.1080/00031305.1978.10479237.
    """

    def __init__(self, window_s: float = 40.0, span_s: float = 1.0, penalty: float = 0.01) -> None:
        super().__init__(Past(window_s, span_s))
        self._penalty = penalty
        self._moments = _Moments(self._past)

    def _displacement(self, horizon_s: float) -> Position | None:
        past, axes = self._past, self._past.position.shape[1]
        moments = self._moments.centred(horizon_s)
        regressors = past.rows.shape[1] + 1
        count = moments[0][regressors - 1, regressors - 1]
        if count < 12:
            return None
        gram = moments[0][:regressors, :regressors]
        mean_square = (gram.trace() - count) / (regressors - 1)
        gram[np.diag_indices_from(gram)] += (
            self._penalty * np.append(np.full(regressors - 1, mean_square), count) + 1e-9
        )
        now = np.append(past.rows[past.end - 1], 1.0)
        now[:axes] -= moments[1]
        solved = np.linalg.solve(gram, now)
        displacement: Position = solved @ moments[0][:regressors, regressors:]
        return displacement / (1.0 + float(solved @ now))


class _Moments:
    """Sums of products of regressors, 1 and displacements over the window, updated by adding and removing samples."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._horizon_s = np.nan
        self._first = self._last = 0
        self._epoch = -1

    def centred(self, horizon_s: float) -> tuple[NDArray[np.float64], Position]:
        """Return the sums, with the position regressors relative to their mean, and that mean."""
        past = self._past
        axes, regressors = past.position.shape[1], past.rows.shape[1]
        size = regressors + 1 + axes
        if horizon_s != self._horizon_s or past.epoch != self._epoch:
            self._horizon_s, self._epoch = horizon_s, past.epoch
            self._first = self._last = past.start
            self._sums = np.zeros((size, size))
            self._samples = np.empty((_CAPACITY, size))
        first, last = past.row_range(past.t_s[past.end - 1] - horizon_s)
        for index in range(self._last, last):
            moved = past.ahead(index, horizon_s)
            self._samples[index] = np.concatenate([past.rows[index], [1.0], moved])
            self._sums += np.outer(self._samples[index], self._samples[index])
        for index in range(self._first, min(first, last)):
            self._sums -= np.outer(self._samples[index], self._samples[index])
        self._first, self._last = min(first, last), last
        ones = self._sums[:, regressors]
        mean = np.zeros(size)
        mean[:axes] = ones[:axes] / max(ones[regressors], 1.0)
        sums = self._sums - np.outer(mean, ones) - np.outer(ones, mean) + ones[regressors] * np.outer(mean, mean)
        return sums, mean[:axes]


class RecursiveLeastSquares(Regression):
    """The same regression, updated with every sample and with exponential forgetting.

    Parameters
    ----------
    memory_s : float
        Time after which a sample counts 1/e.
    span_s : float
        How far back one row of regressors looks.

    Source: Haykin, Adaptive Filter Theory, 5th edition, chapter 10.
    """

    def __init__(self, memory_s: float = 25.0, span_s: float = 1.0) -> None:
        super().__init__(Past(2 * MAX_GAP_S + MAX_HORIZON_S, span_s))
        self._memory_s = memory_s
        self._forget()

    def _displacement(self, horizon_s: float) -> Position:
        past = self._past
        if horizon_s != self._horizon_s or self._inverse.shape[0] != past.rows.shape[1]:
            self._forget(horizon_s, past.rows.shape[1], past.position.shape[1])
        self._learn()
        now = past.rows[past.end - 1]
        leverage = float(now @ self._inverse @ now)
        displacement: Position = now @ self._weights
        return displacement / (1.0 + leverage)

    def _forget(self, horizon_s: float = np.nan, regressors: int = 0, axes: int = 0) -> None:
        self._horizon_s = horizon_s
        self._inverse = np.eye(regressors)
        self._weights = np.zeros((regressors, axes))
        self._learned_s = -np.inf

    def _learn(self) -> None:
        """Learn from every sample whose displacement over the horizon has become known since the last time."""
        past = self._past
        last = past.row_range(past.t_s[past.end - 1] - self._horizon_s)[1]
        first = max(past.start, int(np.searchsorted(past.t_s[: past.end], self._learned_s, side="right")))
        for index in range(first, last):
            row, moved = past.rows[index], past.ahead(index, self._horizon_s)
            kept = np.exp(-(past.t_s[index] - max(self._learned_s, past.t_s[index] - MAX_GAP_S)) / self._memory_s)
            spread = self._inverse @ row
            gain = spread / (kept + row @ spread)
            self._weights += np.outer(gain, moved - row @ self._weights)
            self._inverse = np.minimum(1.0 / kept, 10.0) * (self._inverse - np.outer(gain, spread))
            self._learned_s = past.t_s[index]
