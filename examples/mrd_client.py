"""What a scanner's reconstruction sends to the MRD source: a bundled cine, image by image, at its own rate."""

import socket
import sys
import time
from datetime import datetime, timedelta

import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ProtocolSerializer

import cinegate
from replay_data import session_path

ACQUISITION = timedelta(milliseconds=100)
"""How long ago the acquisition of an image began when it is sent."""


def connected(port: int) -> socket.socket:
    """Knock until somebody listens, as a scanner does."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.5)


def play(port: int, seconds: float) -> None:
    """Send the cine over and over for so long."""
    cine = cinegate.open_recording(session_path("free_breathing"))
    (row_mm, column_mm), (rows, columns) = cine.pixel_spacing_mm, cine.shape
    read, phase = np.split(np.array(cine.image_orientation), 2)
    centre = cine.image_position_mm + read * column_mm * (columns - 1) / 2 + phase * row_mm * (rows - 1) / 2
    with connected(port) as scanner:
        stream = ProtocolSerializer(scanner.makefile("wb", buffering=0))
        stream.serialize(ConfigFile("cine"))
        for number in range(int(seconds * 8)):
            image = ismrmrd.Image.from_array(cine.frames[number % len(cine.frames)], transpose=False)
            image.field_of_view, image.position = (columns * column_mm, rows * row_mm, 5.0), tuple(centre)
            image.read_dir, image.phase_dir, image.slice_dir = tuple(read), tuple(phase), tuple(np.cross(read, phase))
            begun = datetime.now() - ACQUISITION
            since_midnight = begun - begun.replace(hour=0, minute=0, second=0, microsecond=0)
            image.acquisition_time_stamp = int(since_midnight / timedelta(milliseconds=2.5))
            stream.serialize(image)
            time.sleep(1 / 8)


if __name__ == "__main__":
    try:
        play(int(sys.argv[1]), float(sys.argv[2]))
    except (BrokenPipeError, ConnectionResetError):
        print("the session has ended")
