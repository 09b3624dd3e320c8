"""The cine of one plane as a multi-frame secondary capture with time stamps.

Secondary capture says what is true: images that another system acquired. An Enhanced MR image would have to state the
pulse sequence, contrast and field strength, which no log knows. Each frame has its moment (FrameReferenceDateTime) and
its place in the patient; FrameTimeVector says the same to viewers that know no functional groups.

Source: DICOM PS3.3 A.8.3 and A.8.4 (multi-frame secondary capture), C.7.6.5 (cine), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage as ByteImage
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage as WordImage

from cinegate.exports.dicom.study import Study, date_time, decimal
from gating.messages import CineFrame, FrameHeader, SourceKind
from gating.session.log import SessionError

PATIENT: Final = "PATIENT"
_FRAME_TIME_VECTOR: Final = 0x00181065
_FULL: Final = 65535.0


def cine(study: Study, plane: str, number: int) -> Dataset:
    """Return the frames of a plane, in the order in which they were acquired.

    Raises
    ------
    SessionError
        If size, type or spacing of the frames change, so that no one object can hold them.
    """
    headers = sorted(study.session.planes[plane], key=lambda one: one.acquired_on_publish_clock_ns)
    _check_same(headers)
    first = headers[0]
    made = study.new(ByteImage if first.dtype == "uint8" else WordImage, number, _modality(first), f"cine {plane}")
    made.FrameOfReferenceUID = study.frame_of_reference
    made.PositionReferenceIndicator = ""
    made.ConversionType = "DI"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "NO"
    made.LossyImageCompression = "00"
    made.Laterality = made.PatientOrientation = ""
    _add_pixels(made, study, headers)
    _add_times(made, headers)
    _add_functional_groups(made, study, headers)
    return made


def frame_numbers(study: Study, plane: str) -> dict[int, int]:
    """Return the number of each frame in the object of its plane, from 1, by its sequence."""
    headers = sorted(study.session.planes[plane], key=lambda one: one.acquired_on_publish_clock_ns)
    return {header.sequence: number for number, header in enumerate(headers, start=1)}


def _modality(header: FrameHeader) -> str:
    return "OT" if header.source_kind is SourceKind.PHANTOM else "MR"


def _check_same(headers: list[FrameHeader]) -> None:
    first = headers[0]
    for name in ("dtype", "shape", "pixel_spacing_mm"):
        for header in headers:
            if getattr(header, name) != getattr(first, name):
                raise SessionError(
                    f"{name} changes from {getattr(first, name)} to {getattr(header, name)} at frame {header.sequence};"
                    " the frames of one DICOM object must agree"
                )


def _add_pixels(made: Dataset, study: Study, headers: list[FrameHeader]) -> None:
    frames = {frame.header.sequence: frame for frame in study.session.frames(headers[0].plane)}
    stored: list[NDArray[np.generic]] = [frames[header.sequence].pixels for header in headers]
    if headers[0].dtype == "float32":
        stored, made.DerivationDescription = _as_words([frames[header.sequence] for header in headers])
    bits = 8 * stored[0].itemsize
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows, made.Columns = headers[0].shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits, bits - 1, 0
    made.NumberOfFrames = len(headers)
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    made.PresentationLUTShape = "IDENTITY"
    data = b"".join(np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes() for pixels in stored)
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OB" if bits == 8 else "OW"


def _as_words(frames: list[CineFrame]) -> tuple[list[NDArray[np.generic]], str]:
    """Return real values as 16-bit ones, with one scale for all frames, and what that scale is."""
    low = min(float(np.nanmin(frame.pixels)) for frame in frames)
    high = max(float(np.nanmax(frame.pixels)) for frame in frames)
    scale = _FULL / (high - low) if high > low else 1.0
    words = [np.nan_to_num((frame.pixels - low) * scale).round().clip(0, _FULL).astype(np.uint16) for frame in frames]
    return list(words), f"Stored values are (value - {low:.9g}) * {scale:.9g} of the 32-bit ones, rounded"


def _add_times(made: Dataset, headers: list[FrameHeader]) -> None:
    at_ns = [header.acquired_on_publish_clock_ns for header in headers]
    made.FrameIncrementPointer = _FRAME_TIME_VECTOR
    made.FrameTimeVector = ["0", *(decimal((b - a) / 1e6) for a, b in itertools.pairwise(at_ns))]


def _add_functional_groups(made: Dataset, study: Study, headers: list[FrameHeader]) -> None:
    shared = Dataset()
    shared.PixelMeasuresSequence = PixelMeasuresSequence(headers[0].pixel_spacing_mm, slice_thickness=None)
    made.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for header in headers:
        content, group = Dataset(), Dataset()
        content.FrameReferenceDateTime = date_time(study.moment(header))
        content.FrameComments = f"frame {header.sequence} of the session"
        group.FrameContentSequence = [content]
        group.PlanePositionSequence = PlanePositionSequence(PATIENT, header.image_position_mm)
        group.PlaneOrientationSequence = PlaneOrientationSequence(PATIENT, header.image_orientation)
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
