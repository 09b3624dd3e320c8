"""A watched predictor: persistence replaces it while that does better."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from gating.prediction.outcomes import Outcomes
from gating.prediction.simple import MAX_HORIZON_S, Position, Predictor

_JUDGED_EVERY_S: Final = 0.08


class Watched:
    """A predictor that is believed only while it does better than persistence.

    Every prediction is kept until its time has come, and is then compared with the measured position. While its squared
    error over the last `memory_s` is not below that of persistence, the newest position is returned instead; the
    predictor is believed again only once it is clearly better. No displacement exceeds the largest one measured over
    the horizon in that time, so that a jump is not extrapolated.

    Parameters
    ----------
    predictor : Predictor
    memory_s : float
        How far back predictions are compared.
    enough : int
        Least number of compared predictions for it to be believed.
    max_horizon_s : float
        Longest horizon; a longer one is cut to it.
    """

    def __init__(
        self,
        predictor: Predictor,
        memory_s: float = 20.0,
        enough: int = 10,
        max_horizon_s: float = MAX_HORIZON_S,
    ) -> None:
        self._predictor, self._memory_s, self._enough = predictor, memory_s, enough
        self.max_horizon_s = max_horizon_s
        self._outcomes = Outcomes()
        self._judged: deque[tuple[float, float, float, Position]] = deque()
        self._newest: tuple[float, Position] | None = None
        self.believed = False
        """False while persistence replaces the predictor."""

    def observe(self, t_s: float, position_mm: ArrayLike) -> None:
        """Take one position, and judge the predictions for the time up to it."""
        position = np.array(position_mm, np.float64)
        if not (np.isfinite(position).all() and (self._newest is None or t_s > self._newest[0])):
            return
        self._newest = (t_s, position)
        self._predictor.observe(t_s, position)
        came = self._outcomes.observe(t_s, position)
        if came is None:
            self._judged.clear()
            self.believed = False
            return
        for due_s, predicted, stayed, truth in came:
            ours, theirs = float(((predicted - truth) ** 2).sum()), float(((stayed - truth) ** 2).sum())
            self._judged.append((due_s, ours, theirs, np.abs(truth - stayed)))
        while self._judged and self._judged[0][0] < t_s - self._memory_s:
            self._judged.popleft()
        self._believe_or_not()

    def predict(self, horizon_s: float) -> Position:
        """Return the predicted position, or the newest one while the predictor is not believed."""
        if self._newest is None:
            return np.full(1, np.nan)
        t_s, here = self._newest
        horizon_s = min(max(horizon_s, 0.0), self.max_horizon_s)
        predicted = self._predictor.predict(horizon_s)
        if self._judged:
            furthest = np.max([moved for *_, moved in self._judged], axis=0)
            predicted = here + np.clip(predicted - here, -furthest, furthest)
        last_due_s = self._outcomes.last_due_s
        if horizon_s > 0 and not (last_due_s is not None and last_due_s > t_s + horizon_s - _JUDGED_EVERY_S):
            self._outcomes.expect(t_s + horizon_s, predicted, here)
        return predicted if self.believed and np.isfinite(predicted).all() else here

    def _believe_or_not(self) -> None:
        ours = sum(judged[1] for judged in self._judged)
        theirs = sum(judged[2] for judged in self._judged)
        self.believed = len(self._judged) >= self._enough and ours < (0.95 if self.believed else 0.85) * theirs
