"""The water plan as DICOM: RTPLAN, RTDOSE of the plan and of each beam, RTSTRUCT. The patient is a phantom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, RTDoseStorage, RTPlanStorage, RTStructureSetStorage, generate_uid

from drivers.phantom.water_plan import WaterPlan

LEAF_MM: Final = 5.0
LEAF_PAIRS: Final = 40
CONTOUR_GAP_MM: Final = 2.0
_ROUND: Final = np.linspace(0, 2 * np.pi, 96, endpoint=False)
DUODENUM_MM: Final = (38.0, 10.0, 10.0, 60.0)
"""An organ at risk: a cylinder along the patient, x and y of its axis, radius and length."""

Points = NDArray[np.float64]


class PlanFiles:
    """The objects of one plan, which refer to each other.

    Parameters
    ----------
    plan
        The plan to write.
    """

    def __init__(self, plan: WaterPlan) -> None:
        self._plan = plan
        self._study, self._frame, self._made = generate_uid(), generate_uid(), datetime.now().astimezone()
        self._uids: dict[str, Any] = {kind: generate_uid() for kind in ("RTPLAN", "RTSTRUCT")}

    def write(self, folder: Path) -> list[Path]:
        """Write `plan.dcm`, `structures.dcm`, `dose.dcm` and `dose_beam_N.dcm` to a folder, which is made.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        grids = self._plan.beam_grids()
        objects = {"plan.dcm": self.rtplan(), "structures.dcm": self.rtstruct()}
        objects["dose.dcm"] = self.rtdose(sum(grids), None)
        objects |= {f"dose_beam_{k}.dcm": self.rtdose(grid, k) for k, grid in enumerate(grids, 1)}
        for name, dataset in objects.items():
            dataset.save_as(folder / name, enforce_file_format=True)
        return [folder / name for name in objects]

    def _object(self, storage: Any, modality: str, uid: Any, series: str) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, uid
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = storage, uid, modality
        dataset.PatientName, dataset.PatientID = "Phantom^Water", "WATER-PHANTOM"
        dataset.PatientBirthDate, dataset.PatientSex = "", ""
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self._study, generate_uid()
        dataset.StudyDate, dataset.StudyTime = f"{self._made:%Y%m%d}", f"{self._made:%H%M%S}"
        dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
        dataset.SeriesNumber, dataset.SeriesDescription, dataset.OperatorsName = "1", series, ""
        dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.StudyDate, dataset.StudyTime
        dataset.Manufacturer, dataset.ManufacturerModelName = "cinegate", "water phantom"
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = self._frame, ""
        return dataset

    def rtdose(self, dose_gy: Any, beam: int | None) -> FileDataset:
        """Return the dose of the plan, or of a beam by its number."""
        dataset = self._object(RTDoseStorage, "RTDOSE", generate_uid(), "planned dose")
        x, y, z = self._plan.grid_axes_mm()
        scaling = f"{float(np.max(dose_gy)) / 65_534:.9e}"
        stored = np.rint(np.asarray(dose_gy, float) / float(scaling)).clip(0, 65_535).astype("<u2")
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.NumberOfFrames, dataset.Rows, dataset.Columns = len(z), len(y), len(x)
        dataset.FrameIncrementPointer = 0x3004000C
        dataset.PixelSpacing = [self._plan.spacing_mm] * 2
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [x[0], y[0], z[0]]
        dataset.SliceThickness, dataset.InstanceNumber = self._plan.spacing_mm, str(1 + (beam or 0))
        dataset.GridFrameOffsetVector = [round(float(one - z[0]), 4) for one in z]
        dataset.DoseUnits, dataset.DoseType, dataset.DoseGridScaling = "GY", "PHYSICAL", scaling
        dataset.DoseSummationType = "PLAN" if beam is None else "BEAM"
        dataset.TissueHeterogeneityCorrection = "IMAGE"
        referenced = self._reference(RTPlanStorage, self._uids["RTPLAN"])
        if beam is not None:
            group = _item(ReferencedFractionGroupNumber=1)
            group.ReferencedBeamSequence = Items([_item(ReferencedBeamNumber=beam)])
            referenced.ReferencedFractionGroupSequence = Items([group])
        dataset.ReferencedRTPlanSequence = Items([referenced])
        dataset.PixelData = stored.tobytes()
        return dataset

    def rtplan(self) -> FileDataset:
        """Return the plan."""
        plan = self._plan
        dataset = self._object(RTPlanStorage, "RTPLAN", self._uids["RTPLAN"], "plan")
        dataset.RTPlanLabel, dataset.RTPlanDate, dataset.RTPlanTime = "water", dataset.StudyDate, dataset.StudyTime
        dataset.RTPlanGeometry, dataset.ApprovalStatus = "PATIENT", "UNAPPROVED"
        dataset.ReferencedStructureSetSequence = Items([self._reference(RTStructureSetStorage, self._uids["RTSTRUCT"])])
        dataset.DoseReferenceSequence = Items([_item(
            DoseReferenceNumber=1, DoseReferenceStructureType="VOLUME", DoseReferenceType="TARGET",
            ReferencedROINumber=2, TargetPrescriptionDose=plan.prescribed_gy,
        )])  # fmt: skip
        dataset.PatientSetupSequence = Items([_item(PatientSetupNumber=1, PatientPosition="HFS")])
        mu, gy = plan.beam_mu(), plan.isocentre_gy() / plan.fractions
        group = _item(FractionGroupNumber=1, NumberOfFractionsPlanned=plan.fractions,
                      NumberOfBeams=plan.beams, NumberOfBrachyApplicationSetups=0)  # fmt: skip
        group.ReferencedBeamSequence = Items(
            _item(ReferencedBeamNumber=k, BeamMeterset=round(mu, 4), BeamDose=round(gy, 4))
            for k in range(1, plan.beams + 1)
        )
        dataset.FractionGroupSequence = Items([group])
        dataset.BeamSequence = Items([self._beam(k, angle) for k, angle in enumerate(plan.angles_deg, 1)])
        return dataset

    def _beam(self, number: int, angle_deg: float) -> Dataset:
        beam = _item(
            BeamNumber=number, BeamName=f"{angle_deg:g} degrees", BeamType="STATIC", RadiationType="PHOTON",
            TreatmentMachineName="phantom", PrimaryDosimeterUnit="MU", SourceAxisDistance=1000,
            TreatmentDeliveryType="TREATMENT", NumberOfWedges=0, NumberOfCompensators=0, NumberOfBoli=0,
            NumberOfBlocks=0, FinalCumulativeMetersetWeight=1, NumberOfControlPoints=2, ReferencedPatientSetupNumber=1,
            Manufacturer="cinegate",
        )  # fmt: skip
        edges = LEAF_MM * (np.arange(LEAF_PAIRS + 1) - LEAF_PAIRS / 2)
        leaves = _item(RTBeamLimitingDeviceType="MLCX", NumberOfLeafJawPairs=LEAF_PAIRS)
        leaves.LeafPositionBoundaries = edges.tolist()
        jaws = [_item(RTBeamLimitingDeviceType=axis, NumberOfLeafJawPairs=1) for axis in ("ASYMX", "ASYMY")]
        beam.BeamLimitingDeviceSequence = Items([*jaws, leaves])
        radius = self._plan.field_radius_mm
        open_mm = np.sqrt(np.maximum(radius**2 - (edges[:-1] + LEAF_MM / 2) ** 2, 0)).round(2)
        places = [("ASYMX", [-radius, radius]), ("ASYMY", [-radius, radius]), ("MLCX", [*(-open_mm), *open_mm])]
        first = _item(
            ControlPointIndex=0, CumulativeMetersetWeight=0, NominalBeamEnergy=6, GantryAngle=angle_deg,
            GantryRotationDirection="NONE", BeamLimitingDeviceAngle=0, BeamLimitingDeviceRotationDirection="NONE",
            PatientSupportAngle=0, PatientSupportRotationDirection="NONE", TableTopEccentricAngle=0,
            TableTopEccentricRotationDirection="NONE", TableTopVerticalPosition=None,
            TableTopLongitudinalPosition=None, TableTopLateralPosition=None, IsocenterPosition=[0, 0, 0],
        )  # fmt: skip
        first.BeamLimitingDevicePositionSequence = Items(
            [_item(RTBeamLimitingDeviceType=kind, LeafJawPositions=list(map(float, at))) for kind, at in places]
        )
        beam.ControlPointSequence = Items([first, _item(ControlPointIndex=1, CumulativeMetersetWeight=1)])
        return beam

    def rtstruct(self) -> FileDataset:
        """Return the structures: target, planning target, the cylinder, and an organ at risk."""
        plan = self._plan
        dataset = self._object(RTStructureSetStorage, "RTSTRUCT", self._uids["RTSTRUCT"], "structures")
        dataset.StructureSetLabel, dataset.ApprovalStatus = "water", "UNAPPROVED"
        dataset.StructureSetDate, dataset.StructureSetTime = dataset.StudyDate, dataset.StudyTime
        dataset.ReferencedFrameOfReferenceSequence = Items([_item(FrameOfReferenceUID=self._frame)])
        x, y, radius, length = DUODENUM_MM
        shapes = {
            "GTV": ("GTV", _sphere(plan.target_radius_mm)),
            "PTV": ("PTV", _sphere(plan.ptv_radius_mm)),
            "BODY": ("EXTERNAL", _cylinder(0, 0, plan.cylinder_radius_mm, plan.cylinder_length_mm)),
            "Duodenum": ("ORGAN", _cylinder(x, y, radius, length)),
        }
        rois, contours, observations = [], [], []
        for number, (name, (kind, outlines)) in enumerate(shapes.items(), 1):
            rois.append(_item(ROINumber=number, ReferencedFrameOfReferenceUID=self._frame, ROIName=name,
                              ROIGenerationAlgorithm="AUTOMATIC"))  # fmt: skip
            contour = _item(ReferencedROINumber=number, ROIDisplayColor=[255, 60 * number, 0])
            contour.ContourSequence = Items(list(_contours(outlines)))
            contours.append(contour)
            observations.append(_item(ObservationNumber=number, ReferencedROINumber=number,
                                      RTROIInterpretedType=kind, ROIInterpreter=""))  # fmt: skip
        dataset.StructureSetROISequence, dataset.ROIContourSequence = Items(rois), Items(contours)
        dataset.RTROIObservationsSequence = Items(observations)
        return dataset

    def _reference(self, storage: Any, uid: str) -> Dataset:
        return _item(ReferencedSOPClassUID=storage, ReferencedSOPInstanceUID=uid)


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def _sphere(radius_mm: float) -> list[Points]:
    """Return contours in the middle of slabs that fill a sphere."""
    slabs = max(4, round(2 * radius_mm / CONTOUR_GAP_MM))
    heights = radius_mm * (2 * (np.arange(slabs) + 0.5) / slabs - 1)
    return [_ring(0, 0, float(np.sqrt(radius_mm**2 - z**2)), float(z)) for z in heights]


def _cylinder(x_mm: float, y_mm: float, radius_mm: float, length_mm: float) -> list[Points]:
    heights = length_mm * ((np.arange(10) + 0.5) / 10 - 0.5)
    return [_ring(x_mm, y_mm, radius_mm, float(z)) for z in heights]


def _ring(x_mm: float, y_mm: float, radius_mm: float, z_mm: float) -> Points:
    """Return a polygon with the area of a circle."""
    corner_mm = radius_mm * np.sqrt(2 * np.pi / (len(_ROUND) * np.sin(2 * np.pi / len(_ROUND))))
    x, y = x_mm + corner_mm * np.cos(_ROUND), y_mm + corner_mm * np.sin(_ROUND)
    return np.stack([x, y, np.full(len(_ROUND), z_mm)], axis=1)


def _contours(outlines: Sequence[Points]) -> Iterable[Dataset]:
    for outline in outlines:
        yield _item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(outline),
                    ContourData=outline.round(3).ravel().tolist())  # fmt: skip
