"""The targets and their gating boundaries, as they were drawn on the cine, as a structure set.

What kind of structure a target is (GTV, surrogate, ...) is not known, and so RTROIInterpretedType stays empty.

Source: DICOM PS3.3 A.19, C.8.8.5 (structure set), C.8.8.6 (ROI contour), C.8.8.8 (ROI observations).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage
from pydicom.valuerep import DA, TM

from cinegate.exports.dicom.cine import frame_numbers
from cinegate.exports.dicom.study import Study, decimal
from gating.geometry.plane import ImagePlane
from gating.messages import TargetReference

BOUNDARY: Final = " boundary"
_LABEL: Final = 16
_NAME: Final = 64
_STUDY_MANAGEMENT: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management: retired, and what the standard names for this reference (C.8.8.5)."""
_COLOURS: Final = ([57, 198, 255], [255, 209, 102])


def structure_set(study: Study, cines: Mapping[str, Dataset], number: int) -> Dataset:
    """Return the structure set of all targets, whose contours refer to the frames of their planes.

    Parameters
    ----------
    cines
        The object of each plane.
    """
    made = study.new(RTStructureSetStorage, number, "RTSTRUCT", "targets and gating boundaries")
    made.StructureSetLabel = study.session.session_id[:_LABEL]
    made.StructureSetDate, made.StructureSetTime = DA(study.began.date()), TM(study.began.time())
    made.OperatorsName = ""
    made.FrameOfReferenceUID = study.frame_of_reference
    made.PositionReferenceIndicator = ""
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(study, cines)]
    made.StructureSetROISequence = []
    made.ROIContourSequence = []
    made.RTROIObservationsSequence = []
    for roi, (name, contour, reference, says) in enumerate(_outlines(study), start=1):
        made.StructureSetROISequence.append(_structure(study, roi, name, says))
        made.ROIContourSequence.append(_contours(study, roi, contour, reference, cines[reference.plane]))
        made.RTROIObservationsSequence.append(_observation(roi))
    made.ApprovalStatus = "UNAPPROVED"
    return made


def image_reference(cine: Dataset, frame: int | None = None) -> Dataset:
    """Return a reference to an image, or to one of its frames."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = cine.SOPClassUID, cine.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _outlines(study: Study) -> Iterator[tuple[str, list[tuple[float, float]], TargetReference, str]]:
    """Yield name, contour in px, reference and description of every structure."""
    for target, reference in study.session.data.references.items():
        if reference.plane in study.session.planes:
            name = target.replace("\\", "/")  # in a name, DICOM takes a backslash for the end of a value
            yield name[:_NAME], reference.contour_px, reference, "target as it was drawn"
            boundary = name[: _NAME - len(BOUNDARY)] + BOUNDARY
            yield boundary, reference.boundary_px, reference, "gating boundary of the target"


def _frame_of_reference(study: Study, cines: Mapping[str, Dataset]) -> Dataset:
    of_studies, item = Dataset(), Dataset()
    of_studies.ReferencedSOPClassUID, of_studies.ReferencedSOPInstanceUID = _STUDY_MANAGEMENT, study.study_uid
    of_studies.RTReferencedSeriesSequence = []
    for cine in cines.values():
        series = Dataset()
        series.SeriesInstanceUID = cine.SeriesInstanceUID
        series.ContourImageSequence = [image_reference(cine)]
        of_studies.RTReferencedSeriesSequence.append(series)
    item.FrameOfReferenceUID = study.frame_of_reference
    item.RTReferencedStudySequence = [of_studies]
    return item


def _structure(study: Study, roi: int, name: str, says: str) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName, item.ROIDescription = roi, name, says
    item.ReferencedFrameOfReferenceUID = study.frame_of_reference
    item.ROIGenerationAlgorithm = ""
    return item


def _contours(
    study: Study, roi: int, contour_px: list[tuple[float, float]], reference: TargetReference, cine: Dataset
) -> Dataset:
    header = study.session.data.frames.get(reference.frame_sequence) or study.session.planes[reference.plane][0]
    plane = ImagePlane.of(header)
    item, contour = Dataset(), Dataset()
    frame = frame_numbers(study, reference.plane)[header.sequence]
    contour.ContourImageSequence = [image_reference(cine, frame)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(contour_px)
    contour.ContourData = [decimal(mm) for point in contour_px for mm in plane.to_lps_mm(*point)]
    item.ReferencedROINumber = roi
    item.ROIDisplayColor = _COLOURS[(roi - 1) % 2]
    item.ContourSequence = [contour] if contour_px else []
    return item


def _observation(roi: int) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = roi
    item.RTROIInterpretedType = item.ROIInterpreter = ""
    return item
