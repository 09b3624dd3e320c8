"""Tracked motion, decisions and beam as a structured report: TID 1500, written by highdicom.

A group for each target and frame: the tracked contour in the patient, the displacement of its centre, and what the
engine decided; a group for each period of beam. What is unknown is left out. Names without a code of their own in
DICOM or SNOMED have one of a private scheme, as PS3.16 section 8 allows.

Beam is here and not in an RT Beams Treatment Record, which must state what the engine does not know: the type of
radiation, the machine's leaf pairs, and the delivered meterset at each control point (PS3.3 C.8.8.21, type 1). Copied
from the plan they would be what was planned, under the name of what was delivered.

Source: DICOM PS3.16 TID 1500, 1410, 1501 and 1502; highdicom (doi:10.1007/s10278-022-00683-y).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from highdicom import UID, sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cinegate.exports.dicom.cine import frame_numbers
from cinegate.exports.dicom.study import MANUFACTURER, ZONE, Study
from gating.analysis.motion import inside
from gating.geometry.plane import ImagePlane
from gating.messages import FrameHeader, TargetEstimate

SCHEME: Final = "99CINEGATE"
_CODES: Final = {
    "lr_mm": "Displacement of the target's centre to the left",
    "ap_mm": "Displacement of the target's centre to posterior",
    "si_mm": "Displacement of the target's centre to superior",
    "out_fraction": "Fraction of the target outside its gating boundary",
    "confidence": "Probability that the tracked target is where it is shown",
    "status": "Status of the tracker",
    "gate": "Decision on the beam",
    "reason": "Reason of the decision",
    "beam": "Beam at the moment of the frame",
    "beam_begin_s": "Begin of the beam, from the first frame",
    "beam_length_s": "Length of the beam's period",
    "beam_known_by": "How the beam is known",
    "beam_kind": "Kind of the beam line",
    "first_frame": "Acquisition of the first frame",
    "gating": "Gating by cine MR",
}
_DISPLACEMENT: Final = ("lr_mm", "ap_mm", "si_mm")


def motion_report(study: Study, cines: Mapping[str, Dataset], number: int) -> Dataset:
    """Return the report of all targets, whose images are the objects of the planes.

    Parameters
    ----------
    cines
        The object of each plane.
    """
    content = sr.MeasurementReport(
        observation_context=_observer(),
        procedure_reported=_code("gating"),
        imaging_measurements=[*_targets(study, cines), *_beam_periods(study)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    shared = study.shared(number, "SR", "tracked motion, gate and beam")
    taken = ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number", "manufacturer")
    made: Dataset = sr.Comprehensive3DSR(
        evidence=list(cines.values()),
        content=content[0],
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="cinegate", responsible_organization="cinegate")],
        **{key: shared[key] for key in (*taken, "series_description", "software_versions", "manufacturer_model_name")},
    )
    made.TimezoneOffsetFromUTC = ZONE
    made.StudyDescription = next(iter(cines.values())).StudyDescription
    return made


def _observer() -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=UID(), name="cinegate", manufacturer_name=MANUFACTURER, model_name=version("cinegate")
    )
    context = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return sr.ObservationContext(observer_device_context=context)


def _targets(study: Study, cines: Mapping[str, Dataset]) -> Iterator[Any]:
    session = study.session
    beam_ns = np.array(session.beam_on_ns, float).reshape(-1, 2)
    numbers = {plane: frame_numbers(study, plane) for plane in cines}
    for target in session.motions:
        uid = UID()
        for one, header, away_mm in session.estimates(target):
            beam_on = bool(inside(np.array([header.acquired_on_publish_clock_ns]), beam_ns)[0])
            shared: dict[str, Any] = {
                "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=target),
                "time_point_context": _time_point(study, header),
                "measurements": list(_measurements(one, away_mm)) or None,
                "qualitative_evaluations": [*_decisions(one), *_beam_at(study, beam_on)],
            }
            if len(one.contour_px) > 2:
                yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    referenced_region=_region(study, one, header), **shared
                )
            else:
                image = _image(cines[header.plane], numbers[header.plane][header.sequence])
                yield sr.MeasurementsAndQualitativeEvaluations(source_images=[image], **shared)


def _beam_periods(study: Study) -> Iterator[Any]:
    session = study.session
    for count, (begin_ns, end_ns) in enumerate(session.beam_on_ns, start=1):
        yield sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=UID(), identifier=f"beam {count}"),
            measurements=[
                sr.Measurement(_code("beam_begin_s"), _offset_s(study, begin_ns), codes.UCUM.Second),
                sr.Measurement(_code("beam_length_s"), (end_ns - begin_ns) / 1e9, codes.UCUM.Second),
            ],
            qualitative_evaluations=[
                sr.QualitativeEvaluation(_code("beam_known_by"), _said(session.beam_known_by)),
                sr.QualitativeEvaluation(_code("beam_kind"), _said(session.data.beam_kind)),
            ],
        )


def _offset_s(study: Study, at_ns: int) -> float:
    """Return a time on the recorder's clock in seconds after the first frame was acquired, to the microsecond."""
    return (study.session.wall(at_ns) - study.began) / timedelta(seconds=1)


def _time_point(study: Study, header: FrameHeader) -> sr.TimePointContext:
    offset = _offset_s(study, header.acquired_on_publish_clock_ns)
    return sr.TimePointContext(
        time_point=f"frame {header.sequence}",
        time_point_order=header.sequence,
        temporal_offset_from_event=sr.LongitudinalTemporalOffsetFromEvent(
            offset, codes.UCUM.Second, _code("first_frame")
        ),
    )


def _measurements(one: TargetEstimate, away_mm: NDArray[np.float64]) -> Iterator[sr.Measurement]:
    for name, value in (
        *zip(_DISPLACEMENT, away_mm, strict=True),
        ("out_fraction", one.target_out_fraction),
        ("confidence", one.confidence),
    ):
        if np.isfinite(value):
            unit = codes.UCUM.Millimeter if name in _DISPLACEMENT else codes.UCUM.NoUnits
            yield sr.Measurement(_code(name), round(float(value), 6), unit)


def _decisions(one: TargetEstimate) -> Iterator[sr.QualitativeEvaluation]:
    yield sr.QualitativeEvaluation(_code("status"), _said(one.status))
    yield sr.QualitativeEvaluation(_code("gate"), _said(str(one.gate)))
    yield sr.QualitativeEvaluation(_code("reason"), _said(one.reason))


def _beam_at(study: Study, on: bool) -> Iterator[sr.QualitativeEvaluation]:
    if study.session.beam_known_by:
        yield sr.QualitativeEvaluation(_code("beam"), _said("on" if on else "off"))


def _region(study: Study, one: TargetEstimate, header: FrameHeader) -> sr.ImageRegion3D:
    plane = ImagePlane.of(header)
    points = [plane.to_lps_mm(x, y) for x, y in (*one.contour_px, one.contour_px[0])]
    return sr.ImageRegion3D("POLYGON", np.array(points), study.frame_of_reference)


def _image(cine: Dataset, frame: int) -> sr.SourceImageForMeasurementGroup:
    return sr.SourceImageForMeasurementGroup(cine.SOPClassUID, cine.SOPInstanceUID, [frame])


def _code(name: str) -> sr.CodedConcept:
    return sr.CodedConcept(name, SCHEME, _CODES[name])


def _said(word: str) -> sr.CodedConcept:
    return sr.CodedConcept(word or "unknown", SCHEME, word.replace("_", " ") or "unknown")
