"""The best placement on a score map, and the best one apart from it, with a cost that grows with the distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SURE_SCORE = 0.9
"""From this score on, a distance has its nominal cost."""
LEAST_SCORE = 0.2


@njit("float64(float64)", cache=True, nogil=True)
def doubt(score: Any) -> Any:
    """Return the cost of a distance at a score, relative to that at `SURE_SCORE`; 1 or more.

    The lower two scores are, the less their difference means: the log-likelihood of n pixels that correlate with r is
    -n/2 log(1 - r^2) (Gaussian noise of unknown size), and its slope in r is proportional to r / (1 - r^2). The
    distance means the same at every score, so its cost grows as that slope falls. `doubt.py_func` takes a whole map.
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
    """Find the best placement, and the best one farther than `apart_px` from it.

    No cost is negative, so a score below the best preference cannot win, and most distances are never computed.

    Parameters
    ----------
    scores : (n, m) float32, any layout, finite
    row, column : expected placement on the map
    step_px : step of the map on the full grid
    free_px : distance that costs nothing
    cost_per_px : cost of every further px; more at low scores, see `doubt`

    Returns
    -------
    Row, column and preference of both; the second row is -1 if the map has no place apart.
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
