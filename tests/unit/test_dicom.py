"""DICOM MR images: what is read from them, and what is refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from drivers.errors import BadFrame, BadRecording
from drivers.formats.dicom import frames_of, read_dicom_file
from drivers.formats.dicom_time import time_of_day_ns
from drivers.recordings import open_recording
from gating.messages import StampMeaning
from tests.dicom_files import INTERVAL_S, SERIES, encoded, enhanced, image, picture, put, time_of_day

INTERVAL_NS = round(INTERVAL_S * 1e9)
WHOLE = encoded(image(pixels=picture(0, (8, 8))))


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


def test_no_patient_identifier_is_kept() -> None:
    (frame,) = frames(image())
    words = f"{frame.name} {frame.clock} {frame.series}"
    assert "Secret" not in words
    assert "SECRET" not in words
    assert SERIES not in words
    assert frame.series


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


def test_a_frames_start_is_preferred_to_reference_and_image_times() -> None:
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
        pytest.param(lambda: image(AcquisitionTime=None), "AcquisitionTime is missing", id="no time"),
        pytest.param(lambda: image(AcquisitionTime="1000"), "AcquisitionTime is '1000'; HHMMSS", id="short time"),
        pytest.param(lambda: image(AcquisitionTime="256100"), "AcquisitionTime is '256100'", id="no such hour"),
        pytest.param(lambda: image(AcquisitionDate="19701301"), "AcquisitionDate is '19701301'", id="no such month"),
        pytest.param(
            lambda: image(AcquisitionDateTime="19700102"), "AcquisitionDateTime is '19700102'", id="date without time"
        ),
        pytest.param(
            lambda: image(AcquisitionDate="20240101", TimezoneOffsetFromUTC="west"),
            "TimezoneOffsetFromUTC is 'west'",
            id="time zone",
        ),
        pytest.param(lambda: image(PixelSpacing=None), "PixelSpacing is missing", id="no spacing"),
        pytest.param(lambda: image(PixelSpacing=[0, 1]), "pixel spacing", id="zero spacing"),
        pytest.param(
            lambda: image(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "two orthogonal unit vectors", id="parallel axes"
        ),
        pytest.param(lambda: image(Rows=49), "PixelData has 3840 bytes; 3920 are needed", id="too few pixels"),
        pytest.param(lambda: image(Rows=65_000), "Rows is 65000; 8 to 4096 is needed", id="too many rows"),
        pytest.param(
            lambda: image(NumberOfFrames=100_000), "NumberOfFrames is 100000; 1 to 4096", id="too many frames"
        ),
        pytest.param(
            lambda: image(NumberOfFrames=2, Rows=24),
            "FrameTime is missing; 2 frames need one above 0 ms",
            id="no frame time",
        ),
        pytest.param(lambda: image(SamplesPerPixel=3), "SamplesPerPixel is 3", id="colour"),
        pytest.param(lambda: image(BitsAllocated=12), "BitsAllocated is 12", id="bit depth"),
        pytest.param(
            lambda: enhanced(["19700102100000"], np.stack([picture(0), picture(1)]), NumberOfFrames=2),
            "has 1 items; frame 2",
            id="too few frame items",
        ),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_with_a_sentence(dataset, sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        frames(dataset())


def deflated(body: bytes | None = None) -> bytes:
    """A deflated image, as pydicom writes it, or with another data set behind its meta group."""
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    raw = encoded(dataset)
    begin = 144 + int.from_bytes(raw[140:144], "little")
    return raw if body is None else raw[:begin] + body


def test_a_deflated_image_is_read_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(deflated())
    (frame,) = read_dicom_file(tmp_path / "a.dcm")
    np.testing.assert_array_equal(frame.pixels, picture(0))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(lambda: deflated()[:-30], "is cut", id="cut"),
        pytest.param(lambda: deflated(b"noise"), "is damaged", id="damaged"),
        pytest.param(lambda: deflated(packed(bytes(50_001))), "more than 50000 bytes, the limit", id="bomb"),
        pytest.param(lambda: deflated(packed(deflated())), "not its meta group", id="nested"),
        pytest.param(lambda: deflated().replace(b"UL", b"UN", 1), "length of its meta group", id="no length"),
    ],
)
def test_a_deflated_image_never_unpacks_to_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Callable[[], bytes], sentence: str
) -> None:
    monkeypatch.setattr("drivers.formats.dicom_deflated.MAX_BYTES", 50_000)
    (tmp_path / "a.dcm").write_bytes(raw())
    with pytest.raises(BadFrame, match=sentence):
        read_dicom_file(tmp_path / "a.dcm")


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_raise_only_bad_frame(tmp_path: Path, data: st.DataObject) -> None:
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
