"""DICOM MR images as they arrive: sent by dcmtk or pynetdicom, or written into a folder."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")

from pydicom.uid import UID, JPEGLSLossless, MRImageStorage
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from drivers.errors import Unavailable
from drivers.recordings import open_recording
from drivers.sources.dicom import DicomSettings, DicomSource
from drivers.sources.refusals import NOTICE_EVERY_NS
from gating.clocks.clock import ManualClock, MonotonicClock
from gating.messages import StampMeaning, StreamInfo
from tests.dicom_files import INTERVAL_S, START_S, encoded, enhanced, image, picture, put, time_of_day
from tests.patience import PATIENCE_S, next_notices, wait_until

pytestmark = pytest.mark.deadlines

INTERVAL_NS = round(INTERVAL_S * 1e9)


@pytest.fixture
def storescu() -> str:
    """dcmtk's own sender."""
    command = shutil.which("storescu")
    if command is None:
        pytest.skip("dcmtk's storescu is not installed (apt-get install dcmtk)")
    return command


@pytest.fixture
def receiver() -> Iterator[DicomSource]:
    """A receiver on a free port, opened by the first peer's frames."""
    source = DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=60.0, idle_timeout_s=20.0))
    yield source
    source.close()


def opened_by(source: DicomSource, send: Callable[[int], object]) -> Any:
    """Open a receiver while a peer sends, since the first frames define the stream."""

    def wait_and_send() -> None:
        if wait_until(lambda: source.port):
            send(source.port)

    peer = threading.Thread(target=wait_and_send, daemon=True)
    peer.start()
    info = source.open()
    peer.join(60)
    return info


def read(source: DicomSource, info: Any, count: int):
    """Stamps and pixels of up to `count` frames."""
    pixels, stamps, images = np.zeros(info.shape, info.dtype), [], []
    while len(stamps) < count and (stamp := source.read_into(pixels, round(PATIENCE_S * 1e3))) is not None:
        stamps.append(stamp)
        images.append(pixels.copy())
    return stamps, images


def store(port: int, *datasets: Any, title: str = "PEER") -> list[int]:
    """Send images over one association with pynetdicom; return the statuses."""
    entity = AE(ae_title=title)
    for dataset in datasets:
        if not any(context.abstract_syntax == dataset.SOPClassUID for context in entity.requested_contexts):
            entity.add_requested_context(dataset.SOPClassUID)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    connection = association.dul.socket.socket
    try:
        statuses = [association.send_c_store(dataset).Status for dataset in datasets]
        association.release()
    finally:
        connection.close()
    return statuses


def test_dcmtk_sends_a_real_cine_and_every_frame_arrives(
    storescu: str, receiver: DicomSource, shared_data: Path
) -> None:
    files = sorted((shared_data / "liver_cine_dicom" / "II29_1").glob("*.dcm"))[:40]

    def send(port: int) -> None:
        subprocess.run(
            [storescu, "127.0.0.1", str(port), *map(str, files)], check=True, capture_output=True, timeout=60
        )

    info = opened_by(receiver, send)
    stamps, images = read(receiver, info, 40)
    recording = open_recording(shared_data / "liver_cine_dicom" / "II29_1")
    np.testing.assert_array_equal(images, [recording.frames[index] for index in range(40)])
    assert [stamp.acquired_ns for stamp in stamps] == recording.stamps_ns[:40].tolist()
    assert all(
        before.arrived_ns < after.arrived_ns <= time.monotonic_ns() for before, after in itertools.pairwise(stamps)
    )
    assert info.acquired_clock == "dicom-time-of-day"
    assert "II29" not in str(info)
    assert receiver.counters == {}


def test_dcmtk_sends_compressed_images_and_they_arrive_bit_for_bit(
    storescu: str, receiver: DicomSource, tmp_path: Path
) -> None:
    for index in range(3):
        plain = put(tmp_path / f"{index}.dcm", image(index))
        subprocess.run(["dcmcrle", plain, tmp_path / f"{index}.rle"], check=True)
    files = sorted(map(str, tmp_path.glob("*.rle")))
    send = lambda port: subprocess.run([storescu, "-xr", "127.0.0.1", str(port), *files], check=True)  # noqa: E731
    info = opened_by(receiver, send)
    _, images = read(receiver, info, 3)
    np.testing.assert_array_equal(images, [picture(index) for index in range(3)])


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


def test_a_multi_frame_and_an_enhanced_image_arrive_frame_by_frame(receiver: DicomSource) -> None:
    pixels = np.stack([picture(index) for index in range(3)])
    dataset = enhanced([f"19700102100000.{index}" for index in range(3)], pixels)
    info = opened_by(receiver, lambda port: store(port, dataset))
    stamps, images = read(receiver, info, 3)
    np.testing.assert_array_equal(images, pixels)
    assert np.diff([stamp.acquired_ns for stamp in stamps]).tolist() == [100_000_000] * 2


def test_an_image_that_comes_late_is_dropped_and_counted(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0), image(2), image(1), image(3)))
    stamps, _ = read(receiver, info, 3)
    assert np.diff([stamp.acquired_ns for stamp in stamps]).tolist() == [2 * INTERVAL_NS, INTERVAL_NS]
    assert receiver.counters == {"late": 1}
    assert receiver.take_notices() == [
        "dicom receiver: frame image 3 was dropped: it comes late, 200.0 ms older than the newest; "
        "-o order_within_ms lets images wait for those before them"
    ]


def test_an_unusable_image_is_refused_to_the_peer_and_the_next_one_taken(receiver: DicomSource) -> None:
    statuses = []
    bad = image(1, AcquisitionTime=None)
    info = opened_by(receiver, lambda port: statuses.extend(store(port, image(0), bad, image(2))))
    assert len(read(receiver, info, 2)[0]) == 2
    assert statuses == [0, 0xC000, 0]
    assert receiver.counters == {"refused": 1}
    assert "image 2 of peer 'PEER' at 127.0.0.1 was refused: AcquisitionTime is missing" in receiver.take_notices()[0]


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


def test_a_flood_of_connections_takes_few_threads_and_no_image(
    receiver: DicomSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.sources.dicom.MAX_CONNECTIONS", 3)
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    entity = AE(ae_title="PEER")
    entity.add_requested_context(MRImageStorage)
    scanner = entity.associate("127.0.0.1", receiver.port)
    with contextlib.ExitStack() as flood:
        for _ in range(20):
            last = flood.enter_context(socket.create_connection(("127.0.0.1", receiver.port), PATIENCE_S))
        assert last.recv(1) == b""
        acceptors = [one for one in threading.enumerate() if one.name.startswith("AcceptorThread")]
        assert len(acceptors) < 6  # of the 21 that were asked for
        assert scanner.send_c_store(image(1)).Status == 0
        assert len(read(receiver, info, 1)[0]) == 1
    scanner.release()


def test_another_peer_that_goes_on_with_the_series_is_named(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: [store(port, image(0)), store(port, image(1), title="OTHER")])
    stamps, _ = read(receiver, info, 2)
    assert [stamp.peer for stamp in stamps] == ["peer 'PEER' at 127.0.0.1", "peer 'OTHER' at 127.0.0.1"]
    assert {stamp.series for stamp in stamps} == {info.series} == {"scan 0"}


def test_a_second_series_at_the_same_time_is_refused(receiver: DicomSource) -> None:
    other = image(1, SeriesInstanceUID="1.2.3")
    info = opened_by(receiver, lambda port: store(port, image(0), other, image(2)))
    assert len(read(receiver, info, 2)[0]) == 2
    assert receiver.counters == {"second_series": 1}
    assert "the first one sent a frame" in receiver.take_notices()[0]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param(
            lambda: image(1, picture(1, (40, 48))), "its shape is (40, 48), the stream began with (48, 40)", id="shape"
        ),
        pytest.param(
            lambda: image(1, picture(1).astype(np.uint8)),
            "its pixel type is uint8, the stream began with uint16",
            id="pixel type",
        ),
        pytest.param(
            lambda: image(1, PixelSpacing=[2.0, 2.0]),
            "pixel_spacing_mm is 2, 2, the stream began with 2, 1.5",
            id="spacing",
        ),
        pytest.param(
            lambda: image(1, ImagePositionPatient=[-5, -50, 60]), "image_position_mm is -5, -50, 60", id="position"
        ),
        pytest.param(lambda: image(1, AcquisitionDate="20240101"), "its clock is dicom-local", id="clock"),
    ],
)
def test_another_shape_or_geometry_in_mid_stream_is_refused(receiver: DicomSource, changed, sentence: str) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0), changed(), image(2)))
    assert len(read(receiver, info, 2)[0]) == 2
    assert receiver.counters == {"differing": 1}
    assert sentence in receiver.take_notices()[0]


def test_stamps_go_on_over_midnight(receiver: DicomSource) -> None:
    images = [image(index, AcquisitionTime=time_of_day(86_399.9 + index * INTERVAL_S)) for index in range(3)]
    info = opened_by(receiver, lambda port: store(port, *images))
    stamps, _ = read(receiver, info, 3)
    assert np.diff([stamp.acquired_ns for stamp in stamps]).tolist() == [INTERVAL_NS] * 2


def test_a_clock_set_back_is_reported_and_the_stream_goes_on(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(600), image(0), image(1)))
    stamps, _ = read(receiver, info, 2)
    assert stamps[0].acquired_ns - stamps[1].acquired_ns == 599 * INTERVAL_NS
    assert receiver.counters == {"set_back": 1}
    assert "lies 120.000 s before the newest; 10 s is the limit" in receiver.take_notices()[0]


def test_unstamped_images_are_accepted_only_with_arrival_times() -> None:
    source = DicomSource(DicomSettings(port=0, frames_per_s=5.0, arrival_time=True))
    info = opened_by(source, lambda port: store(port, image(0, AcquisitionTime=None)))
    assert (info.acquired_clock, info.acquired_meaning) == (MonotonicClock().name, StampMeaning.ARRIVAL)
    source.close()


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


def test_images_out_of_order_wait_for_those_before_them() -> None:
    order = (3, 0, 4, 1, 2, 5)
    settings = DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=60.0, order_within_ms=500.0)
    with closing(DicomSource(settings)) as source:
        info = opened_by(source, lambda port: store(port, *map(image, order)))
        stamps, images = read(source, info, len(order))
        assert source.counters == {}
    np.testing.assert_array_equal(images, [picture(index) for index in range(len(order))])
    assert all(before.arrived_ns <= after.arrived_ns for before, after in itertools.pairwise(stamps))


def test_a_deflated_image_sent_by_dcmtk_arrives_bit_for_bit(
    storescu: str, receiver: DicomSource, tmp_path: Path
) -> None:
    plain, packed = put(tmp_path / "0.dcm", image(0)), tmp_path / "0.deflated"
    subprocess.run(["dcmconv", "+td", plain, packed], check=True)
    assert b"1.2.840.10008.1.2.1.99" in packed.read_bytes()
    send = lambda port: subprocess.run([storescu, "-xd", "127.0.0.1", str(port), packed], check=True)  # noqa: E731
    _, images = read(receiver, opened_by(receiver, send), 1)
    np.testing.assert_array_equal(images, [picture(0)])


def test_missing_images_are_reported_after_the_timeout() -> None:
    with pytest.raises(Unavailable, match=r"0 frames came within 0.2 s; 1 are needed"):
        DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=0.2)).open()


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            DicomSource(DicomSettings(port=port)).open()


def test_a_folder_is_watched_and_files_without_a_suffix_are_read(tmp_path: Path) -> None:
    """Files written before the watch begins count as old, so a file is written again and again."""
    source, done = DicomSource(DicomSettings(folder=str(tmp_path))), threading.Event()

    def write() -> None:
        index = 0
        while not done.wait(0.02):
            put(tmp_path / f"MR{index:04d}", image(index))
            index += 1

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    info = source.open()
    stamps, images = read(source, info, 5)
    done.set()
    writer.join()
    source.close()
    first = round((stamps[0].acquired_ns / 1e9 - START_S) / INTERVAL_S)
    np.testing.assert_array_equal(images, [picture(first + index) for index in range(5)])
    assert info.nominal_interval_ns == INTERVAL_NS


def watched(folder: Path, incomplete_ms: float) -> tuple[DicomSource, Any]:
    """A source that has read its first file."""
    put(folder / "0.dcm", image(0))
    settings = DicomSettings(folder=str(folder), existing=True, frames_per_s=5.0, incomplete_ms=incomplete_ms)
    source = DicomSource(settings)
    info = source.open()
    assert len(read(source, info, 1)[0]) == 1
    return source, info


def test_a_half_written_image_waits_until_it_is_whole(tmp_path: Path) -> None:
    source, info = watched(tmp_path, 60_000.0)
    whole = encoded(image(1))
    (tmp_path / "1.dcm").write_bytes(whole[:-500])
    assert source.read_into(np.zeros(info.shape, info.dtype), 100) is None
    (tmp_path / "1.dcm").write_bytes(whole)
    assert len(read(source, info, 1)[0]) == 1
    source.close()


def test_an_image_that_stays_half_written_is_refused(tmp_path: Path) -> None:
    source, info = watched(tmp_path, 100.0)
    (tmp_path / "1.dcm").write_bytes(encoded(image(1))[:-500])
    assert "1.dcm was refused, unchanged for 100 ms" in next_notices(source, info)
    source.close()
