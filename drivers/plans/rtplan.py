"""What a treatment plan (DICOM RTPLAN) says of fractions, prescription and the order and metersets of its beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.errors import BadPlan
from drivers.plans.dicom import Identity, identity, read_object, readable
from drivers.plans.rtdose import WHOLE, PlannedDose

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Beam:
    """A beam of a plan.

    Attributes
    ----------
    number, name
        Of the beam.
    meterset_mu
        Monitor units of one fraction.
    cumulative
        Part of the meterset delivered by each control point, from 0 to 1; empty if the plan does not say.
    """

    number: int
    name: str
    meterset_mu: float
    cumulative: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TreatmentPlan:
    """A plan.

    Attributes
    ----------
    label
        RTPlanLabel.
    fractions
        Number of fractions; None if the plan does not say.
    prescribed_gy
        Prescribed dose to the target, all fractions; None if the plan does not say.
    beams
        In the order of the plan, those without meterset left out.
    uid
        SOPInstanceUID.
    identity
        Whose it is.
    """

    label: str
    fractions: int | None
    prescribed_gy: float | None
    beams: tuple[Beam, ...]
    uid: str
    identity: Identity


def read_plan(path: Path) -> TreatmentPlan:
    """Read an RTPLAN of one fraction group. Raises `BadPlan`, one sentence."""
    dataset = read_object(path, "RTPLAN")
    with readable(path, "RTPLAN"):
        groups: Any = dataset.get("FractionGroupSequence") or ()
        if len(groups) != 1:
            raise BadPlan(f"{path}: it has {len(groups)} fraction groups; one is needed")
        metersets = {
            int(one.ReferencedBeamNumber): float(one.get("BeamMeterset") or 0)
            for one in groups[0].get("ReferencedBeamSequence") or ()
        }
        targets = [
            float(one.TargetPrescriptionDose)
            for one in dataset.get("DoseReferenceSequence") or ()
            if str(one.get("DoseReferenceType", "")) == "TARGET" and one.get("TargetPrescriptionDose")
        ]
        return TreatmentPlan(
            label=str(dataset.get("RTPlanLabel", ""))[:64],
            fractions=int(groups[0].NumberOfFractionsPlanned) if groups[0].get("NumberOfFractionsPlanned") else None,
            prescribed_gy=max(targets, default=None),
            beams=tuple(
                _beam(one, metersets[number])
                for one in dataset.get("BeamSequence") or ()
                if metersets.get(number := int(one.BeamNumber), 0) > 0
            ),
            uid=str(dataset.get("SOPInstanceUID", "")),
            identity=identity(path, "RTPLAN", dataset),
        )


def _beam(dataset: Dataset, meterset_mu: float) -> Beam:
    at = [point.get("CumulativeMetersetWeight") for point in dataset.get("ControlPointSequence") or ()]
    final = float(dataset.get("FinalCumulativeMetersetWeight") or 0)
    known = final > 0 and all(one is not None for one in at)
    return Beam(
        number=int(dataset.BeamNumber),
        name=str(dataset.get("BeamName", "") or dataset.BeamNumber)[:64],
        meterset_mu=meterset_mu,
        cumulative=tuple(float(one) / final for one in at) if known else (),
    )


def delivery_order(doses: Sequence[PlannedDose], plan: TreatmentPlan | None) -> list[tuple[PlannedDose, float]]:
    """Return doses in the order in which a plan delivers them, each with its meterset, MU.

    Parameters
    ----------
    doses
        One of a whole plan; or one of every beam; or those between all control points of every beam.
    plan
        The plan; not needed for one dose of a whole plan, whose meterset is then 1.

    Raises
    ------
    BadPlan
        If the doses are not those of the plan, or not all of them; one sentence.
    """
    if plan is not None:
        for dose in doses:
            if dose.plan_uid and plan.uid and dose.plan_uid != plan.uid:
                raise BadPlan(f"{dose.identity.path}: it is the dose of another plan than {plan.identity.path.name}")
    if len(doses) == 1 and doses[0].summation in WHOLE:
        return [(doses[0], sum(beam.meterset_mu for beam in plan.beams) or 1.0 if plan is not None else 1.0)]
    if plan is None:
        raise BadPlan("doses of single beams need the plan, which says in which order and with how many MU")
    order = {beam.number: place for place, beam in enumerate(plan.beams)}
    for dose in doses:
        if dose.beam not in order:
            raise BadPlan(
                f"{dose.identity.path}: DoseSummationType is {dose.summation}, beam {dose.beam}; a dose of each beam "
                f"with MU is needed ({', '.join(map(str, order))})"
            )
    ordered = sorted(doses, key=lambda one: (order[one.beam or 0], one.control_points or (0, 0)))
    parts = [(one, _meterset_mu(one, plan.beams[order[one.beam or 0]])) for one in ordered]
    for beam in plan.beams:
        given = sum(mu for one, mu in parts if one.beam == beam.number)
        if not abs(given - beam.meterset_mu) <= 0.001 * beam.meterset_mu:
            raise BadPlan(
                f"beam {beam.number} ({beam.name}) has {beam.meterset_mu:g} MU; the doses given are of {given:g} MU"
            )
    return [(one, mu) for one, mu in parts if mu > 0]


def _meterset_mu(dose: PlannedDose, beam: Beam) -> float:
    if dose.control_points is None:
        return beam.meterset_mu
    first, last = dose.control_points
    if not 0 <= first < last < len(beam.cumulative):
        raise BadPlan(
            f"{dose.identity.path}: control points {first} to {last}; beam {beam.number} has {len(beam.cumulative)}"
        )
    return beam.meterset_mu * (beam.cumulative[last] - beam.cumulative[first])
