"""Whose session it was: patient fields given by the user or copied from a DICOM file of the patient, never invented."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from cinegate.exports.session import ExportedSession
from drivers.errors import BadFrame, Unavailable
from drivers.formats.bounded import read_bounded
from drivers.formats.dicom import scan_digest
from gating.analysis.sites import planned_sites
from gating.errors import CinegateError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_BYTES: Final = 256 * 2**20
LONGEST: Final = 64
_DATE: Final = re.compile(r"\d{8}")
_SEXES: Final = ("M", "F", "O")
_FIELDS: Final = {
    "patient_id": "PatientID", "patient_name": "PatientName", "birth_date": "PatientBirthDate", "sex": "PatientSex",
}  # fmt: skip


class IdentityError(CinegateError, ValueError):
    """Patient, plan and cine do not belong together; the text is one sentence."""


class Identity(Struct, frozen=True, kw_only=True):
    """The patient; what is not known is empty."""

    patient_id: str
    patient_name: str = ""
    birth_date: str = ""
    """YYYYMMDD."""
    sex: str = ""
    frame_of_reference: str = ""
    """FrameOfReferenceUID of the cine; empty if it is not known."""


def identify(
    session: ExportedSession,
    *,
    patient_id: str = "",
    patient_name: str = "",
    patient_from: Path | None = None,
    cine_from: Path | None = None,
) -> Identity:
    """Return whose session it was.

    Parameters
    ----------
    patient_id, patient_name
        As the user gives them.
    patient_from
        A plan or any other DICOM file of the patient, from which the patient's fields are copied.
    cine_from
        An image of the session's own cine series as the scanner sent it, from which the frame of reference is copied.

    Raises
    ------
    IdentityError
        If nobody is named, or two of these contradict each other or the session.
    Unavailable
        If a file is not readable DICOM.
    """
    given = Identity(patient_id=patient_id, patient_name=patient_name)
    plan, image = (None if path is None else _read(path) for path in (patient_from, cine_from))
    if plan is not None:
        given = _agreed(given, _patient(plan), "the file of the patient")
        _check_plan(session, plan)
    if image is not None:
        given = _agreed(given, _patient(image), "the image of the cine")
        _check_cine(session, image)
        given = replace(given, frame_of_reference=_frame_of_reference(image))
    if plan is not None and image is not None:
        _check_frames_of_reference(plan, image)
    for what, text in (("PatientID", given.patient_id), ("PatientName", given.patient_name)):
        if len(text) > LONGEST or "\\" in text:
            raise IdentityError(f"{what} is {text[:80]!r}; at most {LONGEST} characters are allowed, and no backslash")
    if not given.patient_id:
        raise IdentityError("PatientID is not known; give it, or a DICOM file of the patient to copy it from")
    return given


def _read(path: Path) -> Dataset:
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(BytesIO(read_bounded(path, MAX_BYTES)), stop_before_pixels=True)
    except BadFrame as error:
        raise Unavailable(f"{path}: {error}") from None
    except Exception as error:  # noqa: BLE001 (another library reads a foreign file here, and may raise anything)
        raise Unavailable(f"{path}: is not readable DICOM: {str(error)[:120]}") from None


def _patient(dataset: Dataset) -> Identity:
    """Return the patient of a file; a date or sex that is not as the standard has it is not known."""
    fields = {field: str(dataset.get(keyword) or "") for field, keyword in _FIELDS.items()}
    fields["birth_date"] = fields["birth_date"] if _DATE.fullmatch(fields["birth_date"]) else ""
    fields["sex"] = fields["sex"] if fields["sex"] in _SEXES else ""
    return Identity(**fields)


def _agreed(given: Identity, copied: Identity, where: str) -> Identity:
    """Return both together. Raises `IdentityError` where they contradict each other."""
    merged = {}
    for field, keyword in _FIELDS.items():
        one, other = getattr(given, field), getattr(copied, field)
        if one and other and one != other:
            raise IdentityError(f"{keyword} is {one!r}, and {other!r} in {where}; one patient is needed")
        merged[field] = one or other
    return replace(given, **merged)


def _check_plan(session: ExportedSession, plan: Dataset) -> None:
    """Refuse a plan that is none of those which the session's settings name for its sites."""
    named = {site.plan for site in planned_sites(session.data) if site.plan}
    labels = [str(plan.get(key) or "") for key in ("RTPlanLabel", "RTPlanName")]
    if named and str(plan.get("Modality")) == "RTPLAN" and not named.intersection(labels):
        raise IdentityError(f"RTPlanLabel is {labels[0]!r}, and the session treated {', '.join(sorted(named))}")


def _check_cine(session: ExportedSession, image: Dataset) -> None:
    """Refuse an image of another series than the one that the source declared, where it declared one."""
    declared = {origin.rpartition(", ")[2] for origin in session.data.origins}
    digest = scan_digest(image)
    if declared and digest not in declared:
        raise IdentityError(f"the image is of series {digest}, and the session's images are of {min(declared)}")


def _check_frames_of_reference(plan: Dataset, image: Dataset) -> None:
    one, other = _frame_of_reference(plan), _frame_of_reference(image)
    if one and other and one != other:
        raise IdentityError(
            f"FrameOfReferenceUID of the plan ends in {one[-8:]}, that of the cine in {other[-8:]}; "
            "the plan must be of the session's frame of reference"
        )


def _frame_of_reference(dataset: Dataset) -> str:
    own = str(dataset.get("FrameOfReferenceUID") or "")
    items = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    return own or next((str(item.get("FrameOfReferenceUID") or "") for item in items), "")
