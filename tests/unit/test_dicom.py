"""DICOM MR images: what is read from them, live and recorded, with dcmtk and pynetdicom as the peers."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="install cinegate[dicom]")
pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless  # noqa: E402
from pynetdicom import AE  # noqa: E402

from drivers.errors import BadFrame, BadRecording, Unavailable  # noqa: E402
from drivers.formats.dicom import frames_of, read_dicom_file  # noqa: E402
from drivers.formats.dicom_time import time_of_day_ns  # noqa: E402
from drivers.recordings import open_recording  # noqa: E402
from drivers.sources.dicom import DicomSettings, DicomSource  # noqa: E402
from gating.clock import MonotonicClock  # noqa: E402
from gating.messages import StampMeaning  # noqa: E402
from tests.dicom_files import INTERVAL_S, SERIES, encoded, enhanced, image, picture, put, time_of_day  # noqa: E402

INTERVAL_NS = round(INTERVAL_S * 1e9)
WHOLE = encoded(image(pixels=picture(0, (8, 8))))


@pytest.fixture
def storescu() -> str:
    """dcmtk's own sender."""
    command = shutil.which("storescu")
    if command is None:
        pytest.skip("dcmtk's storescu is not installed (apt-get install dcmtk)")
    return command


def frames(dataset: Any):
    return frames_of(lambda: dataset, "one")


# What is in an image


def test_a_folder_of_single_frames_is_the_recording_that_it_was_made_from(shared_data: Path) -> None:
    recording = open_recording(shared_data / "liver_cine_dicom" / "II29_1")
    with np.load(shared_data / "liver_cine" / "II29_1.npz") as original:
        np.testing.assert_array_equal([recording.frames[i] for i in range(120)], original["frames"][:120])
        since_first_ns = np.rint((original["t_s"][:120] - original["t_s"][0]) * 1e9)
        np.testing.assert_allclose(recording.stamps_ns - recording.stamps_ns[0], since_first_ns, atol=1000)
        np.testing.assert_allclose(recording.pixel_spacing_mm, original["pixel_spacing_mm"])
        np.testing.assert_allclose(recording.image_position_mm, original["image_position_patient"])
        np.testing.assert_allclose(recording.image_orientation, original["image_orientation_patient"])
    assert (len(recording), recording.plane, recording.stamp_meaning) == (120, "sagittal", StampMeaning.START)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_stored_values_are_kept(dtype: str) -> None:
    pixels = (picture(0).astype(np.int64) - (2000 if dtype == "int16" else 0)).astype(dtype)
    (frame,) = frames(image(pixels=pixels))
    assert frame.pixels.dtype == ("float32" if dtype == "int16" else dtype)
    np.testing.assert_array_equal(frame.pixels, pixels)


def test_every_byte_order_gives_the_same_frame() -> None:
    dataset = image()
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        buffer = BytesIO()
        other = pydicom.dcmread(BytesIO(encoded(dataset)))
        other.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            other.PixelData = picture(0).astype(">u2").tobytes()
        pydicom.dcmwrite(buffer, other, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
        (frame,) = frames(pydicom.dcmread(BytesIO(buffer.getvalue())))
        np.testing.assert_array_equal(frame.pixels, picture(0))
        assert frame.geometry.pixel_spacing_mm == (2.0, 1.5)


def test_no_identifier_comes_along() -> None:
    (frame,) = frames(image())
    words = f"{frame.name} {frame.clock} {frame.series}"
    assert "Secret" not in words
    assert "SECRET" not in words
    assert frame.series == SERIES


# When it was acquired


@pytest.mark.parametrize(
    ("attributes", "clock", "acquired_ns"),
    [
        ({}, "dicom-time-of-day", 36_000 * 10**9),
        ({"AcquisitionTime": "23:59:59.5"}, "dicom-time-of-day", 86_399_500_000_000),
        ({"AcquisitionDate": "19700102"}, "dicom-local", (86_400 + 36_000) * 10**9),
        ({"AcquisitionDate": "19700102", "TimezoneOffsetFromUTC": "+0200"}, "dicom-utc", (86_400 + 28_800) * 10**9),
        ({"AcquisitionDateTime": "19700102100000.000001-0100"}, "dicom-utc", (86_400 + 39_600) * 10**9 + 1000),
        ({"AcquisitionDateTime": "19700102110000"}, "dicom-local", (86_400 + 39_600) * 10**9),
        ({"AcquisitionTime": "100000.000001", "ContentTime": "110000"}, "dicom-time-of-day", 36_000 * 10**9 + 1000),
    ],
)
def test_the_acquisition_stamp_is_exact_and_names_its_clock(attributes, clock: str, acquired_ns: int) -> None:
    (frame,) = frames(image(**attributes))
    assert (frame.acquired_ns, frame.clock, frame.meaning) == (acquired_ns, clock, StampMeaning.START)


def test_a_frames_own_start_comes_before_its_reference_moment_and_the_images_time() -> None:
    stamps, pixels = ["19700102100000.1", "19700102100000.3"], np.stack([picture(0), picture(1)])
    started = enhanced(stamps, pixels, AcquisitionDateTime="19700102090000")
    for group in started.PerFrameFunctionalGroupsSequence:
        group.FrameContentSequence[0].FrameReferenceDateTime = "19700102100005"
    referred = enhanced(stamps, pixels, "FrameReferenceDateTime", AcquisitionDateTime="19700102090000")
    for dataset, meaning in ((started, StampMeaning.START), (referred, StampMeaning.KSPACE_CENTRE)):
        read = frames(dataset)
        assert [frame.acquired_ns for frame in read] == [122_400_100_000_000, 122_400_300_000_000]
        assert {frame.meaning for frame in read} == {meaning}
        np.testing.assert_array_equal([frame.pixels for frame in read], pixels)


def test_frame_times_add_up_from_the_images_own() -> None:
    pixels = np.stack([picture(0), picture(1), picture(2)])
    for attributes in ({"FrameTime": "150.5"}, {"FrameTimeVector": ["0", "150.5", "150.5"]}):
        read = frames(image(pixels=pixels, NumberOfFrames=3, **attributes))
        assert [frame.acquired_ns - 36_000 * 10**9 for frame in read] == [0, 150_500_000, 301_000_000]


@given(st.integers(0, 86_400_000_000 - 1))
def test_a_time_of_day_is_read_to_the_microsecond(microseconds: int) -> None:
    assert time_of_day_ns("AcquisitionTime", time_of_day(microseconds / 1e6)) == microseconds * 1000


def test_a_recording_over_midnight_stays_in_order(tmp_path: Path) -> None:
    for index in range(6):
        put(tmp_path / f"{index}.dcm", image(index, AcquisitionTime=time_of_day(86_399.5 + index * INTERVAL_S)))
    recording = open_recording(tmp_path)
    np.testing.assert_array_equal(np.diff(recording.stamps_ns), INTERVAL_NS)
    np.testing.assert_array_equal(recording.frames[5], picture(5))


# What is refused


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (lambda: image(AcquisitionTime=None), "AcquisitionTime is missing"),
        (lambda: image(AcquisitionTime="1000"), "AcquisitionTime is '1000'; HHMMSS"),
        (lambda: image(AcquisitionTime="256100"), "AcquisitionTime is '256100'"),
        (lambda: image(AcquisitionDate="19701301"), "AcquisitionDate is '19701301'"),
        (lambda: image(AcquisitionDateTime="19700102"), "AcquisitionDateTime is '19700102'"),
        (lambda: image(AcquisitionDate="20240101", TimezoneOffsetFromUTC="west"), "TimezoneOffsetFromUTC is 'west'"),
        (lambda: image(PixelSpacing=None), "PixelSpacing is missing"),
        (lambda: image(PixelSpacing=[0, 1]), "pixel spacing"),
        (lambda: image(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "two orthogonal unit vectors"),
        (lambda: image(Rows=49), "PixelData has 3840 bytes; 3920 are needed"),
        (lambda: image(Rows=65_000), "Rows is 65000; 8 to 4096 is needed"),
        (lambda: image(NumberOfFrames=100_000), "NumberOfFrames is 100000; 1 to 4096"),
        (lambda: image(NumberOfFrames=2, Rows=24), "FrameTime is missing; 2 frames need one above 0 ms"),
        (lambda: image(SamplesPerPixel=3), "SamplesPerPixel is 3"),
        (lambda: image(BitsAllocated=12), "BitsAllocated is 12"),
        (
            lambda: enhanced(["19700102100000"], np.stack([picture(0), picture(1)]), NumberOfFrames=2),
            "has 1 items; frame 2",
        ),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_with_a_sentence(dataset, sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        frames(dataset())


def test_compressed_images_are_refused_and_deflated_ones_unread(tmp_path: Path) -> None:
    compressed = image()
    compressed.file_meta.TransferSyntaxUID = RLELossless
    with pytest.raises(BadFrame, match="RLE Lossless; uncompressed"):
        frames(compressed)
    deflated = image()
    deflated.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    with pytest.raises(BadFrame, match="deflated"):
        read_dicom_file(put(tmp_path / "a.dcm", deflated))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_only_bad_frame_comes_out(tmp_path: Path, data: st.DataObject) -> None:
    broken = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(broken) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                broken[at] = data.draw(st.integers(0, 255))
            case "cut":
                del broken[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                broken[at:at] = data.draw(st.binary(max_size=20))
        broken = broken or bytearray(1)
    (tmp_path / "broken.dcm").write_bytes(broken)
    try:
        read_dicom_file(tmp_path / "broken.dcm")
    except BadFrame:
        return


def test_a_recording_whose_geometry_changes_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "0.dcm", image(0))
    put(tmp_path / "1.dcm", image(1, PixelSpacing=[2.0, 1.6]))
    with pytest.raises(BadRecording, match=r"1\.dcm: pixel_spacing_mm is 2, 1.6, the stream began with 2, 1.5"):
        open_recording(tmp_path)


# Live, by C-STORE


@pytest.fixture
def receiver():
    """A receiver on a free port, opened by the first peer's frames."""
    source = DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=10.0, idle_timeout_s=2.0))
    yield source
    source.close()


def opened_by(source: DicomSource, send) -> Any:
    """Open a receiver while a peer sends, since the first frames say what the stream is."""

    def wait_and_send() -> None:
        while source.port == 0:
            time.sleep(0.01)
        send(source.port)

    peer = threading.Thread(target=wait_and_send, daemon=True)
    peer.start()
    info = source.open()
    peer.join(10)
    return info


def read(source: DicomSource, info: Any, count: int, timeout_ms: int = 1000):
    """Stamps and pixels of up to `count` frames."""
    pixels, stamps, images = np.zeros(info.shape, info.dtype), [], []
    while len(stamps) < count and (stamp := source.read_into(pixels, timeout_ms)) is not None:
        stamps.append(stamp)
        images.append(pixels.copy())
    return stamps, images


def store(port: int, *datasets: Any) -> list[int]:
    """Send images over one association with pynetdicom; return the statuses."""
    entity = AE(ae_title="PEER")
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
        "dicom receiver: frame image 3 was dropped: it comes late, 200.0 ms older than the newest"
    ]


def test_an_unusable_image_is_refused_to_the_peer_and_the_next_one_taken(receiver: DicomSource) -> None:
    statuses = []
    bad = image(1, AcquisitionTime=None)
    info = opened_by(receiver, lambda port: statuses.extend(store(port, image(0), bad, image(2))))
    assert len(read(receiver, info, 2)[0]) == 2
    assert statuses == [0, 0xC000, 0]
    assert receiver.counters == {"refused": 1}
    assert "image 2 of peer 'PEER' at 127.0.0.1 was refused: AcquisitionTime is missing" in receiver.take_notices()[0]


def test_a_peer_that_vanishes_in_mid_message_leaves_the_receiver_ready(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    assert len(read(receiver, info, 1)[0]) == 1
    entity = AE(ae_title="PEER")
    entity.add_requested_context(MRImageStorage)
    association = entity.associate("127.0.0.1", receiver.port)
    association.dul.socket.send(b"\x04\x00\x00\x00\x10\x00\x00\x00\x0f\xf0\x01\x03" + b"\x00" * 100)
    association.dul.socket.close()
    assert read(receiver, info, 1, 1000)[0] == []
    assert "went without releasing its association" in " ".join(receiver.take_notices())
    assert store(receiver.port, image(1)) == [0]
    assert len(read(receiver, info, 1)[0]) == 1


def test_a_length_beyond_the_limit_is_not_believed(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
        connection.sendall(b"\x01\x00\x7f\xff\xff\xff" + bytes(1000))
        assert connection.recv(100) == b""
    assert read(receiver, info, 1, 200)[0] == []
    assert "2147483647 bytes in a unit" in " ".join(receiver.take_notices())
    assert store(receiver.port, image(1)) == [0]
    assert len(read(receiver, info, 1)[0]) == 1


def test_a_message_without_end_is_cut_off(receiver: DicomSource, monkeypatch: pytest.MonkeyPatch) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    monkeypatch.setattr("drivers.sources.dicom.MAX_BYTES", 50_000)
    with pytest.raises((RuntimeError, AttributeError)):
        store(receiver.port, image(1, picture(1, (512, 512))))
    assert read(receiver, info, 1, 200)[0] == []
    assert "50000 are the limits" in " ".join(receiver.take_notices())
    assert store(receiver.port, image(1)) == [0]
    assert len(read(receiver, info, 1)[0]) == 1


def test_garbage_on_the_port_leaves_the_receiver_ready(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(0)))
    read(receiver, info, 1)
    with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
    assert store(receiver.port, image(1)) == [0]
    assert len(read(receiver, info, 1)[0]) == 1


def test_a_second_series_at_the_same_time_is_refused(receiver: DicomSource) -> None:
    other = image(1, SeriesInstanceUID="1.2.3")
    info = opened_by(receiver, lambda port: store(port, image(0), other, image(2)))
    assert len(read(receiver, info, 2)[0]) == 2
    assert receiver.counters == {"second_series": 1}
    assert "the first one was heard" in receiver.take_notices()[0]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (lambda: image(1, picture(1, (40, 48))), "its shape is (40, 48), the stream began with (48, 40)"),
        (lambda: image(1, picture(1).astype(np.uint8)), "its pixel type is uint8, the stream began with uint16"),
        (lambda: image(1, PixelSpacing=[2.0, 2.0]), "pixel_spacing_mm is 2, 2, the stream began with 2, 1.5"),
        (lambda: image(1, ImagePositionPatient=[-5, -50, 60]), "image_position_mm is -5, -50, 60"),
        (lambda: image(1, AcquisitionDate="20240101"), "its clock is dicom-local"),
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


def test_a_clock_set_back_by_minutes_is_named_and_the_stream_goes_on_from_there(receiver: DicomSource) -> None:
    info = opened_by(receiver, lambda port: store(port, image(600), image(0), image(1)))
    stamps, _ = read(receiver, info, 2)
    assert stamps[0].acquired_ns - stamps[1].acquired_ns == 599 * INTERVAL_NS
    assert receiver.counters == {"set_back": 1}
    assert "lies 120.000 s before the newest; 10 s is the limit" in receiver.take_notices()[0]


def test_images_without_stamps_are_taken_only_where_the_arrival_is_asked_for() -> None:
    source = DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=10.0, arrival_time=True))
    info = opened_by(source, lambda port: store(port, image(0, AcquisitionTime=None)))
    assert (info.acquired_clock, info.acquired_meaning) == (MonotonicClock().name, StampMeaning.ARRIVAL)
    source.close()


def test_a_peer_that_is_not_on_the_list_is_turned_away(receiver: DicomSource) -> None:
    source = DicomSource(DicomSettings(port=0, first_frame_timeout_s=1.0, calling_ae_titles=("SCANNER",)))
    association = None

    def knock(port: int) -> None:
        nonlocal association
        entity = AE(ae_title="PEER")
        entity.add_requested_context(MRImageStorage)
        association = entity.associate("127.0.0.1", port)

    with pytest.raises(Unavailable, match="0 frames came within 1 s"):
        opened_by(source, knock)
    assert association is not None
    assert association.is_rejected


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            DicomSource(DicomSettings(port=port)).open()


# Live, from a folder


def test_a_folder_is_watched_and_files_without_a_suffix_are_read(tmp_path: Path) -> None:
    source = DicomSource(DicomSettings(folder=str(tmp_path), first_frame_timeout_s=5.0))
    threading.Timer(0.1, lambda: [put(tmp_path / f"MR{index}", image(index)) for index in range(5)]).start()
    info = source.open()
    _, images = read(source, info, 5)
    np.testing.assert_array_equal(images, [picture(index) for index in range(5)])
    assert info.nominal_interval_ns == INTERVAL_NS
    source.close()


def test_a_half_written_image_waits_until_it_is_whole(tmp_path: Path) -> None:
    put(tmp_path / "0.dcm", image(0))
    source = DicomSource(DicomSettings(folder=str(tmp_path), existing=True, frames_per_s=5.0, incomplete_ms=100.0))
    info = source.open()
    read(source, info, 1)
    whole = encoded(image(1))
    (tmp_path / "1.dcm").write_bytes(whole[:-500])
    assert read(source, info, 1, 50)[0] == []
    (tmp_path / "1.dcm").write_bytes(whole)
    assert len(read(source, info, 1)[0]) == 1
    (tmp_path / "2.dcm").write_bytes(whole[:-500])
    assert read(source, info, 1, 300)[0] == []
    assert "2.dcm was refused, unchanged for 100 ms" in source.take_notices()[0]
    source.close()
