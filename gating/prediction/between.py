"""What was measured between two positions, as far as it can be known: nothing was recorded there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gating.prediction.simple import Position

NEEDED: Final = 5
"""Positions that are looked at: of these, two lie before and two after the time in question."""
_SHARED: Final = 0.75
"""How much of the newest position's noise a prediction shares."""


class Between(NamedTuple):
    """A position between measured ones."""

    position: Position
    """On the cubic through the four positions around the time."""
    beside: Position
    """How far a position measured then may have lain from it. Zero where the time is that of a position."""


def position_between(when_s: float, made_s: float, recent: Collection[tuple[float, Position]]) -> Between:
    """Return the position at `when_s`, to be compared with a prediction that was made at `made_s`.

    A cubic follows the curvature of breathing, which a straight line cuts off, but it averages the noise of the
    positions, and a prediction made from one of them shares its noise: both hide errors. Independent noise of variance
    v hides (1 - sum w^2 + 2 s w_made) v, where w are the weights of the positions in the cubic, and s is the part of
    the noise that the prediction shares: 1 for persistence, less for a regression. Three quarters fit eleven motions
    recorded at twice the rate, on which 90 % intervals of persistence, ridge and blend then hold 85 to 94 %. v is the
    squared distance of the middle position from the cubic through the four around it, divided by 1 + the sum of their
    squared weights.

    Parameters
    ----------
    recent
        `NEEDED` times (s) and positions (axes,), the last two of them at `when_s` or later.
    """
    t_s, known = np.array([t for t, _ in recent]), np.array([position for _, position in recent])
    after = max(1, int(np.searchsorted(t_s, when_s)))
    weights = _weights(when_s, t_s, slice(max(0, after - 2), after + 2))
    if weights @ weights > 1.0:  # images too unevenly apart for a cubic
        weights = _weights(when_s, t_s, slice(after - 1, after + 1))
    around = _weights(t_s[2], t_s, [0, 1, 3, 4])
    noise = np.abs(known[2] - around @ known) / np.sqrt(1.0 + around @ around)
    hidden = 1.0 - weights @ weights + 2.0 * _SHARED * weights[t_s == made_s].sum()
    return Between(weights @ known, np.sqrt(max(0.0, hidden)) * noise)


def _weights(when_s: float, t_s: NDArray[np.float64], chosen: slice | list[int]) -> NDArray[np.float64]:
    """Return the weight of each position in Lagrange's polynomial through those chosen, at `when_s`."""
    through = t_s[chosen]
    apart = through[:, None] - through
    np.fill_diagonal(apart, 1.0)
    parts = (when_s - through) / apart
    np.fill_diagonal(parts, 1.0)
    weights = np.zeros_like(t_s)
    weights[chosen] = parts.prod(axis=1)
    return weights
