"""A planned dose (DICOM RTDOSE, PS3.3 C.8.8.3) as a SimpleITK image in Gy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadPlan
from drivers.plans.dicom import Identity, identity, read_object, readable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_VOXELS: Final = 50_000_000
EVEN_MM: Final = 0.01
WHOLE: Final = ("PLAN", "FRACTION")
"""Summation types of a whole plan; BEAM and CONTROL_POINT are parts of one."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedDose:
    """A dose grid.

    Attributes
    ----------
    image
        SimpleITK image, float32, Gy.
    summation
        PLAN, FRACTION, BEAM or CONTROL_POINT.
    beam
        Number of the beam, if it is the dose of one.
    control_points
        First and last index, if it is the dose between control points of a beam.
    plan_uid
        SOPInstanceUID of the plan; empty if it names none.
    identity
        Whose it is.
    """

    image: Any
    summation: str
    beam: int | None
    control_points: tuple[int, int] | None
    plan_uid: str
    identity: Identity


def read_dose(path: Path) -> PlannedDose:
    """Read an RTDOSE.

    Raises
    ------
    BadPlan
        If it is no physical dose in Gy on an evenly spaced grid; one sentence.
    """
    dataset = read_object(path, "RTDOSE")
    with readable(path, "RTDOSE"):
        for name, wanted in (("DoseUnits", ("GY",)), ("DoseType", ("PHYSICAL",)),
                             ("DoseSummationType", (*WHOLE, "BEAM", "CONTROL_POINT"))):  # fmt: skip
            if (value := str(dataset.get(name, ""))) not in wanted:
                raise BadPlan(f"{path}: {name} is {value[:20]!r}; {' or '.join(wanted)} is needed")
        beam, points = _part(dataset)
        referenced: Any = dataset.get("ReferencedRTPlanSequence") or ()
        return PlannedDose(
            image=_image(path, dataset),
            summation=str(dataset.DoseSummationType),
            beam=beam,
            control_points=points,
            plan_uid=str(referenced[0].get("ReferencedSOPInstanceUID", "")) if len(referenced) else "",
            identity=identity(path, "RTDOSE", dataset),
        )


def _part(dataset: Dataset) -> tuple[int | None, tuple[int, int] | None]:
    """Return the beam and the control points that a dose is of."""
    if str(dataset.DoseSummationType) in WHOLE:
        return None, None
    beam = dataset.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence[0].ReferencedBeamSequence[0]
    if str(dataset.DoseSummationType) == "BEAM":
        return int(beam.ReferencedBeamNumber), None
    points = beam.ReferencedControlPointSequence[0]
    return int(beam.ReferencedBeamNumber), (
        int(points.ReferencedStartControlPointIndex),
        int(points.ReferencedStopControlPointIndex),
    )


def _image(path: Path, dataset: Dataset) -> Any:
    import SimpleITK

    voxels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames", 1))
    if not 0 < voxels <= MAX_VOXELS:
        raise BadPlan(f"{path}: the dose grid has {voxels} voxels; 1 to {MAX_VOXELS} are read")
    stored, scaling = dataset.pixel_array, float(dataset.DoseGridScaling)
    if stored.ndim != 3:
        raise BadPlan(f"{path}: the dose has {stored.ndim} dimensions; a volume of 3 is needed")
    if not 0 < scaling < float("inf"):
        raise BadPlan(f"{path}: DoseGridScaling is {scaling:g}; a number above 0 is needed")
    columns, rows = np.reshape([float(v) for v in dataset.ImageOrientationPatient], (2, 3))
    if not np.allclose([columns @ columns, rows @ rows, columns @ rows], (1, 1, 0), atol=1e-3):
        raise BadPlan(f"{path}: ImageOrientationPatient is not two orthogonal unit vectors")
    normal = np.cross(columns, rows)
    origin = np.array([float(v) for v in dataset.ImagePositionPatient])
    offsets, step = _offsets(path, dataset, len(stored))
    dose = (stored * scaling).astype(np.float32)
    if step < 0:
        dose, offsets, step = dose[::-1], offsets[::-1], -step
    image: Any = SimpleITK.GetImageFromArray(np.ascontiguousarray(dose))
    row_mm, column_mm = (float(v) for v in dataset.PixelSpacing)
    image.SetSpacing((column_mm, row_mm, step))
    image.SetOrigin((origin + normal * offsets[0]).tolist())
    image.SetDirection(np.stack([columns, rows, normal], axis=1).ravel().tolist())
    return image


def _offsets(path: Path, dataset: Dataset, frames: int) -> tuple[NDArray[np.float64], float]:
    """Return how far each plane lies along the normal from ImagePositionPatient, and the step between two, mm.

    GridFrameOffsetVector begins at 0, or, of transverse planes, holds their patient z (PS3.3 C.8.8.3.2).
    """
    at = np.array([float(v) for v in dataset.GridFrameOffsetVector])
    steps = np.diff(at)
    if len(at) != frames or frames < 2 or not (np.abs(steps - steps[0]) <= EVEN_MM).all() or abs(steps[0]) < EVEN_MM:
        raise BadPlan(f"{path}: GridFrameOffsetVector has {len(at)} planes; {frames} evenly spaced ones are needed")
    away = at if at[0] == 0 else at - float(dataset.ImagePositionPatient[2])
    if abs(away[0]) > EVEN_MM:
        raise BadPlan(f"{path}: GridFrameOffsetVector begins at {at[0]:g} mm; 0 or ImagePositionPatient's z is needed")
    return away, float((at[-1] - at[0]) / (len(at) - 1))


def check_same_grid(doses: Sequence[PlannedDose]) -> None:
    """Refuse doses on different grids. Raises `BadPlan`."""
    first, *others = doses
    for other in others:
        same = (other.image.GetSize() == first.image.GetSize()) and all(
            np.allclose(getattr(other.image, get)(), getattr(first.image, get)(), atol=1e-3)
            for get in ("GetOrigin", "GetSpacing", "GetDirection")
        )
        if not same:
            raise BadPlan(f"{other.identity.path}: its dose grid is not that of {first.identity.path.name}")
