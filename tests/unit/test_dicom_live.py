"""DICOM MR images as they arrive, sent by dcmtk or pynetdicom."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")


from drivers.errors import Unavailable
from drivers.recordings import open_recording
from drivers.sources.dicom import DicomSettings, DicomSource
from gating.clocks.clock import MonotonicClock
from gating.messages import StampMeaning
from tests.dicom_files import INTERVAL_S, enhanced, image, picture, put, time_of_day
from tests.dicom_peers import new_receiver, opened_by, read, store

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
    with closing(new_receiver()) as source:
        yield source


def sending(storescu: str, files: Sequence[Path], *options: str) -> Callable[[int], object]:
    """What sends files to a port with dcmtk."""
    return lambda port: subprocess.run(
        [storescu, *options, "127.0.0.1", str(port), *files], check=True, capture_output=True, timeout=60
    )


def test_dcmtk_sends_a_real_cine_and_every_frame_arrives(
    storescu: str, receiver: DicomSource, shared_data: Path
) -> None:
    files = sorted((shared_data / "liver_cine_dicom" / "II29_1").glob("*.dcm"))[:40]
    info = opened_by(receiver, sending(storescu, files))
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
    files = sorted(tmp_path.glob("*.rle"))
    info = opened_by(receiver, sending(storescu, files, "-xr"))
    _, images = read(receiver, info, 3)
    np.testing.assert_array_equal(images, [picture(index) for index in range(3)])


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
    _, images = read(receiver, opened_by(receiver, sending(storescu, [packed], "-xd")), 1)
    np.testing.assert_array_equal(images, [picture(0)])


def test_missing_images_are_reported_after_the_timeout() -> None:
    with pytest.raises(Unavailable, match=r"0 frames came within 0.2 s; 1 are needed"):
        DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=0.2)).open()


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            DicomSource(DicomSettings(port=port)).open()
