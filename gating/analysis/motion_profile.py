"""What 30 to 60 s of motion show: range, period, exhale, speed, and frames for templates."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.drift import exhale_positions
from gating.analysis.motion import GatedMotion


class MotionProfile(Struct, frozen=True, kw_only=True):
    """What was learned about the motion; mm in LPS.

    The period is NaN if the target does not breathe, and so is a position along an axis that the plane does not show.
    """

    duration_s: float
    frames: int
    found_fraction: float
    range_mm: tuple[float, float, float]
    """5th to 95th percentile."""
    period_s: float
    period_sd_s: float
    exhale_mm: tuple[float, float, float]
    """Exhale position relative to the reference frame."""
    exhale_sd_mm: float
    """SD of the exhale positions: how well they repeat."""
    exhale_dwell: float
    """Fraction of the time within 3 mm of the exhale position."""
    speed_p95_mm_s: float
    longest_plateau_s: float
    exhale_frame: int
    inhale_frame: int
    """Frames for templates: the nearest to the exhale position and the farthest from it."""
    times_assumed: bool = False
    """Whether period and speed follow from a rate that a user gave."""

    @property
    def exhale_shift_mm(self) -> tuple[float, float, float]:
        """Shift that puts a window at exhale; 0 along an axis that the plane does not show."""
        x, y, z = np.nan_to_num(self.exhale_mm).tolist()
        return x, y, z


def learn_motion(motion: GatedMotion) -> MotionProfile:
    """Return what the motion of a target shows.

    Raises
    ------
    ValueError
        If the target was found in less than half of the frames, or for less than 20 s.
    """
    known = np.isfinite(motion.displacement_mm).all(axis=1)
    t_s, p = motion.t_s[known], motion.displacement_mm[known]
    found = float(known.mean())
    if not (found >= 0.5 and len(t_s) >= 20 and t_s[-1] - t_s[0] >= 20.0):
        span_s = float(t_s[-1] - t_s[0]) if len(t_s) else 0.0
        raise ValueError(
            f"the target was found in {100 * found:.0f} % of the frames over {span_s:.0f} s; 50 % over 20 s are needed"
        )
    when, exhales = exhale_positions(t_s, p)
    periods = np.diff(when)
    breathes = len(when) >= 3 and float(np.median(periods)) > 2.05 and float(np.ptp(p, axis=0).max()) > 3.0
    exhale = np.median(exhales, axis=0) if len(exhales) else np.median(p, axis=0)
    low, high = np.percentile(p, [5, 95], axis=0)
    away = np.linalg.norm(p - exhale, axis=1)
    numbers = np.flatnonzero(known)
    return MotionProfile(
        duration_s=motion.duration_s,
        frames=len(motion.t_s),
        found_fraction=found,
        range_mm=_three(np.where(motion.shown, high - low, np.nan)),
        period_s=float(np.median(periods)) if breathes else float("nan"),
        period_sd_s=float(np.std(periods)) if breathes else float("nan"),
        exhale_mm=_three(np.where(motion.shown, exhale, np.nan)),
        exhale_sd_mm=float(np.linalg.norm(np.std(exhales, axis=0))) if len(exhales) else float("nan"),
        exhale_dwell=float((away <= 3.0).mean()),
        speed_p95_mm_s=float(np.percentile(np.linalg.norm(np.diff(p, axis=0), axis=1) / np.diff(t_s), 95)),
        longest_plateau_s=_longest_plateau_s(t_s, p, 2.0),
        exhale_frame=int(numbers[np.argmin(away)]),
        inhale_frame=int(numbers[np.argmax(away)]),
        times_assumed=motion.times_assumed,
    )


def _longest_plateau_s(t_s: NDArray[np.float64], p: NDArray[np.float64], flat_mm: float) -> float:
    """Return the longest time in which no axis moves by more than `flat_mm`."""
    longest, first = 0.0, 0
    for last in range(len(t_s)):
        while np.ptp(p[first : last + 1], axis=0).max() > flat_mm:
            first += 1
        longest = max(longest, float(t_s[last] - t_s[first]))
    return longest


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(v), 3) for v in values)
    return x, y, z
