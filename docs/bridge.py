"""A bridge: from a vendor's frames to cinegate, in Python without cinegate. docs/messages.md has every field.

pip install pyzmq msgpack xxhash numpy
python bridge.py ipc:///tmp/site-bridge 200 8
cinegate source zeromq -o endpoint=ipc:///tmp/site-bridge
"""

import sys
import time
from pathlib import Path

import msgpack
import numpy as np
import xxhash
import zmq

endpoint, frames, rate = (*sys.argv[1:], *("ipc:///tmp/site-bridge", "200", "8")[len(sys.argv) - 1 :])
rows, columns = 96, 80
boot = Path("/proc/sys/kernel/random/boot_id").read_text()
clock = f"monotonic:{boot[:8]}"  # of time.monotonic_ns, which is cinegate's clock on Linux
described = {
    "schema": "cinegate/1.0",
    "session_id": "bridge",
    "source": "example bridge",
    "source_kind": "phantom",  # yours: "live"
    "pacing": "real_time",
    "dtype": "uint16",
    "shape": [rows, columns],
    "pixel_spacing_mm": [2.0, 2.0],
    "image_orientation": [0, 1, 0, 0, 0, -1],
    "image_position_mm": [0, -80, 96],
    "acquired_clock": clock,
    "acquired_meaning": "acquisition_end",
}
stream = described | {"planes": ["sagittal"], "nominal_interval_ns": round(1e9 / float(rate))}
publisher_id = str(time.monotonic_ns())
socket = zmq.Context().socket(zmq.PUB)
socket.linger = 0
socket.bind(endpoint)

for sequence in range(int(frames)):
    time.sleep(1 / float(rate))
    acquired_ns = time.monotonic_ns()  # yours: the vendor's stamp, and its clock's name
    pixels = ((np.arange(rows * columns) * 37 + sequence * 11) % 1000).astype("<u2")  # yours: its pixels
    if sequence % 4 == 0:  # often, for subscribers that join late
        socket.send_multipart([b"stream", msgpack.packb(stream)])
    header = described | {
        "publisher_id": publisher_id,
        "sequence": sequence,
        "content_hash": xxhash.xxh3_64_hexdigest(pixels),
        "acquired_ns": acquired_ns,
        "acquired_on_publish_clock_ns": acquired_ns,
        "published_ns": time.monotonic_ns(),
        "publish_clock": clock,
    }
    socket.send_multipart([b"frame", msgpack.packb(header), pixels])
