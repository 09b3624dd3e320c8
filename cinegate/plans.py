"""A treatment plan from DICOM files, ready to be moved: what the verb and the benches read alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK

from drivers.plans.dicom import Identity, check_belong_together
from drivers.plans.rtdose import PlannedDose, check_same_grid, read_dose
from drivers.plans.rtplan import TreatmentPlan, delivery_order, read_plan
from drivers.plans.structures import sampled_structure
from gating.delivered.deliveries import DosePlan
from gating.delivered.dvh import StructurePoints


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan in the order of its delivery, the dose prescribed to its target, and whose the files are."""

    plan: DosePlan
    prescribed_gy: float | None
    identities: tuple[Identity, ...]


def read_planned(doses: Sequence[Path], plan: Path | None = None) -> Planned:
    """Read planned doses, and the plan that they are of.

    Parameters
    ----------
    doses
        RTDOSE of the whole plan; or of every beam, or between all control points, which need the plan.
    plan
        RTPLAN.

    Raises
    ------
    BadPlan
        If one cannot be used, or they do not belong together; one sentence.
    """
    read = [read_dose(path) for path in doses]
    check_same_grid(read)
    known = None if plan is None else read_plan(plan)
    identities = [one.identity for one in read] + ([] if known is None else [known.identity])
    check_belong_together(identities)
    ordered = delivery_order(read, known)
    parts = tuple(SimpleITK.GetArrayFromImage(one.image) for one, _ in ordered)
    moved = DosePlan(grid=read[0].image, parts=parts, metersets=tuple(mu for _, mu in ordered))
    return Planned(moved, _prescribed_gy(read, known), tuple(identities))


def read_points(structures: Path, name: str) -> StructurePoints:
    """Read a structure as points. Raises `BadPlan` or `BadRecording`, one sentence."""
    found = sampled_structure(structures, name)
    return StructurePoints(found.name, found.points_mm, found.volume_cm3)


def _prescribed_gy(doses: Sequence[PlannedDose], plan: TreatmentPlan | None) -> float | None:
    """Return the prescribed dose of what the dose files hold: all fractions, or one."""
    if plan is None or plan.prescribed_gy is None:
        return None
    if doses[0].summation == "FRACTION":
        return None if plan.fractions is None else plan.prescribed_gy / plan.fractions
    return plan.prescribed_gy
