"""The Pareto front of duty cycle and residual motion: the settings that no other setting beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def unbeaten(results: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which results are on the front.

    Parameters
    ----------
    results
        Duty cycle and residual motion of each setting. One whose residual motion is not known, because its beam was
        never on, is not on the front. Of equal ones, the first is.
    """
    return [
        bool(np.isfinite(one[1])) and not any(_beats(other, one, index < number) for index, other in enumerate(results))
        for number, one in enumerate(results)
    ]


def _beats(one: tuple[float, float], other: tuple[float, float], earlier: bool) -> bool:
    return one[0] >= other[0] and one[1] <= other[1] and (one != other or earlier)
