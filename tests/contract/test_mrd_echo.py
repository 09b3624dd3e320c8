"""Images that go back to an MRD client with what the engine saw in them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")

from ismrmrd.serialization import ProtocolDeserializer

from drivers.sources.mrd import MrdSettings, MrdSource
from gating.messages import GateState, TargetEstimate, TargetReference
from gating.wire.codec import encode
from gating.wire.sockets import bind
from tests.live_session import LiveSession
from tests.mrd_client import CLOSE, connect, image, packed, preamble, synthetic_cine

CONTOUR = [(10.0, 20.0), (20.0, 20.0), (15.0, 30.0)]
BOUNDARY = [(8.0, 18.0), (22.0, 18.0), (15.0, 33.0)]
CINE = synthetic_cine(20)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/telemetry"


@pytest.fixture
def telemetry(endpoint: str) -> Iterator[Any]:
    """An engine's socket, which has said where the boundary lies."""
    context: zmq.Context[Any] = zmq.Context()
    made = bind(context, zmq.XPUB, endpoint)
    yield made
    context.destroy(linger=0)


def opened(endpoint: str, client_sends: int = 4) -> tuple[LiveSession, socket.socket]:
    source = MrdSource(MrdSettings(port=0, echo="images"))
    source.hear_engine(endpoint)
    session = LiveSession(source)
    client = connect(session.port)
    client.sendall(preamble() + b"".join(packed(image(CINE, index)) for index in range(client_sends)))
    return session, client


def back(client: socket.socket) -> list[Any]:
    """Everything that the client gets, up to the close."""
    return list(ProtocolDeserializer(client.makefile("rb")).deserialize())


def estimate(acquired_ns: int, **changed: Any) -> TargetEstimate:
    fields: dict[str, Any] = {
        "session_id": "s1", "frame_sequence": 0, "plane": "sagittal", "target": "GTV", "x_px": 15.0, "y_px": 23.0,
        "position_mm": (0.0, 0.0, 0.0), "confidence": 0.9, "score": 0.9, "status": "tracked", "gate": GateState.ON,
        "target_out_fraction": 0.0, "contour_px": CONTOUR, "reason": "in_window", "acquired_ns": acquired_ns,
    }  # fmt: skip
    return TargetEstimate(**fields | changed)


def reference() -> TargetReference:
    return TargetReference(
        session_id="s1",
        target="GTV",
        plane="sagittal",
        frame_sequence=0,
        contour_px=CONTOUR,
        boundary_px=BOUNDARY,
        centre_px=(15.0, 23.0),
        centre_mm=(0.0, 0.0, 0.0),
    )


def test_images_go_back_with_contour_boundary_and_gate(endpoint: str, telemetry: Any) -> None:
    session, client = opened(endpoint)
    telemetry.recv()
    telemetry.send_multipart(encode(reference()))
    for stamp, _ in session.read(4):
        telemetry.send_multipart(encode(estimate(stamp.acquired_ns)))
        lost = estimate(stamp.acquired_ns, target="OAR <1>", status="lost", confidence=float("nan"))
        telemetry.send_multipart(encode(lost))
    client.sendall(CLOSE)
    assert session.read(1, 0.1) == []
    images = back(client)
    session.source.close()
    client.close()
    np.testing.assert_array_equal([one.data[0, 0] for one in images], CINE["frames"][:4])
    assert [one.image_index for one in images] == [0, 1, 2, 3]
    said = images[2].meta
    assert (said["cinegate_gate"], said["cinegate_reason"], said["cinegate_status_GTV"]) == (
        "on",
        "in_window",
        "tracked",
    )
    assert np.array(said["ROI_GTV"], float)[6:].reshape(-1, 2).tolist() == [list(xy) for xy in (*CONTOUR, CONTOUR[0])]
    assert np.array(said["ROI_GTV_boundary"], float)[6:8].tolist() == [8.0, 18.0]
    assert said["cinegate_status_OAR <1>"] == "lost"
    assert not {"ROI_OAR <1>", "cinegate_confidence_OAR <1>"} & set(said)


def test_an_image_that_the_engine_never_saw_goes_back_as_it_came(endpoint: str) -> None:
    session, client = opened(endpoint)
    client.sendall(CLOSE)
    session.read(4)
    assert session.read(1, 0.1) == []
    images = back(client)
    session.source.close()
    client.close()
    assert [one.image_index for one in images] == [0, 1, 2, 3]
    assert dict(images[0].meta) == {"DataRole": "Image"}


def test_a_client_that_does_not_read_delays_no_frame(endpoint: str) -> None:
    """Images of 2 MB fill the client's buffer soon; each frame is still read as soon as it came."""
    cine = synthetic_cine(8, (1024, 1024))
    source = MrdSource(MrdSettings(port=0, echo="images"))
    session = LiveSession(source)
    with connect(session.port) as client:
        messages = [packed(image(cine, index)) for index in range(8)]
        sender = threading.Thread(target=lambda: [client.sendall(one) for one in messages], daemon=True)
        began_s = time.monotonic()
        sender.start()
        assert len(session.read(8)) == 8
        assert time.monotonic() - began_s < 5
    source.close()
