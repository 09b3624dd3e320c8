"""What all objects of one export share: patient, study, equipment, and the session that they are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from highdicom import UID
from highdicom.base import SOPClass
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM, format_number_as_ds

from cinegate.exports.dicom.identity import Identity
from cinegate.exports.session import ExportedSession
from gating.messages import FrameHeader, SourceKind

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER: Final = "cinegate (research software, not a medical device)"
ZONE: Final = "+0000"
_LONGEST_DESCRIPTION: Final = 64
_LONGEST_SHORT_STRING: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One export. Each has UIDs of its own, so that no object ever replaces another.

    Attributes
    ----------
    session, identity
        What and whose it is.
    study_uid
        Of all objects.
    frame_of_reference
        The cine's own if it is known, otherwise one that nothing else is in.
    """

    session: ExportedSession
    identity: Identity
    study_uid: str = field(default_factory=lambda: str(UID()))
    frame_of_reference: str = ""

    @classmethod
    def of(cls, session: ExportedSession, identity: Identity) -> Study:
        """Return a new study of a session."""
        return cls(session, identity, frame_of_reference=identity.frame_of_reference or str(UID()))

    @property
    def began(self) -> datetime:
        """What the first frame shows, UTC."""
        return self.moment(min(self.session.data.frames.values(), key=lambda one: one.acquired_on_publish_clock_ns))

    def moment(self, frame: FrameHeader) -> datetime:
        """Return when a frame was acquired (the centre of k-space, where it is known), UTC."""
        return self.session.wall(frame.acquired_on_publish_clock_ns)

    def shared(self, number: int, modality: str, what: str) -> dict[str, Any]:
        """Return the attributes of an object that is a series of its own, for highdicom."""
        kind = next(iter(self.session.data.frames.values())).source_kind
        said = what if kind is SourceKind.LIVE else f"{kind.upper()}: {what}"
        return {
            "study_instance_uid": self.study_uid,
            "series_instance_uid": str(UID()),
            "series_number": number,
            "sop_instance_uid": str(UID()),
            "instance_number": 1,
            "modality": modality,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": "cinegate",
            "software_versions": version("cinegate"),
            "device_serial_number": self.session.session_id[:_LONGEST_DESCRIPTION],
            "patient_id": self.identity.patient_id,
            "patient_name": self.identity.patient_name,
            "patient_birth_date": self.identity.birth_date or None,
            "patient_sex": self.identity.sex or None,
            "study_id": self.session.session_id[:_LONGEST_SHORT_STRING],
            "study_date": self.began.date(),
            "study_time": self.began.time(),
            "series_description": said[:_LONGEST_DESCRIPTION],
            "specific_character_set": "ISO_IR 192",
        }

    def new(self, sop_class: str, number: int, modality: str, what: str) -> Dataset:
        """Return an object with what every object has."""
        made: Dataset = SOPClass(
            sop_class_uid=sop_class, transfer_syntax_uid=ExplicitVRLittleEndian, **self.shared(number, modality, what)
        )
        made.TimezoneOffsetFromUTC = ZONE
        if "ContentDate" in made:
            made.ContentDate, made.ContentTime = DA(self.began.date()), TM(self.began.time())
        made.StudyDescription = f"cinegate session {self.session.session_id}"[:_LONGEST_DESCRIPTION]
        return made


def date_time(at: datetime) -> str:
    """Return a DT, to the microsecond."""
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S.%f}{ZONE}"


def decimal(value: float) -> str:
    """Return a DS: as many digits as its 16 characters hold."""
    return str(format_number_as_ds(float(value)))
