"""Is a value still what it used to be? An individuals chart and a two-sided CUSUM over the runs after a baseline.

The baseline are the first runs in tolerance. Its mean is the centre; sigma is the mean moving range over 1.128 (the
individuals and moving range chart, NIST/SEMATECH e-Handbook 6.3.2.2). Two limits then watch every later run:

- Shewhart: a value more than `SHEWHART_SIGMA` from the centre, for a sudden step;
- CUSUM (Page 1954, doi:10.1093/biomet/41.1-2.100; tabular form of the e-Handbook 6.3.2.3): sums of what exceeds
  `SLACK_SIGMA`, which signal beyond `DECISION_SIGMA`, for a slow drift. The sums begin anew after a signal.

The limits were chosen by simulation (`python -m bench.qa_run_lengths`, docs/qa.md): how long they take to find a shift,
and how seldom they signal without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHEWHART_SIGMA: Final = 3.3
SLACK_SIGMA: Final = 0.5
"""Half the shift that is looked for, one sigma."""
DECISION_SIGMA: Final = 4.4
MOVING_RANGE: Final = 1.128
"""Expected range of two values of a normal distribution, in sigma (d2 of n = 2)."""
LEAST_SIGMA: Final = 0.05
"""A baseline that spreads less than this share of the tolerance counts as if it spread so much: a shift that is small
beside the tolerance is no finding, however steady the value used to be."""


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """Every measured value of a step, in order, with its control limits.

    Attributes
    ----------
    values
        (n,) values, of which the first `baseline` are the baseline.
    baseline
        Number of runs of the baseline; 0 while it is not complete.
    centre, sigma
        Of the baseline; NaN while it is not complete.
    high, low
        (n,) CUSUM above and below, in sigma; NaN in the baseline.
    signals
        By the index of a run: what signalled there, one sentence.
    """

    values: NDArray[np.float64]
    baseline: int
    centre: float
    sigma: float
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    signals: dict[int, str]

    @property
    def limits(self) -> tuple[float, float]:
        """Return the lower and upper control limit of single values; NaN while the baseline is not complete."""
        reach = SHEWHART_SIGMA * self.sigma
        return self.centre - reach, self.centre + reach


def watch(values: ArrayLike, good: Sequence[bool], baseline_runs: int, tolerance: float) -> Trend:
    """Return the trend of a step.

    Parameters
    ----------
    values
        (n,) measured values of all runs, in order.
    good
        Whether each was in tolerance: others are no part of the baseline.
    baseline_runs
        Number of runs in the baseline.
    tolerance
        Of the step; sigma is at least `LEAST_SIGMA` of it.
    """
    x = np.asarray(values, np.float64)
    fit = np.flatnonzero(np.asarray(good, np.bool_))[:baseline_runs]
    unknown = np.full(len(x), np.nan)
    if len(fit) < baseline_runs:
        return Trend(x, 0, float("nan"), float("nan"), unknown, unknown, {})
    base, first = x[fit], int(fit[-1]) + 1
    centre = float(base.mean())
    sigma = max(float(np.abs(np.diff(base)).mean()) / MOVING_RANGE, LEAST_SIGMA * abs(tolerance))
    sigma = sigma or float(np.finfo(float).tiny)  # a value that never changed, without a tolerance: any change signals
    high, low, signals = _sums((x[first:] - centre) / sigma)
    sentences = {first + at: said for at, said in signals.items()}
    padding = unknown[:first]
    return Trend(x, first, centre, sigma, np.append(padding, high), np.append(padding, low), sentences)


def _sums(z: NDArray[np.float64]) -> tuple[list[float], list[float], dict[int, str]]:
    """Return both sums after each value, in sigma, and where something signalled."""
    highs, lows, signals, high, low = list[float](), list[float](), dict[int, str](), 0.0, 0.0
    for at, away in enumerate(z.tolist()):
        high, low = max(0.0, high + away - SLACK_SIGMA), max(0.0, low - away - SLACK_SIGMA)
        highs.append(high)
        lows.append(low)
        if abs(away) > SHEWHART_SIGMA:
            signals[at] = f"{away:+.1f} sigma from the baseline; {SHEWHART_SIGMA:g} is the limit"
        elif max(high, low) > DECISION_SIGMA:
            side, total = ("above", high) if high >= low else ("below", low)
            signals[at] = f"drifts {side} the baseline: CUSUM is {total:.1f} sigma; {DECISION_SIGMA:g} is the limit"
        if at in signals:
            high = low = 0.0
    return highs, lows, signals
