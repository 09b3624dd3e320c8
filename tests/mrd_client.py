"""An MRD client built on the `ismrmrd` package: the peer that the MRD source is tested with."""

from __future__ import annotations

import socket
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolSerializer

from tests.patience import PATIENCE_S

TICK_NS = 2_500_000
XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions>
<H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions></ismrmrdHeader>"""


def liver_cine(shared_data: Path, name: str = "KS81_1", count: int = 20) -> dict[str, Any]:
    """Frames, times and geometry of a development recording."""
    with np.load(next((shared_data / "liver_cine").glob(f"*{name}*.npz"))) as recording:
        return {
            "frames": recording["frames"][:count],
            "t_s": recording["t_s"][:count],
            "spacing": recording["pixel_spacing_mm"],
            "position": recording["image_position_patient"],
            "orientation": recording["image_orientation_patient"],
        }


def synthetic_cine(count: int = 20, shape: tuple[int, int] = (40, 32), dtype: str = "uint16") -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {
        "frames": rng.integers(0, 200, (count, *shape)).astype(dtype),
        "t_s": 1.0 + np.arange(count) * 0.02,
        "spacing": (2.0, 1.5),
        "position": (10.0, -24.0, 40.0),
        "orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    }


def image(cine: dict[str, Any], index: int, **overrides: Any) -> ismrmrd.Image:
    """One frame as an MRD image; its position is the centre of the image, as the format says."""
    pixels = cine["frames"][index]
    rows, columns = pixels.shape
    (row_mm, column_mm), orientation = cine["spacing"], np.asarray(cine["orientation"], float)
    read, phase = orientation[:3], orientation[3:]
    centre = np.asarray(cine["position"]) + read * column_mm * (columns - 1) / 2 + phase * row_mm * (rows - 1) / 2
    made = ismrmrd.Image.from_array(pixels, transpose=False)
    fields = {
        "image_type": ismrmrd.IMTYPE_MAGNITUDE,
        "field_of_view": (columns * column_mm, rows * row_mm, 4.0),
        "position": centre,
        "read_dir": read,
        "phase_dir": phase,
        "slice_dir": np.cross(read, phase),
        "acquisition_time_stamp": round((36_000 + cine["t_s"][index]) * 1e9 / TICK_NS),
        "image_index": index % 2**16,
    }
    for name, value in (fields | overrides).items():
        setattr(made, name, tuple(value) if np.ndim(value) else value)
    made.meta = ismrmrd.Meta({"DataRole": "Image"})
    return made


def packed(*things: Any) -> bytes:
    """What the package itself would write."""
    stream = BytesIO()
    serializer = ProtocolSerializer(stream)
    for thing in things:
        serializer.serialize(thing)
    return stream.getvalue()


def preamble() -> bytes:
    """Configuration by name, as text, and the header XML: the start of every session."""
    return packed(ConfigFile("os.system"), ConfigText("<config/>"), ismrmrd.xsd.CreateFromDocument(XML))


def waveform() -> bytes:
    made = ismrmrd.Waveform.from_array(np.ones((2, 50), np.uint32))
    return packed(made)


CLOSE = b"\x04\x00"


def connect(port: int, patience_s: float = PATIENCE_S) -> socket.socket:
    """Connect to a server as soon as it listens."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
