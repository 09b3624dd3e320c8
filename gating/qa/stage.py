"""Spatial accuracy by image: a moving phantom's stage log beside the positions that were tracked in its cine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.latency.physical import PhysicalLogError, read_columns
from gating.qa.figures import LEAST_FRAMES, NotMeasuredError

COLUMNS: Final = ("t_s", "position_mm")
LAG_STEP_S: Final = 0.005

Series = NDArray[np.float64]


def read_stage(path: Path) -> tuple[Series, Series]:
    """Read a stage log, a CSV file with `t_s` and `position_mm`.

    Raises
    ------
    NotMeasuredError
        If there is no such file, or it is no stage log; one sentence.
    """
    try:
        table = read_columns(path, COLUMNS)
    except (OSError, PhysicalLogError) as error:
        raise NotMeasuredError(str(error)) from None
    return table[:, 0], table[:, 1]


def stage_error_mm(t_s: Series, seen_mm: Series, stage_s: Series, stage_mm: Series, max_lag_s: float) -> float:
    """Return the 95th percentile of the distance of tracked positions from the stage's.

    Both count from their means, as their origins differ. Their clocks differ by up to `max_lag_s`; the lag that fits
    best is taken, so this is accuracy in space and says nothing of latency.

    Raises
    ------
    NotMeasuredError
        If fewer than three tracked frames lie within the stage's log at every lag.
    """
    steps = np.arange(-round(max_lag_s / LAG_STEP_S), round(max_lag_s / LAG_STEP_S) + 1) * LAG_STEP_S
    within = (t_s - max_lag_s >= stage_s[0]) & (t_s + max_lag_s <= stage_s[-1]) & np.isfinite(seen_mm)
    if within.sum() < LEAST_FRAMES:
        raise NotMeasuredError(
            f"{int(within.sum())} tracked frames lie within the stage's log; {LEAST_FRAMES} are needed"
        )
    t_s, seen = t_s[within], seen_mm[within] - seen_mm[within].mean()
    errors = []
    for lag_s in steps:
        there = np.interp(t_s + lag_s, stage_s, stage_mm)
        errors.append(np.abs(seen - (there - there.mean())))
    best = min(errors, key=lambda error: float(np.mean(error**2)))
    return float(np.percentile(best, 95))
