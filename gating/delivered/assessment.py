"""Planned beside delivered dose, for every structure and every delivery that one session can tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion
from gating.analysis.uncertainty import Uncertainty
from gating.delivered.deliveries import (
    DosePlan,
    Timeline,
    gated_timeline,
    itv_plan,
    part_kernels,
    received,
    ungated_timeline,
)
from gating.delivered.dose_cloud import MotionKernel
from gating.delivered.dvh import DoseFigures, OnGrid, StructurePoints, check_holds, dose_figures, histogram
from gating.delivered.spread import LATENCY_SD_MS, SAMPLES, Spread, figure_spreads
from gating.messages import ASSUMED_TIME_MEANS

PLANNED, GATED, UNGATED, ITV_PLANNED, ITV = "planned", "gated", "ungated", "itv planned", "itv"
MEANINGS: Final = {
    PLANNED: "The plan as it is: every structure where it was drawn.",
    GATED: "The plan, met by the motion while the beam was on.",
    UNGATED: "The same plan, met by the motion of the whole session.",
    ITV_PLANNED: "The plan widened to the ten phases of the session's beginning, every structure where it was drawn.",
    ITV: "The widened plan, met without gating by the motion after the beginning (30 s, at most half).",
}
MOST_VOXELS: Final = 200_000
"""Around a structure, for a Monte Carlo that takes seconds."""
SPREAD_EVERY: Final = 4
"""Of a structure's points, every fourth is enough for a spread."""
DOSES: Final = 200
"""Doses at which a histogram is kept."""


class Delivery(Struct, frozen=True, kw_only=True):
    """How one delivery was weighed."""

    name: str
    beam_on_s: float
    unknown_s: float
    """Time with beam in which the position was not known; it is left out of the mean."""
    delivered: float
    """Part of the plan's meterset that was delivered, 0 to 1."""
    prescribed_cm3: float
    """Volume that the plan of this delivery gives the prescribed dose or more; NaN without a prescription."""
    half_cm3: float
    """The same for half of the prescribed dose."""


class StructureDose(Struct, frozen=True, kw_only=True):
    """The dose to one structure."""

    name: str
    volume_cm3: float
    held: float
    """Part of it that the dose grid holds; the figures are of that part."""
    figures: dict[str, DoseFigures]
    """By delivery."""
    spread: Spread | None
    """Of the gated delivery; None for a structure around which there are more than `MOST_VOXELS`, such as the body."""
    dvh: dict[str, list[float]]
    """By delivery, part of the volume that receives `Assessment.dvh_gy` or more."""


class Assessment(Struct, frozen=True, kw_only=True):
    """What a session means for the dose."""

    target: str
    tracked: str
    """The structure of the log whose motion counts."""
    beam_known_by: str
    shown: tuple[bool, bool, bool]
    """Whether motion along LR, AP, SI was seen; where not, the target counts as still."""
    prescribed_gy: float | None
    parts: int
    deliveries: list[Delivery]
    structures: list[StructureDose]
    """The target first."""
    dvh_gy: list[float]
    not_delivered: dict[str, str]
    """Deliveries that the session cannot tell of, each with the reason."""
    left_out: list[str]
    """What the figures leave out, in sentences."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a session.

    Attributes
    ----------
    target
        Name of the structure, of those given, that the motion is of.
    tracked
        Name of the structure in the log.
    prescribed_gy
        Prescribed dose, for V100 and volumes; None if unknown.
    errors
        Errors of position for the spread.
    latency_sd_ms
        Standard deviation of when the beam was on.
    later_ms
        How much later than logged the beam was.
    dose_rate_mu_min
        See `part_kernels`.
    samples
        Of the spread.
    """

    target: str
    tracked: str
    prescribed_gy: float | None = None
    errors: Sequence[Uncertainty] = field(default=())
    latency_sd_ms: float = LATENCY_SD_MS
    later_ms: float = 0.0
    dose_rate_mu_min: float | None = None
    samples: int = SAMPLES


@dataclass(frozen=True, slots=True)
class _Arm:
    plan: DosePlan
    timeline: Timeline | None
    kernels: list[MotionKernel | None] | None


def assess(
    plan: DosePlan, structures: Sequence[StructurePoints], motion: GatedMotion, question: Question
) -> Assessment:
    """Return planned beside delivered dose.

    Raises
    ------
    ValueError
        If the beam was never on, the grid does not hold the target wherever it moved to, or a structure lies outside
        it; one sentence.
    """
    ordered = sorted(structures, key=lambda one: one.name != question.target)
    arms, missing = _arms(plan, motion, question)
    moved_mm = np.concatenate([_known(arm.timeline) for arm in arms.values() if arm.timeline is not None])
    check_holds(ordered[0], plan.grid, moved_mm)
    dvh_gy = np.linspace(0, 1.05 * float(max(arm.plan.total.max() for arm in arms.values())), DOSES)
    placed = [OnGrid(one, plan.grid) for one in ordered]
    spreads = _spreads(ordered, plan, motion, question)
    found = [
        _structure(one, at, arms, question.prescribed_gy, dvh_gy, spread)
        for one, at, spread in zip(ordered, placed, spreads, strict=True)
    ]
    return Assessment(
        target=question.target,
        tracked=question.tracked,
        beam_known_by=motion.beam_known_by,
        shown=motion.shown,
        prescribed_gy=question.prescribed_gy,
        parts=len(plan.parts),
        deliveries=[_delivery(name, arm, question.prescribed_gy) for name, arm in arms.items()],
        structures=found,
        dvh_gy=dvh_gy.tolist(),
        not_delivered=missing,
        left_out=left_out(plan, motion, question),
    )


def _known(timeline: Timeline) -> NDArray[np.float64]:
    return timeline.displacement_mm[timeline.known]


def _arms(plan: DosePlan, motion: GatedMotion, question: Question) -> tuple[dict[str, _Arm], dict[str, str]]:
    """Return the arms, and why others cannot be told."""
    gated = gated_timeline(motion, question.later_ms)
    arms = {
        PLANNED: _Arm(plan, None, None),
        GATED: _Arm(plan, gated, part_kernels(plan, gated, question.dose_rate_mu_min)),
    }
    missing: dict[str, str] = {}
    free = ungated_timeline(motion)
    arms[UNGATED] = _Arm(plan, free, part_kernels(plan, free))
    try:
        wide, after = itv_plan(plan, motion)
        arms |= {ITV_PLANNED: _Arm(wide, None, None), ITV: _Arm(wide, after, part_kernels(wide, after))}
    except ValueError as error:
        missing[ITV] = str(error)
    return arms, missing


def _delivery(name: str, arm: _Arm, prescribed_gy: float | None) -> Delivery:
    total, voxel_cm3 = arm.plan.total, float(np.prod(arm.plan.grid.GetSpacing())) / 1e3
    line = arm.timeline
    weights = [0.0 if kernel is None else float(kernel.weights.sum()) for kernel in arm.kernels or ()]
    shares = np.array(arm.plan.metersets) / sum(arm.plan.metersets)
    return Delivery(
        name=name,
        beam_on_s=float("nan") if line is None else line.beam_on_s,
        unknown_s=float("nan") if line is None else float((~line.known).sum()) * line.step_s,
        delivered=float(shares @ weights) if weights else float("nan"),
        prescribed_cm3=_volume(total, prescribed_gy, voxel_cm3),
        half_cm3=_volume(total, None if prescribed_gy is None else prescribed_gy / 2, voxel_cm3),
    )


def _volume(dose: NDArray[np.float32], least_gy: float | None, voxel_cm3: float) -> float:
    return float("nan") if least_gy is None else float((dose >= least_gy).sum()) * voxel_cm3


def _structure(
    structure: StructurePoints,
    placed: OnGrid,
    arms: dict[str, _Arm],
    prescribed_gy: float | None,
    dvh_gy: NDArray[np.float64],
    spread: Spread | None,
) -> StructureDose:
    figures, curves = {}, {}
    for name, arm in arms.items():
        in_box = arm.plan.total[placed.box] if arm.kernels is None else received(arm.plan, arm.kernels, placed.box)
        at_points = placed.sample(in_box)
        figures[name] = dose_figures(at_points, placed.held_cm3, prescribed_gy)
        curves[name] = np.round(histogram(at_points, dvh_gy), 5).tolist()
    return StructureDose(
        name=structure.name,
        volume_cm3=structure.volume_cm3,
        held=placed.held,
        figures=figures,
        spread=spread,
        dvh=curves,
    )


def _spreads(
    structures: Sequence[StructurePoints], plan: DosePlan, motion: GatedMotion, question: Question
) -> list[Spread | None]:
    """Return the spread of each structure; None for those that are too large, or without samples."""
    placed = [OnGrid(replace(one, points_mm=one.points_mm[::SPREAD_EVERY]), plan.grid) for one in structures]
    small = [one for one in placed if one.voxels <= MOST_VOXELS] if question.samples else []
    if not small:
        return [None] * len(placed)
    found = figure_spreads(
        plan, motion, small, question.errors, latency_sd_ms=question.latency_sd_ms, later_ms=question.later_ms,
        dose_rate_mu_min=question.dose_rate_mu_min, prescribed_gy=question.prescribed_gy, samples=question.samples,
    )  # fmt: skip
    of = dict(zip(map(id, small), found, strict=True))
    return [of.get(id(one)) for one in placed]


def left_out(plan: DosePlan, motion: GatedMotion, question: Question) -> list[str]:
    """Return what the figures leave out, in sentences."""
    said = [
        "Every structure moves rigidly with the target: rotation, deformation and organs that move otherwise are left "
        "out.",
        "The dose stands still in the room (static dose cloud): changes of density and of depth along the beams with "
        "the motion, and the change of dose at moving surfaces, are left out.",
        "Beyond its grid the dose counts as 0.",
        "The log names no patient and no plan: that both belong together, and that the target was drawn where the plan "
        "has it, is for the user to know.",
    ]
    unseen = [axis for axis, shown in zip(("LR", "AP", "SI"), motion.shown, strict=True) if not shown]
    if unseen:
        said.append(f"Motion along {', '.join(unseen)} was not seen by any plane and counts as none.")
    if len(plan.parts) == 1:
        said.append("The dose is one for the whole plan, so interplay of motion with the order of beams is left out.")
    else:
        said.append(
            f"The {len(plan.parts)} parts are delivered in the order of the plan at a constant dose rate while the "
            "beam is on; motion within a part meets the mean dose of that part."
        )
    if question.dose_rate_mu_min is None:
        said.append("The time with beam is taken for that of the whole plan: no dose rate was given.")
    if motion.times_assumed:
        said.append(f"The {ASSUMED_TIME_MEANS}.")
    if motion.beam_known_by != "confirmed":
        said.append(f"The beam is {motion.beam_known_by or 'not known'}, not confirmed by a beam interface.")
    said.append("The dose is that of the planned dose file, as if every fraction were like this session.")
    return said
