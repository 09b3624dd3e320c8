"""The fields that every message has, and the types of the others: bounds, with units in their names."""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

SCHEMA_MAJOR: Final = 1
SCHEMA: Final = f"cinegate/{SCHEMA_MAJOR}.0"

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(max_length=400)]
Nanoseconds = Annotated[int, Meta(ge=0, le=2**62)]
Sequence = Annotated[int, Meta(ge=0, le=2**53)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]
PositiveMm = Annotated[float, Meta(gt=0, le=100)]
Cosine = Annotated[float, Meta(ge=-1.001, le=1.001)]
Orientation = tuple[Cosine, Cosine, Cosine, Cosine, Cosine, Cosine]
"""DICOM ImageOrientationPatient: directions of increasing column and of increasing row."""
PatientMm = Annotated[float, Meta(ge=-10_000, le=10_000)]
Position = tuple[PatientMm, PatientMm, PatientMm]
"""DICOM ImagePositionPatient: the centre of pixel (0, 0), LPS."""
SideLength = Annotated[int, Meta(ge=8, le=4096)]


class Message(Struct, frozen=True, kw_only=True):
    """The fields that every message has."""

    schema: Annotated[str, Meta(max_length=32)] = SCHEMA
    session_id: Name
