"""The mean of ridge and a kernel regression, for machines that follow; a gate cannot wait for the latter."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.prediction.regression import SHORTEST_LAG_S, Past, Regression, Ridge
from gating.prediction.simple import Position

_FITTED_EVERY_S: Final = 1.0
_LEAST_S: Final = 5.0
_LAGS: Final = 5.0
"""Lags for which `_LAG_WEIGHT` holds; where images come faster there are more lags, and each counts less."""
_LAG_WEIGHT: Final = 3.0


class Kernel(Regression):
    """Kernel ridge regression (Gaussian) of the displacement on the last second of motion, fitted anew every second.

    It knows that motion at the end of exhale differs from that in mid-breath, which a linear regression does not. The
    time of a fit grows with the cube of the rows: where images come faster, it takes those about `SHORTEST_LAG_S`
    apart, in which breathing is still resolved.

    Parameters
    ----------
    window_s, span_s : float
        How far back the fit looks, and how far back one row of regressors.
    penalty : float
        Penalty relative to the kernel's value at no distance, 1.
    width : float
        Of the kernel, relative to the standard deviation of the positions.

    Source: Saunders, Gammerman and Vovk 1998, Ridge regression learning algorithm in dual variables, ICML, section 3.
    """

    def __init__(self, window_s: float = 40.0, span_s: float = 1.0, penalty: float = 0.03, width: float = 3.0) -> None:
        super().__init__(Past(window_s, span_s))
        self._penalty, self._width = penalty, width
        self._fitted: tuple[float, float, int] | None = None

    def _displacement(self, horizon_s: float) -> Position | None:
        past = self._past
        now_s = float(past.t_s[past.end - 1])
        fitted = self._fitted
        if fitted is None or fitted[1:] != (horizon_s, past.epoch) or now_s - fitted[0] >= _FITTED_EVERY_S:
            self._fitted = (now_s, horizon_s, past.epoch) if self._fit(horizon_s) else None
        if self._fitted is None:
            return None
        displacement: Position = self._alike(self._scaled(past.end - 1, past.end))[0] @ self._weights
        return displacement

    def _fit(self, horizon_s: float) -> bool:
        """Fit; return False while too little is known, which ends later for longer horizons: fits do not coincide."""
        past, axes = self._past, self._past.position.shape[1]
        first, last = past.row_range(past.t_s[past.end - 1] - horizon_s)
        if last == first or past.t_s[last - 1] - past.t_s[first] < _LEAST_S:
            return False
        here = past.rows[first:last, :axes]
        self._mean, self._size = here.mean(axis=0), max(float(np.linalg.norm(here.std(axis=0))), 1e-6)
        apart_s = (past.t_s[last - 1] - past.t_s[first]) / (last - 1 - first)
        fitted = slice(None, None, max(1, round(SHORTEST_LAG_S / apart_s)))
        self._seen = self._scaled(first, last)[fitted]
        similarity = self._alike(self._seen)
        similarity[np.diag_indices_from(similarity)] += self._penalty
        self._weights = np.linalg.solve(similarity, past.moved(first, last, horizon_s)[fitted])
        return True

    def _scaled(self, first: int, last: int) -> NDArray[np.float64]:
        axes, scaled = self._past.position.shape[1], self._past.rows[first:last].copy()
        lags = scaled.shape[1] / axes - 1
        scaled[:, :axes] -= self._mean
        scaled[:, axes:] *= _LAG_WEIGHT * np.sqrt(min(1.0, _LAGS / lags))
        scaled /= self._size
        return scaled

    def _alike(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel between rows and those of the fit, (rows, fitted)."""
        squares = (rows**2).sum(axis=1)[:, None] + (self._seen**2).sum(axis=1) - 2.0 * rows @ self._seen.T
        alike: NDArray[np.float64] = np.exp(-np.maximum(squares, 0.0) / self._width**2)
        return alike


class Blend:
    """The mean of ridge and the kernel: the errors of two predictors that differ partly cancel.

    Source: Bates and Granger 1969, The combination of forecasts, doi:10.1057/jors.1969.103.
    """

    def __init__(self) -> None:
        self._both = Ridge(), Kernel()

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position."""
        for predictor in self._both:
            predictor.observe(t_s, position_mm)

    def predict(self, horizon_s: float) -> Position:
        """Return the mean of what the two predict."""
        linear, curved = (predictor.predict(horizon_s) for predictor in self._both)
        mean: Position = 0.5 * (linear + curved)
        return mean
