"""A DICOM file without identity, by the Basic Application Level Confidentiality Profile (PS3.15, annex E).

The table of attributes is that of the package dicom-anonymizer (PS3.15 of 2026c, table E.1-1). Its own functions reach
the top level of a data set only, so the table is applied here, to every level. Beyond the profile:

* attributes with text that neither the profile nor `KEPT_TEXTS` lists are emptied, and private ones removed;
* every UID is replaced, but those that the standard assigns (classes, transfer syntaxes);
* dates and times move by the patient's constant (option 113107); those of the patient, such as the birth date, go;
* overlays and curves go, and compressed pixels are unpacked, since their streams may carry comments;
* of bulk data only the image's own pixels stay, which were looked at, without the bits that are not part of a value.

Objects whose content is text or a page, such as reports, secondary captures and encapsulated documents, are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cinegate.deidentify.dicom_times import TEMPORAL, move_times
from cinegate.deidentify.identities import DeidentifyError, Patient
from cinegate.deidentify.messages import STANDARD_NAME
from cinegate.deidentify.pixels import clear_unused_bits, looks_like_text
from drivers.errors import BadFrame, DriverError, Unavailable
from drivers.extras import missing
from gating.settings.private_file import private_file

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset, FileDataset

PROFILE: Final = "dicomfields_2026c"
COPIED_CLASSES: Final = frozenset(
    (
        "MRImageStorage", "EnhancedMRImageStorage", "LegacyConvertedEnhancedMRImageStorage", "CTImageStorage",
        "EnhancedCTImageStorage", "LegacyConvertedEnhancedCTImageStorage", "RTImageStorage", "SegmentationStorage",
        "RTStructureSetStorage", "RTPlanStorage", "RTDoseStorage", "RTBeamsTreatmentRecordStorage",
        "SpatialRegistrationStorage", "DeformableSpatialRegistrationStorage",
        "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
    )
)  # fmt: skip
"""Kinds of objects that are copied."""
KEPT_TEXTS: Final = frozenset(
    (
        "Manufacturer", "ManufacturerModelName", "SequenceName", "CodingSchemeDesignator",
        "MappingResource", "ContextIdentifier", "PulseSequenceName", "ConvolutionKernel", "TransmitCoilName",
        "ReceiveCoilName", "ROIPhysicalProperty", "ImagedNucleus", "ResonantNucleus", "RescaleType",
    )
)  # fmt: skip
"""Texts that name machines, sequences and coding schemes; the profile leaves them too."""
_SCHEMES: Final = frozenset(("DCM", "SCT", "SRT", "UCUM", "FMA", "LN", "MDC", "RADLEX", "NCIt", "UMLS"))
"""Coding schemes that are published; the codes of others may be a site's own words."""
_CODES: Final = frozenset(("CodeValue", "CodeMeaning"))
_STANDARD_UIDS: Final = "1.2.840.10008."
_TEXTS: Final = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UN"))
_BYTES: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW"))
_NAMES: Final = frozenset(("ROIName", "StructureSetLabel", "RTPlanLabel", "BeamName", "DoseReferenceDescription"))
_PIXEL_GROUP, _OVERLAY_GROUPS, _CURVE_GROUPS = 0x7FE0, range(0x6000, 0x6100), range(0x5000, 0x5100)
_METHOD: Final = "PS3.15 basic profile; dates modified; pixels not cleaned"
_OPTIONS: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
_DEVICE_KEPT: Final = (("113109", "Retain Device Identity Option"),)


class DicomCleaner:
    """Takes the identity out of the DICOM files of one patient.

    Parameters
    ----------
    patient
        Whose files they are.
    keep_texts, keep_target_names, keep_device
        Descriptions (option 113105, unclean), names of structures, and what names a device (option 113109) stay.
    allow_text_in_images
        Images are copied though they look as if text were burnt into them.

    Raises
    ------
    Unavailable
        If dicom-anonymizer is not installed.
    """

    def __init__(
        self,
        patient: Patient,
        *,
        keep_texts: bool = False,
        keep_target_names: bool = False,
        keep_device: bool = False,
        allow_text_in_images: bool = False,
    ) -> None:
        self._patient, self._allow_text_in_images = patient, allow_text_in_images
        self._keep_texts, self._keep_target_names, self._keep_device = keep_texts, keep_target_names, keep_device
        self._actions = _profile()
        self._patient_id: str | None = None

    def copy(self, original: Path, copy: Path) -> None:
        """Write a copy without identity.

        Raises
        ------
        DeidentifyError
            If the file is none that can be copied, or its pixels may hold a name; one sentence.
        OSError
            If it cannot be read, or the copy cannot be written.
        """
        try:
            dataset = self._cleaned(original)
            private_file(copy)
            dataset.save_as(copy, enforce_file_format=True)
        except (DeidentifyError, DriverError, OSError):
            copy.unlink(missing_ok=True)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged file does to its readers, the next one is copied
            copy.unlink(missing_ok=True)
            said = str(error).partition("\n")[0][:100]
            raise DeidentifyError(f"is no readable DICOM file: {type(error).__name__}: {said}") from None

    def _cleaned(self, original: Path) -> FileDataset:
        dataset = _read(original)
        patient_id = str(dataset.get("PatientID", ""))
        if patient_id != (self._patient_id or patient_id):
            raise DeidentifyError("is of another patient than those before it; give each patient a folder of their own")
        self._patient_id = patient_id
        self._look_at_pixels(dataset)
        _unpack(dataset)
        clear_unused_bits(dataset)
        self.clean(dataset)
        return dataset

    def clean(self, dataset: FileDataset) -> None:
        """Take the identity out of a data set, in place, and note that and how it was done (PS3.15, E.1.1)."""
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.sequence import Sequence

        self._clean_level(dataset, looked_at="PixelData")
        dataset.PatientID = dataset.PatientName = self._patient.pseudonym
        dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", _METHOD
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
        codes = []
        for value, meaning in (*_OPTIONS, *(_DEVICE_KEPT if self._keep_device else ())):
            code = Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
            codes.append(code)
        dataset.DeidentificationMethodCodeSequence = Sequence(codes)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
        meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
        dataset.file_meta, dataset.preamble = meta, b"\0" * 128

    def _clean_level(self, dataset: Dataset, looked_at: str = "") -> None:
        dataset.remove_private_tags()
        move_times(dataset, self._patient.shift_ns)
        for element in list(dataset):
            if element.tag.group == _PIXEL_GROUP:
                if element.keyword != looked_at:
                    del dataset[element.tag]
                continue
            self._clean_element(dataset, element)
            if element.VR == "SQ" and element.tag in dataset:
                for item in dataset[element.tag].value:
                    self._clean_level(item)

    def _clean_element(self, dataset: Dataset, element: DataElement) -> None:
        group, vr, keyword = element.tag.group, element.VR, element.keyword
        action = self._actions.get((group, element.tag.element), "")
        if group in _OVERLAY_GROUPS or group in _CURVE_GROUPS:
            del dataset[element.tag]
        elif vr == "UI":
            element.value = self._uids(element.value)
        elif vr in TEMPORAL and group != 0x0010:
            return  # moved
        elif self._may_stay(keyword, element) or (
            keyword in _CODES and dataset.get("CodingSchemeDesignator") in _SCHEMES
        ):
            return
        elif keyword in _CODES:
            _blank(element, replace=True)
        elif keyword in _NAMES and not STANDARD_NAME.fullmatch(str(element.value)):
            kind = "structure" if keyword == "ROIName" else "n"  # as in logs; the others hold 16 characters
            element.value = self._patient.token(kind, str(element.value))
        elif action == "X":
            del dataset[element.tag]
        elif action in ("Z", "D"):
            _blank(element, replace=action == "D")
        elif vr in _TEXTS or not _BYTES.isdisjoint(vr.split(" or ")):
            _blank(element, replace=False)

    def _may_stay(self, keyword: str, element: DataElement) -> bool:
        if keyword in KEPT_TEXTS:
            return True
        if keyword in _NAMES:
            return self._keep_target_names or STANDARD_NAME.fullmatch(str(element.value)) is not None
        if self._keep_device and keyword in ("DeviceSerialNumber", "StationName", "SoftwareVersions", "DeviceUID"):
            return True
        return self._keep_texts and keyword.endswith(("Description", "Comments", "ProtocolName"))

    def _uids(self, value: Any) -> Any:
        several = [value] if isinstance(value, str) else list(value or [])
        kept = [one if not one or one.startswith(_STANDARD_UIDS) else self._patient.uid(one) for one in several]
        return kept if len(kept) > 1 else "".join(kept)

    def _look_at_pixels(self, dataset: FileDataset) -> None:
        if "PixelData" not in dataset or self._allow_text_in_images:
            return
        if str(dataset.get("BurnedInAnnotation", "NO")).upper() == "YES":
            raise DeidentifyError("BurnedInAnnotation is YES: the pixels hold text, which this does not remove")
        from drivers.formats.dicom_pixels import stored_values

        frames = stored_values(dataset)
        for index in sorted({0, len(frames) // 2, len(frames) - 1}):
            if looks_like_text(frames[index]):
                raise DeidentifyError(f"image {index} looks as if text were burnt into it; look at it yourself")


def _profile() -> dict[tuple[int, int], str]:
    """Return what the profile does with each attribute: remove it (X), empty it (Z), replace it (D) or its UIDs (U).

    Where it allows several, that is taken which keeps an object valid, as dicom-anonymizer does.
    """
    try:
        from dicomanonymizer import simpledicomanonymizer as profile
    except ModuleNotFoundError as error:
        raise Unavailable(missing("de-identifying DICOM", str(error.name), "archive")) from None
    letters = {
        profile.delete: "X", profile.empty: "Z", profile.replace: "D", profile.delete_or_empty: "Z",
        profile.empty_or_replace: "D", profile.delete_or_replace: "D", profile.delete_or_empty_or_replace: "D",
        profile.delete_or_empty_or_replace_UID: "U", profile.replace_UID: "U",
    }  # fmt: skip
    table = profile.initialize_actions(PROFILE)
    return {(tag[0], tag[1]): letters[action] for tag, action in table.items() if len(tag) == 2}


def _read(path: Path) -> FileDataset:
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import UID

    try:
        dataset = pydicom.dcmread(path)
        kind = UID(str(dataset.get("SOPClassUID", "")))
    except (InvalidDicomError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError, EOFError) as error:
        raise DeidentifyError(f"is no readable DICOM file: {error}") from None
    if kind.keyword not in COPIED_CLASSES:
        raise DeidentifyError(f"is {kind.name or 'of no class'}, which is not copied: its content may name the patient")
    return dataset


def _unpack(dataset: FileDataset) -> None:
    if "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID.is_compressed:
        try:
            dataset.decompress(generate_instance_uid=False)
        except (BadFrame, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
            raise DeidentifyError(f"its pixels cannot be unpacked: {error}") from None


def _blank(element: DataElement, *, replace: bool) -> None:
    """Empty an element, or give it a value that says nothing where it needs one."""
    from pydicom.sequence import Sequence

    match element.VR:
        case "SQ":
            element.value = Sequence([])
        case "LO" | "SH" | "LT" | "ST" | "UT" | "UC" | "PN" | "CS" | "AE" if replace:
            element.value = "REMOVED"
        case "OB" | "OW" | "UN" | "OD" | "OF" | "OL" | "OV":
            element.value = b""
        case "US" | "SS" | "UL" | "SL" | "FL" | "FD" | "SV" | "UV" if replace:
            element.value = 0
        case _:
            element.value = None
