"""Valid files of cine frames without time stamps, for the parsers of `bench.fuzz`; small, as `bench.fuzz_seeds`."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np

from bench.fuzz_seeds import PIXELS, SIDE
from drivers.recordings.movie import silence_decoder


def mridian_series() -> list[list[bytes]]:
    """Return a series of the 0.35 T MR-linac with two frames, and its contours."""
    axes = [struct.pack("<idd", pixels, 0.0, 0.35) for pixels in (SIDE, SIDE, 1)]
    pixels = PIXELS.astype("<i2").tobytes()
    points = struct.pack("<6f", 0.1, 0.1, 0.5, 0.1, 0.5, 0.6)
    contours = b"".join(struct.pack("<i?ii", frame, True, 1, 3) + points for frame in (0, 1))
    return [[b"".join(axes) + struct.pack("<h", 2) + 2 * pixels, struct.pack("<i", 2) + contours]]


def mridian_stream() -> bytes:
    """Return a stream of the 0.35 T MR-linac with three frames."""
    numbers = {"NoOfRows": SIDE, "NoOfCols": SIDE, "PixelSpacing.0": 3.5, "PixelSpacing.1": 3.5}
    numbers |= {f"PosVec.{axis}": 0.0 for axis in range(3)}
    header = "".join(f"DICOM.{key}={value}\n" for key, value in numbers.items()).encode()
    frame = struct.pack("<ii", len(header), PIXELS.nbytes) + header + PIXELS.astype("<i2").tobytes()
    return 3 * frame + struct.pack("<i", 0)


def png_image() -> bytes:
    """Return an image of 8 x 8 with 16 bits."""
    import cv2

    data: bytes = cv2.imencode(".png", PIXELS)[1].tobytes()
    return data


def movie() -> bytes:
    """Return three frames of 16 x 16 as an AVI of JPEG images."""
    import cv2

    silence_decoder()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 4, (2 * SIDE, 2 * SIDE))
        for shift in range(3):
            writer.write(np.tile(PIXELS[:, :, None].astype(np.uint8) + shift, (2, 2, 3)))
        writer.release()
        return path.read_bytes()
