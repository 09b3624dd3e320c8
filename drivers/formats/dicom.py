"""Frames of DICOM MR images: single, multi-frame and enhanced. Patient identifiers never leave this file.

Pixels are the stored values, without rescaling: one scale factor for all frames makes no difference to tracking.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset

from drivers.errors import BadFrame
from drivers.formats.bounded import read_bounded
from drivers.formats.dicom_deflated import inflated_file
from drivers.formats.dicom_pixels import MAX_BYTES, stored_values
from drivers.formats.dicom_time import ARRIVAL, Stamp, frame_stamp
from drivers.formats.frame import PlaneGeometry, VendorFrame, checked_frame
from gating.messages import StampMeaning

_UNSTAMPED: Final = Stamp(0, ARRIVAL, StampMeaning.ARRIVAL)

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_dicom_file(path: Path, stamped: bool = True) -> list[VendorFrame]:
    """Return the frames of one file, see `frames_of`. Raises `BadFrame` and nothing else, whatever the file holds."""
    data = inflated_file(read_bounded(path, MAX_BYTES))

    def read() -> Dataset:
        return pydicom.dcmread(BytesIO(data))

    return frames_of(read, path.name, stamped)


def frames_of(read: Callable[[], Dataset], name: str, stamped: bool = True) -> list[VendorFrame]:
    """Return the frames of one image.

    Parameters
    ----------
    read
        Returns the data set, with its `file_meta`; called once.
    name
        Name of the image in sentences.
    stamped
        False if arrival times will replace the stamps, so that the images need none.

    Raises
    ------
    BadFrame
        One sentence that names the attribute, its value and the limit. No other exception is raised, whatever the data
        set.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _frames(read(), name, stamped)
    except BadFrame:
        raise
    except Exception as error:  # noqa: BLE001 (another library parses hostile input here, and may raise anything)
        raise BadFrame(f"it is not a readable DICOM image: {type(error).__name__}: {str(error)[:120]}") from None


def _frames(dataset: Dataset, name: str, stamped: bool) -> list[VendorFrame]:
    pixels = stored_values(dataset)
    series = scan_digest(dataset)
    frames = []
    for index, image in enumerate(pixels):
        stamp = frame_stamp(dataset, index) if stamped else _UNSTAMPED
        frames.append(
            checked_frame(
                image,
                _geometry(dataset, index),
                acquired_ns=stamp.acquired_ns,
                clock=stamp.clock,
                meaning=stamp.meaning,
                name=f"{name} ({index + 1} of {len(pixels)})" if len(pixels) > 1 else name,
                series=series,
                resolution_ns=stamp.resolution_ns,
                frame_of_reference=str(dataset.get("FrameOfReferenceUID", ""))[:64],
            )
        )
    return frames


def scan_digest(dataset: Dataset) -> str:
    """Return a digest that tells patients, studies and series apart and names none of them."""
    named = (str(dataset.get(key, "")) for key in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID"))
    return hashlib.sha256("\0".join(named).encode(errors="replace")).hexdigest()[:16]


def _geometry(dataset: Dataset, index: int) -> PlaneGeometry:
    """Return where a frame lies, from its own functional groups, from the shared ones, or from the image."""
    return PlaneGeometry.checked(
        _plane_attribute(dataset, index, "PixelMeasuresSequence", "PixelSpacing"),
        _plane_attribute(dataset, index, "PlaneOrientationSequence", "ImageOrientationPatient"),
        _plane_attribute(dataset, index, "PlanePositionSequence", "ImagePositionPatient"),
    )


def _plane_attribute(dataset: Dataset, index: int, group: str, attribute: str) -> Any:
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for functional in (*own[index : index + 1], *shared[:1]):
        items = functional.get(group) or ()
        if items and items[0].get(attribute) is not None:
            return items[0].get(attribute)
    value = dataset.get(attribute)
    if value is None:
        raise BadFrame(f"{attribute} is missing; it is needed to place a frame in the patient")
    return value
