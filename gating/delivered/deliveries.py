"""The deliveries that one session can tell of: gated as it was, without gating, and with an ITV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis.four_d import ten_phases
from gating.analysis.margins import BEFORE_TREATMENT_S
from gating.analysis.motion import GRID_S, GatedMotion, inside
from gating.delivered.dose_cloud import Box, DoseArray, MotionKernel, add_moved, motion_kernel, moved

BETWEEN_ENDS: Final = 10
"""Places of an ITV along the whole motion, where there are too few breaths for phases."""


@dataclass(frozen=True)
class DosePlan:
    """A planned dose in the parts that are delivered one after the other: one, or one for each beam or control point.

    Attributes
    ----------
    grid
        SimpleITK image whose grid all parts lie on.
    parts
        The dose of each, Gy.
    metersets
        Of each, MU, above 0; any number if there is one part alone.
    """

    grid: Any
    parts: tuple[DoseArray, ...]
    metersets: tuple[float, ...] = (1.0,)

    @cached_property
    def total(self) -> DoseArray:
        """The planned dose, Gy."""
        summed = np.zeros_like(self.parts[0])
        for part in self.parts:
            summed += part
        return summed


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When which displacement met the beam.

    Attributes
    ----------
    displacement_mm
        (n, 3) LPS, from where the dose is planned, at each moment with beam; NaN where the position is not known.
    step_s
        Time between two moments.
    """

    displacement_mm: NDArray[np.float64]
    step_s: float = GRID_S

    @property
    def beam_on_s(self) -> float:
        """Time with beam."""
        return len(self.displacement_mm) * self.step_s

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) Whether the position is known."""
        return np.asarray(np.isfinite(self.displacement_mm).all(axis=1))


def gated_timeline(motion: GatedMotion, later_ms: float = 0.0) -> Timeline:
    """Return the motion while the beam was on.

    Parameters
    ----------
    motion
        Motion of the target, with its beam.
    later_ms
        How much later than `motion.beam_s` the beam was, as on a machine with a latency that a simulated line lacks.

    Raises
    ------
    ValueError
        If there was no beam on while the target's position was known.
    """
    when_s, away_mm, _ = motion.grid()
    return _checked(motion, away_mm[inside(when_s - later_ms / 1e3, motion.beam_s)])


def ungated_timeline(motion: GatedMotion) -> Timeline:
    """Return the motion of the whole session, as if the beam had never been held; raises `ValueError` if unknown."""
    return _checked(motion, motion.grid()[1])


def _checked(motion: GatedMotion, away_mm: NDArray[np.float64]) -> Timeline:
    timeline = Timeline(away_mm - motion.window_mm)
    if not timeline.known.any():
        raise ValueError(f"{motion.target}: the beam was never on while the position was known; there is no dose")
    return timeline


def part_kernels(
    plan: DosePlan, timeline: Timeline, dose_rate_mu_min: float | None = None
) -> list[MotionKernel | None]:
    """Return the motion that each part of a plan met; None for a part that was not begun.

    Parts follow each other in time at a constant dose rate. Without one, the time with beam is that of the whole plan.
    Time without a known position counts for the order of the parts, and not for the mean of the motion.

    Parameters
    ----------
    dose_rate_mu_min
        MU/min while the beam is on: a session may then deliver a part of the plan. Beam beyond the plan is left out.

    Raises
    ------
    ValueError
        If the position was never known while a part was delivered.
    """
    lengths = np.array(plan.metersets) / sum(plan.metersets)
    whole_s = timeline.beam_on_s if dose_rate_mu_min is None else 60 * sum(plan.metersets) / dose_rate_mu_min
    at = (np.arange(len(timeline.displacement_mm)) + 0.5) * timeline.step_s / whole_s
    ends = np.cumsum(lengths)
    part_of, delivered = np.searchsorted(ends[:-1], at, side="right"), min(timeline.beam_on_s / whole_s, 1.0)
    kernels: list[MotionKernel | None] = []
    for number, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
        share = 1.0 if delivered >= 1.0 else float(np.clip((delivered - end + length) / length, 0.0, 1.0))
        mine = timeline.displacement_mm[(part_of == number) & timeline.known & (at < 1.0)]
        if share == 0.0:
            kernels.append(None)
        elif len(mine):
            kernels.append(motion_kernel(plan.grid, mine, np.ones(len(mine)), share))
        else:
            raise ValueError(f"the position was never known while part {number + 1} of the plan was delivered")
    return kernels


def received(plan: DosePlan, kernels: Sequence[MotionKernel | None], box: Box) -> DoseArray:
    """Return the dose that the moving target receives in a box of the plan, Gy."""
    dose = np.zeros([one.stop - one.start for one in box], np.float32)
    for part, kernel in zip(plan.parts, kernels, strict=True):
        if kernel is not None:
            add_moved(dose, part, kernel, box)
    return dose


def itv_plan(plan: DosePlan, motion: GatedMotion) -> tuple[DosePlan, Timeline]:
    """Return the dose of an ITV and the motion that meets it.

    As before a treatment, the ten phases of the mean breath of the session's beginning are known. The dose of the ITV
    is at each point the highest of the planned doses that stand at the ten phases: the plan widened by the motion of
    the target, so that every phase is covered as the plan covers the target at rest. The rest of the session is
    treated, without gating.

    Raises
    ------
    ValueError
        If the target was not found before and during the treatment.
    """
    before_s = min(BEFORE_TREATMENT_S, motion.duration_s / 2)
    begin_s = motion.span_s[0] + before_s
    when_s, away_mm, _ = motion.grid()
    known = np.isfinite(away_mm).all(axis=1) & (when_s < begin_s)
    if not known.any():
        raise ValueError(f"{motion.target} was not found in the first {before_s:.0f} s; there is no ITV")
    breath = ten_phases(when_s[known], away_mm[known])
    phases_mm = breath.mean_mm - motion.window_mm
    if not breath.breaths:
        phases_mm = np.linspace(phases_mm[0], phases_mm[-1], BETWEEN_ENDS)
    dose = np.zeros_like(plan.total)
    for place_mm in phases_mm:
        np.maximum(dose, moved(plan.total, motion_kernel(plan.grid, -place_mm[None], np.ones(1))), out=dose)
    return DosePlan(plan.grid, (dose,)), ungated_timeline(motion.since(begin_s))
