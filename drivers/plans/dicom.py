"""DICOM objects of treatment planning, read with every refusal as one sentence, and checked to belong together."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drivers.errors import BadFrame, BadPlan, BadRecording
from drivers.formats.bounded import read_bounded

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_BYTES: Final = 2**30
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whose and in which coordinates a planning object is; empty where it does not say. Never printed."""

    path: Path
    kind: str
    patient: str
    frame_of_reference: str


def read_object(path: Path, kind: str) -> Dataset:
    """Return a DICOM object of a modality: RTDOSE, RTPLAN or RTSTRUCT.

    Raises
    ------
    BadPlan
        One sentence.
    """
    import pydicom

    try:
        data = read_bounded(path, MAX_BYTES)
        if _DEFLATED in data[:4096]:
            raise BadFrame("TransferSyntaxUID is deflated, which could unpack to any size")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(data))
            found = str(dataset.get("Modality", ""))
    except Exception as error:  # noqa: BLE001 (another library reads hostile input here, and may raise anything)
        raise BadPlan(f"{path}: is not a readable {kind}: {str(error)[:160]}") from None
    if found != kind:
        raise BadPlan(f"{path}: Modality is {found[:20]!r}; {kind} is needed")
    return dataset


@contextlib.contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a hostile object raises while it is looked at into one sentence, `BadPlan`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BadPlan, BadRecording):
        raise
    except Exception as error:  # noqa: BLE001 (as above)
        raise BadPlan(f"{path}: is not a readable {kind}: {type(error).__name__}: {str(error)[:120]}") from None


def identity(path: Path, kind: str, dataset: Dataset) -> Identity:
    """Return whose a planning object is, and its FrameOfReferenceUID; a structure set's stands in its sequence."""
    drawn_in = str(dataset.get("FrameOfReferenceUID", ""))
    if not drawn_in:
        listed: Any = dataset.get("ReferencedFrameOfReferenceSequence") or ()
        drawn_in = str(listed[0].get("FrameOfReferenceUID", "")) if len(listed) == 1 else ""
    return Identity(path, kind, str(dataset.get("PatientID", "") or "").strip(), drawn_in.strip())


def check_belong_together(objects: Sequence[Identity]) -> None:
    """Refuse planning objects of different patients or frames of reference. What is empty agrees with everything.

    Raises
    ------
    BadPlan
        One sentence, without the patients' identifiers.
    """
    first, *others = objects
    for other in others:
        if first.patient and other.patient and first.patient != other.patient:
            raise BadPlan(
                f"{other.path}: PatientID of this {other.kind} is not that of the {first.kind} {first.path.name}"
            )
        here, there = first.frame_of_reference, other.frame_of_reference
        if here and there and here != there:
            raise BadPlan(
                f"{other.path}: FrameOfReferenceUID of this {other.kind} ends in {there[-8:]}, that of the "
                f"{first.kind} {first.path.name} in {here[-8:]}; they must first be registered to each other"
            )
