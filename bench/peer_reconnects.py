"""Imaging peers that come and go: `python -m bench.peer_reconnects [TIMES]`.

Each round, a new MRD client, OpenIGTLink client or DICOM sender connects to a running source process, sends one image,
and leaves once the image is published. Memory, threads and descriptors of the process must not grow.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq
from numpy.typing import NDArray

from bench.reconnects import held
from drivers.formats import mrd, openigtlink
from gating.messages import CineFrame
from gating.service.pipeline import PipelineError, Session
from gating.settings.config import Config
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe

Image = NDArray[np.uint16]
Peer = Callable[[int, int, Image], AbstractContextManager[None]]
"""Connects to a port and sends one image by its number; leaves when the context ends."""

SHAPE: Final = (64, 64)
SPACING_MM: Final = (2.0, 2.0)
AXES: Final = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
POSITION_MM: Final = (0.0, -64.0, 64.0)
INTERVAL: Final = timedelta(seconds=0.1)
START: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
START_S: Final = 60.0
PUBLISHED_S: Final = 10.0
WARM_ROUNDS: Final = 50
"""Rounds that do not count: imports, arenas, and the first growth of every buffer."""
LEFT_S: Final = 1.5
"""What served a peer ends a little after it has left."""
MEMORY_MB: Final = 3.0
"""Growth that arenas may take; 500 images that are kept would be 4 MB."""


def run_peer_reconnects(times: int) -> dict[str, dict[str, Any]]:
    """Let each kind of peer come and go `times` times; return what its source process held before and after.

    Raises
    ------
    PipelineError
        If the source process ends, or does not publish an image within ten seconds.
    """
    return {kind: _reconnect(kind, peer, times) for kind, peer in PEERS.items()}


def _reconnect(kind: str, peer: Peer, times: int) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="cgp-") as name, zmq.Context() as context:
        session = Session(Config(), "peers", Path(name))
        published = subscribe(context, session.config.endpoints.frames)
        try:
            session.start("source", kind, "-o", f"port={port}", "-o", "frames_per_s=10")
            _await_server(session, port)
            for index in range(WARM_ROUNDS):
                _round(session, published, peer, port, index)
            time.sleep(LEFT_S)
            before, began_s = held(session)["source"], time.monotonic()
            for index in range(WARM_ROUNDS, WARM_ROUNDS + times):
                _round(session, published, peer, port, index)
            took_s = time.monotonic() - began_s
            time.sleep(LEFT_S)
            after = held(session)["source"]
        finally:
            session.stop()
            published.close()
    flat = all(after[what] <= before[what] for what in ("threads", "descriptors"))
    flat &= after["memory_mb"] <= before["memory_mb"] + MEMORY_MB
    return {"times": times, "took_s": round(took_s, 1), "before": before, "after": after, "passed": flat}


def _await_server(session: Session, port: int) -> None:
    until_s = time.monotonic() + START_S
    while True:
        session.check()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise PipelineError(f"the source does not listen within {START_S:g} s") from None
            time.sleep(0.05)


def _round(session: Session, published: zmq.Socket[bytes], peer: Peer, port: int, index: int) -> None:
    """Send an image as a new peer, and wait until it is published. The first ones may come before we subscribed."""
    pixels = np.random.default_rng(index).integers(0, 1000, SHAPE, np.uint16)
    until_s = time.monotonic() + (PUBLISHED_S if index >= WARM_ROUNDS else PUBLISHED_S / WARM_ROUNDS)
    with peer(port, index, pixels):
        while time.monotonic() < until_s:
            published.poll(20)
            while (parts := receive(published)) is not None:
                message = decode(parts)
                if isinstance(message, CineFrame) and np.array_equal(message.pixels, pixels):
                    return
    session.check()
    if index >= WARM_ROUNDS:
        raise PipelineError(f"image {index} was not published within {PUBLISHED_S:g} s: {session.output('source')}")


@contextmanager
def _mrd_client(port: int, index: int, pixels: Image) -> Iterator[None]:
    ticks = round((12 * 3600 + index * INTERVAL.total_seconds()) * 1e9) // mrd.TICK_NS
    with socket.create_connection(("127.0.0.1", port), PUBLISHED_S) as connection:
        connection.sendall(mrd.image_message(pixels, SPACING_MM, AXES, POSITION_MM, ticks, index))
        yield
        connection.sendall(mrd.CLOSE)
        connection.recv(len(mrd.CLOSE))


@contextmanager
def _openigtlink_client(port: int, index: int, pixels: Image) -> Iterator[None]:
    stamp_ns = round((START + index * INTERVAL).timestamp() * 1e9)
    with socket.create_connection(("127.0.0.1", port), PUBLISHED_S) as connection:
        connection.sendall(openigtlink.image_message("Cine", stamp_ns, pixels, SPACING_MM, AXES, POSITION_MM))
        yield


@contextmanager
def _dicom_sender(port: int, index: int, pixels: Image) -> Iterator[None]:
    from pynetdicom import AE

    dataset = _dicom_image(index, pixels)
    entity = AE(ae_title="PEER")
    entity.add_requested_context(dataset.SOPClassUID)
    association = entity.associate("127.0.0.1", port)
    if not association.is_established:
        raise PipelineError("the source refused the association of a DICOM peer")
    association.send_c_store(dataset)
    yield
    association.release()


def _dicom_image(index: int, pixels: Image) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    dataset: Any = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid()
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["one series"])
    at = START + index * INTERVAL
    dataset.AcquisitionDateTime = f"{at:%Y%m%d%H%M%S.%f}+0000"
    dataset.PixelSpacing, dataset.ImageOrientationPatient = list(SPACING_MM), list(AXES)
    dataset.ImagePositionPatient = list(POSITION_MM)
    dataset.Rows, dataset.Columns = SHAPE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = pixels.tobytes()
    return dataset


PEERS: Final[dict[str, Peer]] = {"mrd": _mrd_client, "openigtlink": _openigtlink_client, "dicom": _dicom_sender}


if __name__ == "__main__":
    results = run_peer_reconnects(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    print(json.dumps(results, indent=2))
    sys.exit(0 if all(result["passed"] for result in results.values()) else 1)
