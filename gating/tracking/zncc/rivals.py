"""The best placement on a score map, and the best one apart from it, when far places cost more than near ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SURE_SCORE = 0.9
"""From here on a distance costs what it is said to cost."""
LEAST_SCORE = 0.2


@njit("float64(float64)", cache=True, nogil=True)
def doubt(score: Any) -> Any:
    """How many times as much a distance costs at a score as at `SURE_SCORE`, 1 or more.

    A difference of two scores says the less the lower they are: the log-likelihood of n pixels that correlate with r
    is -n/2 log(1 - r^2) (Gaussian noise of unknown size), whose slope in r is proportional to r / (1 - r^2). What is
    known of the distance keeps its weight against that. `doubt.py_func` takes a whole map of scores.
    """
    r = np.maximum(score, LEAST_SCORE)
    return np.maximum((1.0 / r - r) / (1.0 / SURE_SCORE - SURE_SCORE), 1.0)


_SIGNATURE = (
    "Tuple((int64, int64, float64, int64, int64, float64))"
    "(float32[:, :], float64, float64, float64, float64, float64, float64)"
)


@njit(_SIGNATURE, cache=True, nogil=True)
def best_two(
    scores: NDArray[np.float32],
    row: float,
    column: float,
    step_px: float,
    free_px: float,
    cost_per_px: float,
    apart_px: float,
) -> tuple[int, int, float, int, int, float]:
    """Return row, column and preference of the best placement, and of the best one farther than `apart_px` from it.

    scores : (n, m) float32, any layout, finite.
    row, column : expected placement, in the map's own coordinates; a distance beyond `free_px` costs `cost_per_px`,
    and more at low scores, see `doubt`.
    step_px : size of a step of the map on the full grid, px.
    The second row is -1 where the map has no place apart. No cost is negative, so a score below the best preference
    cannot win, and most distances are never computed.
    """
    best = -np.inf
    best_row = 0
    best_column = 0
    for r in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            score = np.float64(scores[r, c])
            if score > best:
                distance = step_px * np.sqrt((r - row) ** 2 + (c - column) ** 2)
                preference = score - cost_per_px * max(distance - free_px, 0.0) * doubt(score)
                if preference > best:
                    best, best_row, best_column = preference, r, c
    rival = -np.inf
    rival_row = -1
    rival_column = -1
    apart_squared = (apart_px / step_px) ** 2
    for r in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            score = np.float64(scores[r, c])
            if score > rival and (r - best_row) ** 2 + (c - best_column) ** 2 > apart_squared:
                distance = step_px * np.sqrt((r - row) ** 2 + (c - column) ** 2)
                preference = score - cost_per_px * max(distance - free_px, 0.0) * doubt(score)
                if preference > rival:
                    rival, rival_row, rival_column = preference, r, c
    return best_row, best_column, best, rival_row, rival_column, rival
