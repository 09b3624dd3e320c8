"""Files of the 0.35 T MR-linac for tests, written from the description of their formats, number by number."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPACING_MM = 3.5


def cine(count: int = 12, rows: int = 40, columns: int = 32) -> NDArray[np.int16]:
    """Frames (count, rows, columns) in which no two rows, columns or frames are alike."""
    rng = np.random.default_rng(5)
    return rng.integers(0, 2000, (count, rows, columns)).astype(np.int16)


def raw_file(frames: NDArray[np.int16], dx_cm: float = 0.35, dy_cm: float = 0.35) -> bytes:
    """A series: three axes (pixels, origin, spacing in cm), the number of frames, the pixels with x fastest."""
    count, rows, columns = frames.shape
    parts = [
        struct.pack("<idd", columns, -5.6, dx_cm),
        struct.pack("<idd", rows, 7.0, dy_cm),
        struct.pack("<idd", 1, 0.25, 0.7),
        struct.pack("<h", count),
    ]
    for frame in frames:
        for row in frame:
            parts += [struct.pack("<h", int(value)) for value in row]
    return b"".join(parts)


def roi_file(contours: Mapping[int, Sequence[tuple[float, float]]]) -> bytes:
    """Contours by frame: points as fractions of the frame, from its upper left corner."""
    parts = [struct.pack("<i", len(contours))]
    for frame, points in contours.items():
        parts += [struct.pack("<i", frame), b"\x01", struct.pack("<i", 1), struct.pack("<i", len(points))]
        parts += [struct.pack("<ff", x, y) for x, y in points]
    return b"".join(parts)


def dat_frame(frame: NDArray[np.int16], **changed: object) -> bytes:
    """One frame of a stream: its size, the header's lines, and the pixels column by column, right side first."""
    rows, columns = frame.shape
    fields: dict[str, object] = {
        "DICOM.NoOfRows": rows,
        "DICOM.NoOfCols": columns,
        **{f"DICOM.PosVec.{axis}": 10.0 * axis for axis in range(3)},
        "DICOM.SliceThickness": 7,
        "DICOM.SliceLocation": 2.5,
        "DICOM.PixelSpacing.0": SPACING_MM,
        "DICOM.PixelSpacing.1": SPACING_MM,
        "DICOM.SequenceDescription": "a cine",
    }
    lines = {**fields, **{name.replace("_", "."): value for name, value in changed.items()}}
    header = "".join(f"{key} = {value}\r\n" for key, value in lines.items()).encode("ascii")
    pixels = b"".join(
        struct.pack("<h", int(frame[row, column])) for column in reversed(range(columns)) for row in range(rows)
    )
    return struct.pack("<ii", len(header), len(pixels)) + header + pixels


def dat_file(frames: NDArray[np.int16]) -> bytes:
    """A stream, with the header size of 0 at its end."""
    return b"".join(dat_frame(frame) for frame in frames) + struct.pack("<i", 0)


def write_series(folder: Path, frames: NDArray[np.int16], name: str = "series") -> Path:
    """A series with a square target in every frame, which moves one pixel down a frame."""
    _, rows, columns = frames.shape
    contours = {}
    for index in range(len(frames)):
        left, right, top = 8 / columns, 16 / columns, (10 + index) / rows
        contours[index] = [(left, top), (right, top), (right, top + 10 / rows), (left, top + 10 / rows)]
    (folder / f"{name}.raw").write_bytes(raw_file(frames))
    (folder / f"{name}.roi").write_bytes(roi_file(contours))
    return folder / f"{name}.raw"
