"""Peers of the DICOM receiver that cannot be served, or do not keep to the protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")

from pydicom.uid import UID, JPEGLSLossless, MRImageStorage
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from drivers.errors import Unavailable
from drivers.sources.dicom import DicomSettings, DicomSource
from drivers.sources.refusals import NOTICE_EVERY_NS
from gating.clocks.clock import ManualClock
from gating.messages import StreamInfo
from tests.dicom_files import image, picture
from tests.dicom_peers import new_receiver, opened_by, read, store
from tests.patience import PATIENCE_S, next_notices, wait_until

pytestmark = pytest.mark.deadlines


@pytest.fixture
def receiver() -> Iterator[DicomSource]:
    with closing(new_receiver()) as source:
        yield source


def test_an_undecodable_peer_is_reported_with_the_command_that_helps(
    receiver: DicomSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.formats.dicom_pixels.get_decoder", lambda _: SimpleNamespace(is_available=False))
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    entity = AE(ae_title="PEER")
    entity.add_requested_context(MRImageStorage, [JPEGLSLossless])
    association = entity.associate("127.0.0.1", receiver.port)
    said: list[str] = []

    def is_told() -> bool:
        said.append(next_notices(receiver, info))
        return "offers images as JPEG-LS Lossless" in said[-1]

    assert wait_until(is_told), said
    assert "pip install" in said[-1]
    assert not association.is_established


def offer(syntax: UID) -> bytes:
    """What a peer sends first that offers MR images in one transfer syntax."""
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received, implementation.implementation_class_uid = 16_382, UID("1.2.3.4")
    context = build_context(MRImageStorage, [syntax])
    context.context_id = 1
    request = A_ASSOCIATE()
    request.application_context_name, request.calling_ae_title, request.called_ae_title = DICOM, "PEER", "CINEGATE"
    request.user_information = [longest, implementation]
    request.presentation_context_definition_list = [context]
    unit = A_ASSOCIATE_RQ()
    unit.from_primitive(request)
    return unit.encode()


ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"
"""PS3.8 9.3.8."""
DICOM = UID("1.2.840.10008.3.1.1.1")
"""The application context, PS3.7 A.2.1."""


def test_an_undecodable_peer_that_aborts_at_once_is_reported_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it left and why are two sentences; either may come first, and neither hides the other."""
    clock = ManualClock(0)
    settings = DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=60.0)
    with closing(DicomSource(settings, clock=clock)) as source:
        monkeypatch.setattr("drivers.formats.dicom_pixels.get_decoder", lambda _: SimpleNamespace(is_available=False))
        info = opened_by(source, lambda port: store(port, image(0)))
        read(source, info, 1)
        for _ in range(20):
            clock.advance_to(clock.now_ns() + 2 * NOTICE_EVERY_NS)
            with socket.create_connection(("127.0.0.1", source.port)) as connection:
                connection.sendall(offer(JPEGLSLossless) + ABORT)
            said: list[str] = []

            def is_told(said: list[str] = said) -> bool:
                said.append(next_notices(source, info))
                return "offers images as JPEG-LS" in " ".join(said) and "left without" in " ".join(said)

            assert wait_until(is_told, 2.0), said


def takes_the_next_image(receiver: DicomSource, info: StreamInfo) -> None:
    """Whatever came before, the next peer is served."""
    assert store(receiver.port, image(1)) == [0]
    assert len(read(receiver, info, 1)[0]) == 1


def test_a_peer_that_vanishes_in_mid_message_leaves_the_receiver_ready(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    assert len(read(receiver, info, 1)[0]) == 1
    entity = AE(ae_title="PEER")
    entity.add_requested_context(MRImageStorage)
    association = entity.associate("127.0.0.1", receiver.port)
    association.dul.socket.send(b"\x04\x00\x00\x00\x10\x00\x00\x00\x0f\xf0\x01\x03" + b"\x00" * 100)
    association.dul.socket.close()
    assert "left without releasing its association" in next_notices(receiver, info)
    takes_the_next_image(receiver, info)


def test_a_length_beyond_the_limit_is_not_believed(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
        connection.sendall(b"\x01\x00\x7f\xff\xff\xff" + bytes(1000))
        assert connection.recv(100) == b""
    assert "2147483647 bytes in a unit" in next_notices(receiver, info)
    takes_the_next_image(receiver, info)


def test_an_oversized_message_is_cut_off(receiver: DicomSource, monkeypatch: pytest.MonkeyPatch) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    monkeypatch.setattr("drivers.sources.dicom.MAX_BYTES", 50_000)
    with pytest.raises((RuntimeError, AttributeError)):
        store(receiver.port, image(1, picture(1, (512, 512))))
    assert "50000 are the limits" in next_notices(receiver, info)
    takes_the_next_image(receiver, info)


def test_garbage_on_the_port_leaves_the_receiver_ready(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
    takes_the_next_image(receiver, info)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"calling_ae_titles": ("SCANNER",)}, "calling_ae_titles is SCANNER"),
        ({"check_called_ae_title": True}, "it called 'ANY-SCP'; the title here is 'CINEGATE'"),
    ],
    ids=["calling", "called"],
)
def test_a_peer_with_a_wrong_title_is_rejected_and_told_of(settings: dict[str, Any], why: str) -> None:
    source = DicomSource(DicomSettings(port=0, first_frame_timeout_s=0.5, **settings))
    entity, answers = AE(ae_title="PEER"), []
    entity.add_requested_context(MRImageStorage)

    def ask() -> None:
        if wait_until(lambda: source.port):
            answers.append(entity.associate("127.0.0.1", source.port).is_rejected)

    peer = threading.Thread(target=ask, daemon=True)
    peer.start()
    with pytest.raises(Unavailable, match=f"last: dicom receiver: peer 'PEER' at 127.0.0.1 was rejected: {why}"):
        source.open()
    peer.join(PATIENCE_S)
    assert answers == [True]
    assert source.counters == {}


def test_a_flood_of_connections_takes_few_threads_and_no_image(
    receiver: DicomSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.sources.dicom.MAX_CONNECTIONS", 3)
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    entity = AE(ae_title="PEER")
    entity.add_requested_context(MRImageStorage)
    scanner = entity.associate("127.0.0.1", receiver.port)
    before = set(threading.enumerate())  # those of other tests may end late
    with contextlib.ExitStack() as flood:
        for _ in range(20):
            last = flood.enter_context(socket.create_connection(("127.0.0.1", receiver.port), PATIENCE_S))
        assert last.recv(1) == b""
        acceptors = [one for one in set(threading.enumerate()) - before if one.name.startswith("AcceptorThread")]
        assert len(acceptors) < 6  # of the 20 that were asked for
        assert scanner.send_c_store(image(1)).Status == 0
        assert len(read(receiver, info, 1)[0]) == 1
    scanner.release()
