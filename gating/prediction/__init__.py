"""Latency compensation: where the target will be when the beam answers. Pure, causal, on true sampling intervals.

Prediction can only withhold beam: `gating.targets.structure` requires both the measured and the predicted position to
be inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gating.prediction.blend import Blend
from gating.prediction.regression import RecursiveLeastSquares, Ridge
from gating.prediction.simple import MAX_GAP_S, MAX_HORIZON_S, Kalman, Persistence, Predictor
from gating.prediction.watched import Watched

__all__ = [
    "FOR_MACHINES",
    "MAX_GAP_S",
    "MAX_HORIZON_S",
    "PREDICTORS",
    "Blend",
    "Kalman",
    "Persistence",
    "Predictor",
    "RecursiveLeastSquares",
    "Ridge",
    "Watched",
    "make_predictor",
]

PREDICTORS: Final[dict[str, Callable[[], Predictor]]] = {
    "persistence": Persistence,
    "ridge": Ridge,
    "rls": RecursiveLeastSquares,
    "kalman": Kalman,
}
FOR_MACHINES: Final[dict[str, Callable[[], Predictor]]] = PREDICTORS | {"blend": Blend}
"""Those, and one that takes some milliseconds now and then, which a gate cannot wait for."""


def make_predictor(name: str) -> Predictor:
    """Return a new predictor, watched unless it is persistence.

    Raises
    ------
    ValueError
        If the name is not in `FOR_MACHINES`.
    """
    if name not in FOR_MACHINES:
        raise ValueError(f"predictor is {name!r}; one of {', '.join(FOR_MACHINES)} is needed")
    predictor = FOR_MACHINES[name]()
    return predictor if name == "persistence" else Watched(predictor)
