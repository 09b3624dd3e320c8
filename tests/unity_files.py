"""`.bin` files of a 1.5 T MR-linac for tests: development recordings with another stamp and other pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from drivers.formats.nrbf import NrbfObject, parse_nrbf

INTERVAL_NS = 200_000_000


def real_files(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "unity_phantom").glob("*/*.bin"))


def _held(data: bytes, name: str) -> object:
    document = parse_nrbf(data)
    image = document.resolve(document.root.members["<TwoDSlicedata>k__BackingField"])
    assert isinstance(image, NrbfObject)
    return document.resolve(image.members[f"<{name}>k__BackingField"])


def later(data: bytes, by_ns: int, shift_px: int = 0) -> bytes:
    """The same frame, acquired later, its image moved along the rows."""
    stamp, pixels = _held(data, "Elapsed100NanosecondInterval"), _held(data, "Data")
    assert isinstance(stamp, int)
    assert isinstance(pixels, np.ndarray)
    moved = data.replace(struct.pack("<q", stamp), struct.pack("<q", stamp + by_ns // 100))
    start = data.index(pixels.tobytes())
    rolled = np.roll(pixels.view("<u2"), shift_px).tobytes()
    return moved[:start] + rolled + moved[start + len(rolled) :]


def with_double(data: bytes, old: float, new: float) -> bytes:
    """The same frame with one number replaced wherever it stands."""
    assert struct.pack("<d", old) in data
    return data.replace(struct.pack("<d", old), struct.pack("<d", new))


def put(path: Path, data: bytes) -> Path:
    """Write a file as a careful writer does: under another name first, then renamed."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(data)
    return hidden.replace(path)


def session(shared_data: Path, folder: Path, count: int, plane: str = "sagittal") -> list[Path]:
    """A folder of `count` frames of one plane; their names are in no order."""
    data = next(path for path in real_files(shared_data) if path.parent.name == plane).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    return [
        put(folder / f"Frame_ID_{(index * 7919) % 1000:03d}_{plane}.bin", later(data, index * INTERVAL_NS, index))
        for index in range(count)
    ]


def small(one: bytes) -> bytes:
    """The same records with images of 8 x 8 pixels, so that most bytes are structure."""
    size, data = b"\x50\x01\x00\x00\x50\x01\x00\x00\x01", one
    data = data.replace(size, b"\x08\x00\x00\x00\x08\x00\x00\x00\x01")
    start = 0
    length = (336 * 336 * 2).to_bytes(4, "little") + b"\x02"
    while (start := data.find(length, start)) >= 0:
        data = data[:start] + (128).to_bytes(4, "little") + b"\x02" + bytes(range(128)) + data[start + 5 + 225_792 :]
        start += 1
    return data
