"""The predictor protocol, and the two predictors that learn nothing: persistence and constant velocity."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Position = NDArray[np.float64]

MAX_HORIZON_S: Final = 0.5
"""AAPM TG-76 section VI names 500 ms as the longest delay of a beam that follows the target; nothing is predicted
further ahead."""
MAX_GAP_S: Final = 1.0
"""After a longer gap the past says too little about the phase of breathing: predictors start anew."""


class Predictor(Protocol):
    """Predicts where a target will be from where it was."""

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position, (axes,) mm, acquired at `t_s`; it is ignored if it is not finite or not later."""
        ...

    def predict(self, horizon_s: float) -> Position:
        """Return the position `horizon_s` after the newest one, (axes,) mm; NaN before the first."""
        ...


class Persistence:
    """The target stays where it was last seen, as a system without prediction assumes."""

    def __init__(self) -> None:
        self._t_s = -np.inf
        self._position: Position = np.full(1, np.nan)

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position."""
        position = np.array(position_mm, np.float64)
        if t_s > self._t_s and np.isfinite(position).all():
            self._t_s, self._position = t_s, position

    def predict(self, horizon_s: float) -> Position:
        """Return the newest position."""
        return self._position


class Kalman:
    """Constant velocity with white acceleration, one filter for all axes.

    Parameters
    ----------
    acceleration_density_mm2_s3 : float
        Spectral density of the acceleration.
    noise_mm : float
        Standard deviation of one measured position.

    Source: Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
    section 6.3.2.
    """

    def __init__(self, acceleration_density_mm2_s3: float = 200.0, noise_mm: float = 0.3) -> None:
        self._density = acceleration_density_mm2_s3
        self._variance = noise_mm**2
        self._t_s = -np.inf
        self._state: NDArray[np.float64] = np.full((2, 1), np.nan)
        self._covariance = np.zeros((2, 2))

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position."""
        position = np.asarray(position_mm, np.float64)
        dt = t_s - self._t_s
        if not (dt > 0 and np.isfinite(position).all()):
            return
        self._t_s = t_s
        if dt > MAX_GAP_S:
            self._state = np.stack([position, np.zeros_like(position)])
            self._covariance = np.diag([self._variance, 100.0])
            return
        step = np.array([[1.0, dt], [0.0, 1.0]])
        noise = self._density * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        ahead = step @ self._state
        covariance = step @ self._covariance @ step.T + noise
        gain = covariance[:, 0] / (covariance[0, 0] + self._variance)
        self._state = ahead + np.outer(gain, position - ahead[0])
        self._covariance = covariance - np.outer(gain, covariance[0])

    def predict(self, horizon_s: float) -> Position:
        """Return the position extrapolated with the present velocity."""
        ahead: Position = self._state[0] + self._state[1] * horizon_s
        return ahead
