"""DICOM MR images for tests, made with pydicom."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

START_S = 10 * 3600
INTERVAL_S = 0.2
SERIES = generate_uid(entropy_srcs=["a series"])


def time_of_day(seconds: float) -> str:
    microseconds = round(seconds * 1e6)
    whole, fraction = divmod(microseconds, 1_000_000)
    return f"{whole // 3600 % 24:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{fraction:06d}"


def picture(index: int, shape: tuple[int, int] = (48, 40)) -> Any:
    return np.roll(np.random.default_rng(5).integers(0, 4000, shape, np.uint16), index, axis=0)


def image(index: int = 0, pixels: Any = None, **attributes: Any) -> FileDataset:
    """A single-frame image; None removes an attribute."""
    pixels = picture(index) if pixels is None else pixels
    dataset = empty(MRImageStorage)
    dataset.AcquisitionTime = time_of_day(START_S + index * INTERVAL_S)
    dataset.PixelSpacing = [2.0, 1.5]
    dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    dataset.ImagePositionPatient = [-10, -50, 60]
    _fill(dataset, pixels)
    return _changed(dataset, attributes)


def enhanced(stamps: list[str], pixels: Any, attribute: str = "FrameAcquisitionDateTime", **more: Any) -> FileDataset:
    """An enhanced image with one date and time per frame."""
    dataset = empty(EnhancedMRImageStorage)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [2.0, 1.5], [0, 1, 0, 0, 0, -1]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for stamp in stamps:
        content, position, group = Dataset(), Dataset(), Dataset()
        setattr(content, attribute, stamp)
        position.ImagePositionPatient = [-10, -50, 60]
        group.FrameContentSequence, group.PlanePositionSequence = Sequence([content]), Sequence([position])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    dataset.NumberOfFrames = len(stamps)
    _fill(dataset, pixels)
    return _changed(dataset, more)


def put(path: Path, dataset: FileDataset) -> Path:
    """Write a file under another name first, then rename it."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(encoded(dataset))
    return hidden.replace(path)


def encoded(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def empty(kind: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid(entropy_srcs=["an image"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.SeriesInstanceUID = "Secret^Name", "SECRET-ID", SERIES
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["a study"])
    return dataset


def _fill(dataset: FileDataset, pixels: Any) -> None:
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()


def _changed(dataset: FileDataset, attributes: dict[str, Any]) -> FileDataset:
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def structure_set(
    path: Path,
    structures: dict[str, list[list[float]]],
    kind: str = "CLOSED_PLANAR",
    frame_of_reference: str = "1.2.3.40000001",
) -> Path:
    """An RTSTRUCT with outlines by name, each a flat list of x, y, z, LPS mm."""
    dataset = empty(RTStructureSetStorage)
    dataset.Modality = "RTSTRUCT"
    names, contours = [], []
    for number, (name, outlines) in enumerate(structures.items(), start=1):
        entry, drawn = Dataset(), Dataset()
        entry.ROINumber, entry.ROIName = number, name
        entry.ReferencedFrameOfReferenceUID = frame_of_reference
        drawn.ReferencedROINumber = number
        items = []
        for outline in outlines:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(outline) // 3
            item.ContourData = outline
            items.append(item)
        drawn.ContourSequence = Sequence(items)
        names.append(entry)
        contours.append(drawn)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(names), Sequence(contours)
    return put(path, dataset)
