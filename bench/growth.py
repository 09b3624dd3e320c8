"""Whether what a process holds grows without bound, told from samples over time.

A queue that fills once, because a disk or the machine stood still, leaves a step: the allocator keeps what it got, and
uses it again. A leak goes on and on. So a few steps are allowed up to the size of the queue, and creeping is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from scipy.stats import theilslopes

SETTLED: Final = 1 / 3
"""What is held is compared with what was held after this share of the time, or after a minute if that is sooner."""
BLOCKS: Final = 20
STEPS: Final = 3
"""The largest changes from block to block that count as steps: a queue that fills, is emptied, and fills again."""


class Trend(Struct, frozen=True):
    """How a count or a size, in MB, grew from its first to its last sample, along its slope."""

    first: float
    last: float
    growth_percent: float
    low_percent: float
    high_percent: float
    """Ends of the 95 % interval of the growth."""

    def flat(self, limit_percent: float, room: float = 0.0) -> bool:
        """Return whether it grew by no more than a limit or by `room`, also at the upper end of the interval."""
        return self.high_percent <= max(limit_percent, 100 * room / self.first if self.first else 0.0)


def trend(samples: Sequence[float]) -> Trend:
    """Fit a slope that outliers do not move, with its interval, to medians of blocks of the samples.

    Parameters
    ----------
    samples
        At equal intervals, two at least; what is not finite is left out.

    Notes
    -----
    Medians of blocks, since neighbouring samples of a process's memory are not independent. Slope and interval: P. K.
    Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968, doi:10.1080/01621459.1968.10480934.
    """
    finite = np.array([sample for sample in samples if np.isfinite(sample)])
    blocks = np.array([np.median(block) for block in np.array_split(finite, BLOCKS) if len(block)])
    fit = theilslopes(blocks, np.arange(len(blocks)), alpha=0.95)
    first = float(fit.intercept)
    share = 100 * (len(blocks) - 1) / first if first else 0.0
    percent = (round(share * float(slope), 3) for slope in (fit.slope, fit.low_slope, fit.high_slope))
    return Trend(round(first, 2), round(float(blocks[-1]), 2), *percent)


class Growth(Struct, frozen=True):
    """How a count or a size, in MB, grew."""

    settled: float = 0.0
    last: float = 0.0
    growth_percent: float = 0.0
    creep_percent: float = 0.0
    """Growth without the largest steps."""

    def flat(self, limit_percent: float, room: float = 0.0) -> bool:
        """Return whether it stayed within the limit, or rose above it by steps of no more than `room` in all."""
        if self.growth_percent <= limit_percent:
            return True
        return self.creep_percent <= limit_percent and self.last - self.settled <= room


def growth(samples: Sequence[float], minutes: float) -> Growth:
    """Compare the last samples with those after the first minute, or after the first third of a shorter time.

    Parameters
    ----------
    samples
        At equal intervals; what is not finite is left out.
    minutes
        Time that they cover.
    """
    finite = np.array([sample for sample in samples if np.isfinite(sample)])
    if not len(finite):
        return Growth()
    tenth = max(1, len(finite) // 10)
    start = round(len(finite) * min(SETTLED, 1 / minutes))
    settled, last = float(np.median(finite[start : start + tenth])), float(np.median(finite[-tenth:]))
    blocks = [np.median(block) for block in np.array_split(finite[start:], BLOCKS) if len(block)]
    changes = sorted(np.diff(blocks), key=abs)
    creep = float(sum(changes[: max(0, len(changes) - STEPS)]))
    share = 100 / settled if settled else 0.0
    return Growth(
        round(settled, 2), round(last, 2), round(share * (last - settled), 3), round(share * max(0.0, creep), 3)
    )
