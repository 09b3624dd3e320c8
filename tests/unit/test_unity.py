"""The MR-linac's `.bin` frames: exactly the vendor's pixels, and every bad file is refused."""

from __future__ import annotations

import threading
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import BadFrame, BadRecording, DriverError, FramesDropped, SourceFault, Unavailable
from drivers.formats.nrbf import MAX_BYTES, parse_nrbf
from drivers.formats.unity import filled, parse_unity, read_unity
from drivers.ports import EndOfStream
from drivers.recordings import open_recording
from drivers.sources.replay import ReplaySource
from drivers.sources.unity import UnitySettings, UnitySource
from gating.geometry.contours import contour_centroid, mask_from_contour
from tests.patience import PATIENCE_S, next_notices
from tests.unity_files import INTERVAL_NS, later, put, real_files, session, small, with_double

BEFORE_1970_NS = -100 * 365 * 86_400 * 10**9
IN_THE_EIGHTIES_NS = -35 * 365 * 86_400 * 10**9


@pytest.fixture(scope="session")
def one(shared_data: Path) -> bytes:
    return real_files(shared_data)[0].read_bytes()


@pytest.fixture
def files(shared_data: Path) -> list[Path]:
    return real_files(shared_data)


def test_pixels_are_those_of_the_vendors_own_conversion(files: list[Path]) -> None:
    assert len(files) == 3
    for file in files:
        converted = pydicom.dcmread(file.with_suffix(".dcm"))
        np.testing.assert_array_equal(read_unity(file).frame.pixels, converted.pixel_array)


def test_geometry_is_that_of_the_vendors_own_conversion(files: list[Path]) -> None:
    for file in files:
        converted, geometry = pydicom.dcmread(file.with_suffix(".dcm")), read_unity(file).frame.geometry
        np.testing.assert_allclose(geometry.pixel_spacing_mm, converted.PixelSpacing, rtol=1e-9)
        np.testing.assert_array_equal(geometry.image_orientation, converted.ImageOrientationPatient)
        np.testing.assert_allclose(geometry.image_position_mm, converted.ImagePositionPatient, rtol=1e-9)
        assert geometry.plane == file.parent.name


def test_the_last_stage_is_the_latency_in_the_vendors_file_name(files: list[Path]) -> None:
    for file in files:
        stages = read_unity(file).stages_ms
        assert list(stages.values())[-1] == pytest.approx(float(file.stem.split("_")[-2]), abs=5e-5)
        assert list(stages.values()) == sorted(stages.values())


def test_the_stamp_is_utc_and_agrees_with_the_local_stage_stamp(one: bytes) -> None:
    document = parse_nrbf(one)
    timing = document.resolve(document.root.members["<TimingInfo>k__BackingField"])
    first = document.resolve(document.resolve(timing.members["_items"])[0])
    local_ticks = first.members["<Now>k__BackingField"] & (2**62 - 1)
    local_unix_ns = local_ticks * 100 - 62_135_596_800 * 10**9
    assert local_unix_ns - parse_unity(one, "one").frame.acquired_ns == 3_600 * 10**9


def test_the_outline_encloses_the_centroid(files: list[Path]) -> None:
    for file in files:
        unity = read_unity(file)
        geometry, contour = unity.frame.geometry, unity.target_contour_px()
        assert contour is not None
        away_mm = np.subtract(unity.centroid_mm, geometry.image_position_mm)
        row_mm, column_mm = geometry.pixel_spacing_mm
        centroid_px = (
            away_mm @ geometry.image_orientation[:3] / column_mm,
            away_mm @ geometry.image_orientation[3:] / row_mm,
        )
        assert np.linalg.norm(np.subtract(contour_centroid(contour), centroid_px)) < 6
        outline = next(iter(unity.outlines.values()))
        np.testing.assert_array_equal(mask_from_contour(contour, outline.shape), filled(outline))


def test_a_folder_is_a_recording_sorted_by_acquisition(shared_data: Path, tmp_path: Path) -> None:
    session(shared_data, tmp_path, 6)
    recording = open_recording(tmp_path)
    assert recording.plane == "sagittal"
    assert recording.target_contour_px is not None
    np.testing.assert_array_equal(np.diff(recording.stamps_ns), INTERVAL_NS)
    np.testing.assert_array_equal(recording.frames[3], np.roll(recording.frames[0], 3))


@pytest.mark.parametrize("by_ns", [BEFORE_1970_NS, IN_THE_EIGHTIES_NS], ids=["before 1970", "before the machine"])
def test_a_frame_with_an_impossible_date_is_dropped_and_named(shared_data: Path, tmp_path: Path, by_ns: int) -> None:
    paths = session(shared_data, tmp_path, 6)
    paths[2].write_bytes(later(paths[2].read_bytes(), by_ns))
    with pytest.warns(FramesDropped, match=rf"1 of 6 frames dropped, {paths[2].name}: the acquisition stamp is "):
        recording = open_recording(tmp_path)
    np.testing.assert_array_equal(np.diff(recording.stamps_ns) // INTERVAL_NS, [1, 2, 1, 1])
    assert paths[2].name in recording.description


def test_a_single_frame_is_a_recording_of_one_frame(shared_data: Path, tmp_path: Path) -> None:
    session(shared_data, tmp_path, 1)
    recording = open_recording(tmp_path)
    assert (len(recording), recording.nominal_interval_ns) == (1, 0)
    assert recording.target_contour_px is not None
    source = ReplaySource(recording)
    assert source.open().nominal_interval_ns == 0
    assert source.read_into(np.zeros(recording.shape, recording.dtype), 1000) is not None
    with pytest.raises(EndOfStream):
        source.read_into(np.zeros(recording.shape, recording.dtype), 0)
    with pytest.raises(Unavailable, match="it holds 1 frame; a loop needs 2 or more"):
        ReplaySource(recording, loop=True).open()


def test_a_frame_with_the_stamp_of_another_is_dropped(shared_data: Path, tmp_path: Path) -> None:
    paths = session(shared_data, tmp_path, 6)
    paths[2].write_bytes(later(paths[2].read_bytes(), INTERVAL_NS))
    with pytest.warns(FramesDropped, match="the acquisition stamp is that of"):
        assert len(open_recording(tmp_path)) == 5


@pytest.mark.parametrize("bad", [2, 6], ids=["some", "all"])
def test_a_folder_with_several_bad_stamps_is_refused(shared_data: Path, tmp_path: Path, bad: int) -> None:
    for path in session(shared_data, tmp_path, 6)[:bad]:
        path.write_bytes(later(path.read_bytes(), BEFORE_1970_NS))
    with pytest.raises(BadRecording, match=f"{bad} of 6 frames dropped, .*; 1 is the limit"):
        open_recording(tmp_path)


def test_a_recording_of_several_planes_is_taken_plane_by_plane(shared_data: Path, tmp_path: Path) -> None:
    session(shared_data, tmp_path, 3)
    session(shared_data, tmp_path, 4, "coronal")
    with pytest.raises(BadRecording, match=r"coronal \(4\), sagittal \(3\)"):
        open_recording(tmp_path)
    assert len(open_recording(tmp_path, plane="coronal")) == 4


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        pytest.param(lambda data: b"", "1 bytes are needed at byte 0", id="empty"),
        pytest.param(lambda data: data[:-200_000], "are left", id="cut"),
        pytest.param(lambda data: b"\x01" + data[1:], "the first byte is 1; 0", id="first byte"),
        pytest.param(
            lambda data: data.replace(b"MotionManagementResultData", b"MotionManagementResultDatb"),
            "root object",
            id="root object",
        ),
        pytest.param(
            lambda data: data.replace(b"<Data>k", b"<Dota>k"), "VolumeData has no member Data", id="no pixels"
        ),
        pytest.param(lambda data: with_double(data, 1.2979999780654907, -1.0), "pixel spacing", id="negative spacing"),
        pytest.param(
            lambda data: with_double(data, 1.2979999780654907, float("nan")), "VoxelSize is nan", id="nan spacing"
        ),
        pytest.param(
            lambda data: data.replace(b"\x50\x01\x00\x00\x50\x01\x00\x00\x01", b"\xff\xff\xff\x7f\x50\x01\x00\x00\x01"),
            "Dimension",
            id="huge dimension",
        ),
        pytest.param(
            lambda data: data.replace(b"\x50\x01\x00\x00\x50\x01\x00\x00\x01", b"\x51\x01\x00\x00\x50\x01\x00\x00\x01"),
            "Data is",
            id="wrong dimension",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_a_sentence(one: bytes, damage, sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        parse_unity(damage(one), "one")


def test_the_small_frame_is_whole(one: bytes) -> None:
    assert parse_unity(small(one), "small").frame.pixels.shape == (8, 8)
    assert len(small(one)) < 10_000


@pytest.fixture(scope="session")
def small_one(one: bytes) -> bytes:
    """A small frame, read once before, so that what reading imports does not count as its memory."""
    parse_unity(small(one), "small").target_contour_px()
    return small(one)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_raise_only_driver_errors_in_bounded_memory(small_one: bytes, data: st.DataObject) -> None:
    broken = bytearray(small_one)
    for _ in range(data.draw(st.integers(0, 6), "damages")):
        at = data.draw(st.integers(0, len(broken) - 1), "at")
        match data.draw(st.sampled_from(["flip", "set", "cut", "insert", "size"]), "damage"):
            case "flip":
                broken[at] ^= 1 << data.draw(st.integers(0, 7))
            case "set":
                broken[at] = data.draw(st.integers(0, 255))
            case "cut":
                del broken[at : at + data.draw(st.integers(1, 64))]
            case "insert":
                broken[at:at] = data.draw(st.binary(max_size=32))
            case "size":
                broken[at : at + 4] = data.draw(
                    st.sampled_from([b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 4])
                )
    if not broken:
        return
    tracemalloc.start()
    with suppress(DriverError):
        parse_unity(bytes(broken), "fuzzed").target_contour_px()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * 2**20


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(BadFrame):
        parse_unity(b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00" + noise, "noise")


def test_nesting_is_bounded() -> None:
    header = b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00"
    nested = b"".join(b"\x10" + number.to_bytes(4, "little") + b"\x01\x00\x00\x00" for number in range(1, 5000))
    with pytest.raises(BadFrame, match="nested deeper than 32"):
        parse_nrbf(header + nested)


def test_oversized_streams_are_refused_unread() -> None:
    with pytest.raises(BadFrame, match=f"{MAX_BYTES} is the limit"):
        parse_nrbf(bytes(MAX_BYTES + 1))


def live(folder: Path, **options) -> UnitySource:
    chosen = {"frames_per_s": 5.0, "first_frame_timeout_s": PATIENCE_S, "incomplete_ms": 100.0} | options
    return UnitySource(UnitySettings(folder=str(folder), existing=True, **chosen))


def read(source: UnitySource, count: int) -> list[int]:
    """Acquisition stamps of the next frames, up to `count`."""
    info = source.open()
    pixels, stamps = np.zeros(info.shape, info.dtype), []
    while len(stamps) < count and (stamp := source.read_into(pixels, round(PATIENCE_S * 1e3))) is not None:
        stamps.append(stamp.acquired_ns)
    return stamps


def test_frames_are_taken_as_they_are_written(one: bytes, tmp_path: Path) -> None:
    """Files written before the watch begins count as old, so a file is written again and again."""
    put(tmp_path / "old.bin", one)
    source, done = UnitySource(UnitySettings(folder=str(tmp_path))), threading.Event()

    def write() -> None:
        index = 1
        while not done.wait(0.03):
            put(tmp_path / f"live_{index:04d}.bin", later(one, index * INTERVAL_NS, index))
            index += 1

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    info, stamps = source.open(), read(source, 6)
    done.set()
    writer.join()
    source.close()
    assert (info.nominal_interval_ns, info.acquired_clock, info.shape) == (INTERVAL_NS, "unity-utc", (336, 336))
    assert stamps[0] > parse_unity(one, "one").frame.acquired_ns
    np.testing.assert_array_equal(np.diff(stamps), INTERVAL_NS)


def test_a_half_written_file_is_read_once_it_is_whole(one: bytes, tmp_path: Path) -> None:
    put(tmp_path / "a.bin", one)
    source = live(tmp_path, incomplete_ms=60_000.0)
    assert len(read(source, 1)) == 1
    (tmp_path / "b.bin").write_bytes(later(one, INTERVAL_NS)[:100_000])
    assert source.read_into(np.zeros((336, 336), np.uint16), 150) is None
    (tmp_path / "b.bin").write_bytes(later(one, INTERVAL_NS))
    assert len(read(source, 1)) == 1
    assert source.counters == {}


def test_a_file_that_stays_half_written_is_refused_and_the_next_one_read(one: bytes, tmp_path: Path) -> None:
    put(tmp_path / "a.bin", one)
    source = live(tmp_path)
    read(source, 1)
    (tmp_path / "b.bin").write_bytes(later(one, INTERVAL_NS)[:100_000])
    assert "b.bin was refused, unchanged for 100 ms" in next_notices(source, source.open())
    put(tmp_path / "c.bin", later(one, 2 * INTERVAL_NS))
    assert len(read(source, 1)) == 1
    assert source.counters == {"refused": 1}


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        pytest.param(lambda data: later(data, -INTERVAL_NS), "late", "200.0 ms older", id="late"),
        pytest.param(lambda data: later(data, 0, 5), "repeated", "its stamp is that of the one before", id="repeated"),
        pytest.param(
            lambda data: with_double(later(data, INTERVAL_NS), 1.2979999780654907, 1.5),
            "differing",
            "pixel_spacing_mm is 1.5",
            id="spacing",
        ),
        pytest.param(
            lambda data: with_double(later(data, INTERVAL_NS), 51.20000076293946, 41.0),
            "differing",
            "image_position_mm",
            id="position",
        ),
        pytest.param(
            lambda data: small(later(data, INTERVAL_NS)),
            "differing",
            r"shape is \(8, 8\), the stream began with",
            id="shape",
        ),
    ],
)
def test_a_frame_of_another_stream_is_refused_and_the_next_one_read(
    one: bytes, tmp_path: Path, change, kind: str, sentence: str
) -> None:
    put(tmp_path / "a.bin", one)
    source = live(tmp_path)
    read(source, 1)
    put(tmp_path / "b.bin", change(one))
    assert sentence.replace("\\", "") in next_notices(source, source.open())
    assert source.counters == {kind: 1}
    put(tmp_path / "c.bin", later(one, 2 * INTERVAL_NS))
    assert len(read(source, 1)) == 1


def test_a_clock_set_back_is_reported_and_the_stream_goes_on(one: bytes, tmp_path: Path) -> None:
    put(tmp_path / "a.bin", later(one, 3_600 * 10**9))
    source = live(tmp_path)
    read(source, 1)
    put(tmp_path / "b.bin", one)
    assert "lies 3600.000 s before the newest; 10 s is the limit" in next_notices(source, source.open())
    put(tmp_path / "c.bin", later(one, INTERVAL_NS))
    assert len(read(source, 1)) == 1


def test_only_the_plane_asked_for_is_taken(shared_data: Path, tmp_path: Path) -> None:
    session(shared_data, tmp_path, 3, "sagittal")
    session(shared_data, tmp_path, 3, "coronal")
    source = live(tmp_path, plane="coronal")
    assert source.open().planes == ("coronal",)
    assert len(read(source, 3)) == 3
    assert source.counters == {"other_plane": 3}


def test_an_interleaved_scan_is_one_stream_of_fixed_geometry_per_plane(shared_data: Path, tmp_path: Path) -> None:
    frames = {path.parent.name: path.read_bytes() for path in real_files(shared_data)}
    first_ns = {plane: parse_unity(data, plane).frame.acquired_ns for plane, data in frames.items()}
    planes = ("sagittal", "coronal")

    def write(index: int, data: bytes, plane: str) -> None:
        put(tmp_path / f"{index}.bin", later(data, index * 100_000_000 - first_ns[plane] + first_ns["sagittal"], index))

    for index in range(10):
        write(index, frames[planes[index % 2]], planes[index % 2])
    source = live(tmp_path, plane="all")
    info = source.open()
    assert set(info.planes) == set(planes)
    pixels = np.zeros(info.shape, info.dtype)
    stamps = [source.read_into(pixels, round(PATIENCE_S * 1e3)) for _ in range(10)]
    assert [stamp.plane for stamp in stamps if stamp] == list(planes) * 5
    assert len({stamp.image_orientation for stamp in stamps if stamp}) == 2
    write(10, with_double(frames["coronal"], 1.2979999780654907, 1.5), "coronal")
    assert "pixel_spacing_mm is 1.5" in next_notices(source, source.open())


def test_an_empty_folder_and_a_missing_one_are_reported(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"0 frames came within 0.2 s; 1 are needed"):
        live(tmp_path, first_frame_timeout_s=0.2).open()
    with pytest.raises(Unavailable, match="gone cannot be read: No such file"):
        live(tmp_path / "gone").open()


def test_a_folder_that_vanishes_ends_the_stream(one: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder / "a.bin", one)
    source = live(folder)
    read(source, 1)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceFault, match="cannot be read"):
        read(source, 1)
