"""A peer of MRD version 2, built on the `mrd-python` package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from io import BytesIO
from typing import Any

import mrd
import numpy as np

from tests.mrd_client import TICK_NS

IN_NS = "acquisition_time_stamp_ns" in signature(mrd.ImageHeader).parameters
"""Whether the package is of 2.2 or later, whose stamps are in ns."""
ITEMS = {"u2": "ImageUint16", "i2": "ImageInt16", "u4": "ImageUint32", "i4": "ImageInt32", "f4": "ImageFloat"}
ITEMS |= {"f8": "ImageDouble"}


def image(cine: dict[str, Any], index: int, **overrides: Any) -> Any:
    """One frame as a stream item, as the package makes it."""
    pixels = cine["frames"][index]
    ticks = round((36_000 + cine["t_s"][index]) * 1e9 / TICK_NS)
    rows, columns = pixels.shape
    (row_mm, column_mm), orientation = cine["spacing"], np.asarray(cine["orientation"], float)
    read, phase = orientation[:3], orientation[3:]
    centre = np.asarray(cine["position"]) + read * column_mm * (columns - 1) / 2 + phase * row_mm * (rows - 1) / 2
    vectors = {
        "field_of_view": (columns * column_mm, rows * row_mm, 4.0),
        "position": centre,
        "col_dir": read,
        "line_dir": phase,
        "slice_dir": np.cross(read, phase),
        "patient_table_position": np.zeros(3),
    }
    fields = {
        "flags": mrd.ImageFlags(0),
        "image_type": mrd.ImageType.MAGNITUDE,
        **({"acquisition_time_stamp_ns": ticks * TICK_NS} if IN_NS else {"acquisition_time_stamp": ticks}),
        "image_index": index,
        **{name: np.asarray(vector, np.float32) for name, vector in vectors.items()},
    }
    made = mrd.Image(
        head=mrd.ImageHeader(**fields | overrides),
        data=pixels[None, None],
        meta={"DataRole": [mrd.ImageMetaValue.String("Image")]},
    )
    return getattr(mrd.StreamItem, ITEMS[pixels.dtype.str[1:]])(made)


def stream(items: Iterable[Any], header: Any = None) -> bytes:
    """A whole stream."""
    file = BytesIO()
    with mrd.BinaryMrdWriter(file) as writer:
        writer.write_header(header)
        writer.write_data(items)
    return file.getvalue()


def with_schema(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same values under another schema, which follows the version behind its length."""
    length = shift = 0
    at = 9
    while True:
        length |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 0x80:
            break
    schema = change(raw[at : at + length])
    held, left = bytearray(), len(schema)
    while left >= 0x80:
        held.append(left & 0x7F | 0x80)
        left >>= 7
    return raw[:9] + bytes([*held, left]) + schema + raw[at + length :]


def header(name: str = "Doe") -> Any:
    """A header with some of its many optional parts."""
    made = mrd.Header()
    made.subject_information = mrd.SubjectInformationType(patient_name=name)
    made.experimental_conditions = mrd.ExperimentalConditionsType(h1resonance_frequency_hz=63_500_000)
    return made
