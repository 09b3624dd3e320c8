"""Run lengths of the trend's control limits, simulated: `python -m bench.qa_run_lengths [--choose]`.

A run length is the number of runs from the beginning of a shift to the first signal. Without a shift it should be long,
with one it should be short. With known sigma the baseline is exact; otherwise it is estimated from so many runs.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis import trend

SEED: Final = 2026
SERIES: Final = 20_000
LONGEST: Final = 4_000
SHIFTS: Final = (0.0, 0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Limits:
    """Control limits, in sigma."""

    shewhart: float = trend.SHEWHART_SIGMA
    decision: float = trend.DECISION_SIGMA
    slack: float = trend.SLACK_SIGMA


def run_lengths(
    shift: float, limits: Limits, *, baseline: int | None, series: int = SERIES, seed: int = SEED
) -> NDArray[np.int64]:
    """Return the run length of each simulated series; `LONGEST` where nothing signalled.

    Parameters
    ----------
    shift
        Of the mean, in true sigma, from the first run after the baseline.
    baseline
        Number of runs from which mean and sigma are estimated, as `watch` does; None: both are known.
    """
    random = np.random.default_rng(seed)
    centre, sigma = np.zeros(series), np.ones(series)
    if baseline is not None:
        base = random.standard_normal((series, baseline))
        centre, sigma = base.mean(axis=1), np.abs(np.diff(base, axis=1)).mean(axis=1) / trend.MOVING_RANGE
    lengths = np.full(series, LONGEST)
    high, low, alive = np.zeros(series), np.zeros(series), np.arange(series)
    for number in range(1, LONGEST + 1):
        z = (random.standard_normal(len(alive)) + shift - centre[alive]) / sigma[alive]
        high[alive] = np.maximum(0, high[alive] + z - limits.slack)
        low[alive] = np.maximum(0, low[alive] - z - limits.slack)
        beyond = (np.abs(z) > limits.shewhart) | (np.maximum(high[alive], low[alive]) > limits.decision)
        lengths[alive[beyond]] = number
        alive = alive[~beyond]
        if not len(alive):
            break
    return lengths


def row(limits: Limits, baseline: int | None) -> str:
    """Return one line of the table: mean (median) run length for each shift."""
    found = [run_lengths(shift, limits, baseline=baseline) for shift in SHIFTS]
    cells = " | ".join(f"{one.mean():.4g} ({np.median(one):.3g})" for one in found)
    known = "known" if baseline is None else f"{baseline} runs"
    return f"| {limits.shewhart:g} | {limits.decision:g} | {known} | {cells} |"


def main() -> None:
    """Print the table of the limits in use, or of others to choose from."""
    parser = argparse.ArgumentParser(prog="python -m bench.qa_run_lengths", description=__doc__)
    parser.add_argument("--choose", action="store_true", help="other limits too")
    print(f"| Shewhart | CUSUM h | baseline | {' | '.join(f'{shift:g} sigma' for shift in SHIFTS)} |")
    if parser.parse_args().choose:
        for shewhart in (3.0, 3.25, 3.5, 99.0):
            for decision in (4.0, 4.25, 4.5, 5.0, 99.0):
                print(row(Limits(shewhart, decision), None))
    for baseline in (None, 100, 50, 30, 20, 10):
        print(row(Limits(), baseline))


if __name__ == "__main__":
    main()
