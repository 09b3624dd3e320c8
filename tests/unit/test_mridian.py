"""Recordings and streams of the 0.35 T MR-linac, against files written number by number from the description."""

from __future__ import annotations

import io
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drivers.errors import BadFrame, BadRecording, FramesDropped, Unavailable
from drivers.formats.mridian_dat import parse_frames
from drivers.formats.mridian_raw import parse_contours
from drivers.formats.stream import FileParser
from drivers.recordings import open_recording
from drivers.recordings.labelled import read_labelled
from drivers.sources.mridian import MridianSettings, MridianSource
from gating.geometry.contours import box_contour, mask_from_contour
from tests.mridian_files import SPACING_MM, cine, dat_file, dat_frame, raw_file, roi_file, write_series

FRAMES = cine()
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SERIES = arrays(
    np.int16, st.tuples(st.integers(2, 4), st.integers(8, 12), st.integers(8, 12)), elements={"min_value": 0}
)


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def pixels(recording) -> np.ndarray:
    return np.stack([recording.frames[index] for index in range(len(recording))])


def test_a_series_has_its_pixels_spacing_and_given_rate(tmp_path):
    recording = open_recording(written(tmp_path, "a.raw", raw_file(FRAMES, 0.3, 0.4)), frames_per_s=8)
    np.testing.assert_array_equal(pixels(recording), FRAMES)
    assert recording.pixel_spacing_mm == pytest.approx((4.0, 3.0))
    assert recording.stamps_ns[:3].tolist() == [0, 125_000_000, 250_000_000]
    assert recording.times_assumed


def test_a_stream_is_shown_as_the_machine_shows_it(tmp_path):
    recording = open_recording(written(tmp_path, "a_sag.dat", dat_file(FRAMES)), frames_per_s=4, skip_frames=0)
    np.testing.assert_array_equal(pixels(recording), FRAMES)
    assert recording.pixel_spacing_mm == (SPACING_MM, SPACING_MM)
    assert recording.plane == "sagittal"


def test_a_stream_begins_after_its_first_five_frames(tmp_path):
    path = written(tmp_path, "a_sag.dat", dat_file(FRAMES))
    np.testing.assert_array_equal(pixels(open_recording(path, frames_per_s=4)), FRAMES[5:])
    np.testing.assert_array_equal(pixels(open_recording(path, frames_per_s=4, skip_frames=2)), FRAMES[2:])


def test_frames_are_left_out_of_any_recording_with_their_truth(tmp_path):
    path = write_series(tmp_path, FRAMES)
    whole, later = (open_recording(path, frames_per_s=4, skip_frames=count) for count in (0, 3))
    np.testing.assert_array_equal(later.target_track_px, whole.target_track_px[3:])
    np.testing.assert_array_equal(later.target_contour_px, whole.target_contours_px[3])
    with pytest.raises(BadRecording, match="skip_frames is 12; 0 to 11 of 12 is allowed"):
        open_recording(path, frames_per_s=4, skip_frames=12)


@pytest.mark.parametrize("name", ["a.raw", "a.dat"])
def test_without_a_rate_one_sentence_asks_for_it(tmp_path, name):
    path = written(tmp_path, name, raw_file(FRAMES) if name == "a.raw" else dat_file(FRAMES))
    with pytest.raises(BadRecording, match=r"holds no time stamps; give its rate in frames/s \(--frames-per-s\)"):
        open_recording(path)
    with pytest.raises(BadRecording, match="frames_per_s is 0; above 0 up to 1000"):
        open_recording(path, frames_per_s=0)


def test_the_contours_beside_a_series_are_its_target_and_its_track(tmp_path):
    recording = open_recording(write_series(tmp_path, FRAMES), frames_per_s=4)
    np.testing.assert_allclose(recording.target_contour_px, box_contour(8, 10, 8, 10), atol=1e-4)
    np.testing.assert_allclose(recording.target_track_px[:, 0], 11.5, atol=1e-4)
    np.testing.assert_allclose(recording.target_track_px[:, 1], 14.5 + np.arange(12), atol=1e-4)


def test_the_machines_own_contours_are_what_a_tracker_is_scored_on(tmp_path):
    write_series(tmp_path, FRAMES)
    (labelled,) = read_labelled(tmp_path, frames_per_s=8)
    assert labelled.labels is not None
    assert labelled.recording.stamps_ns[1] == 125_000_000
    np.testing.assert_array_equal(labelled.labels[4], mask_from_contour(box_contour(8, 14, 8, 10), (40, 32)))


def test_a_frame_without_a_contour_has_no_place_in_the_track(tmp_path):
    path = written(tmp_path, "a.raw", raw_file(FRAMES))
    written(tmp_path, "a.roi", roi_file({0: [(0.1, 0.1), (0.4, 0.1), (0.4, 0.5)], 5: [(0.1, 0.1), (0.2, 0.2)]}))
    recording = open_recording(path, frames_per_s=4)
    assert np.isfinite(recording.target_track_px).all(axis=1).tolist() == [True] + [False] * 11


@FEW
@given(SERIES)
def test_a_series_and_a_stream_give_back_any_pixels(tmp_path_factory, frames):
    folder = tmp_path_factory.mktemp("any")
    for name, data in (("a.raw", raw_file(frames)), ("a.dat", dat_file(frames))):
        recording = open_recording(written(folder, name, data), frames_per_s=4, skip_frames=0)
        np.testing.assert_array_equal(pixels(recording), frames)


@FEW
@given(
    st.dictionaries(st.integers(0, 11), st.lists(st.tuples(*[st.floats(-1, 2, width=32)] * 2), min_size=3, max_size=9))
)
def test_any_contours_lie_where_their_fractions_say(contours):
    found = parse_contours(roi_file(contours), (40, 32))
    assert found.keys() == contours.keys()
    for frame, points in contours.items():
        np.testing.assert_allclose(found[frame], np.array(points) * (32, 40) - 0.5, atol=1e-3)


def test_every_truncation_of_a_series_is_one_sentence(tmp_path):
    whole = raw_file(cine(2, 8, 8))
    for end in range(len(whole)):
        with pytest.raises(BadRecording, match=r"a\.raw: the file has \d+ bytes; "):
            open_recording(written(tmp_path, "a.raw", whole[:end]), frames_per_s=4)


def test_every_truncation_of_contours_is_one_sentence():
    whole = roi_file({0: [(0.1, 0.1), (0.4, 0.1), (0.4, 0.5)], 3: [(0.1, 0.1), (0.4, 0.1), (0.4, 0.5)]})
    for end in range(len(whole)):
        with pytest.raises(BadFrame, match="contour"):
            parse_contours(whole[:end], (40, 32))


def test_every_truncation_of_a_stream_gives_its_whole_frames():
    whole, one = dat_file(cine(3, 8, 8)), len(dat_frame(cine(1, 8, 8)[0]))
    for end in range(len(whole)):
        assert len(list(FileParser(parse_frames()).messages(io.BytesIO(whole[:end])))) == end // one


def test_a_frame_that_is_cut_is_left_out_with_a_warning(tmp_path):
    path = written(tmp_path, "a.dat", dat_file(FRAMES)[:-1000])
    with pytest.warns(FramesDropped, match="the file ends within frame 11"):
        recording = open_recording(path, frames_per_s=4, skip_frames=0)
    np.testing.assert_array_equal(pixels(recording), FRAMES[:11])


IMPOSSIBLE = {
    "too long": ("a.raw", raw_file(FRAMES) + b"\0", r"the file has \d+ bytes; 12 frames of 40 x 32 px need \d+"),
    "huge": ("a.raw", struct.pack("<i", 2**31 - 1) + raw_file(FRAMES)[4:], "pixels along x is 2147483647; 8 to 4096"),
    "spacing": ("a.raw", raw_file(FRAMES, dx_cm=float("nan")), "the spacing along x is nan cm"),
    "count": ("a.raw", raw_file(FRAMES)[:60] + struct.pack("<h", -1) + raw_file(FRAMES)[62:], "-1 frames of 40 x 32"),
    "huge header": ("a.dat", struct.pack("<ii", 2**31 - 1, 0), "the header size is 2147483647 bytes; 0 to 65536"),
    "negative header": ("a.dat", struct.pack("<ii", -5, 0), "the header size is -5 bytes"),
    "huge side": ("a.dat", dat_frame(FRAMES[0], DICOM_NoOfRows=99999999), "NoOfRows is '99999999'; 8 to 4096 px"),
    "no number": ("a.dat", dat_frame(FRAMES[0], DICOM_NoOfCols="x"), "NoOfCols is 'x'; 8 to 4096 px"),
    "size": ("a.dat", dat_frame(FRAMES[0], DICOM_NoOfCols=31), "data size is 2560 bytes; 40 x 31 px need 2480"),
    "position": ("a.dat", dat_file(FRAMES[:2]).replace(b"PosVec.1 = 10.0", b"PosVec.1 = nan "), "image position"),
    "shape": ("a.dat", dat_frame(FRAMES[0]) + dat_frame(FRAMES[1][:, :24]), r"frame 1: its shape is \(40, 24\), the"),
}


@pytest.mark.parametrize(("name", "data", "sentence"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, name, data, sentence):
    with pytest.raises(BadRecording, match=sentence):
        open_recording(written(tmp_path, name, data), frames_per_s=4, skip_frames=0)


def test_a_huge_number_of_contours_is_refused_before_anything_is_made():
    with pytest.raises(BadFrame, match="the number of contours is 2147483647; 4 bytes hold fewer"):
        parse_contours(struct.pack("<i", 2**31 - 1), (40, 32))
    with pytest.raises(BadFrame, match="contour 0 has 2147483647 points"):
        parse_contours(struct.pack("<ii?ii", 1, 0, True, 1, 2**31 - 1), (40, 32))


def test_contours_of_another_series_are_refused(tmp_path):
    path = written(tmp_path, "a.raw", raw_file(FRAMES))
    written(tmp_path, "a.roi", roi_file({12: [(0.1, 0.1), (0.4, 0.1), (0.4, 0.5)]}))
    with pytest.raises(BadRecording, match=r"a\.roi: it has a contour for frame 12; the series has 12, from 0"):
        open_recording(path, frames_per_s=4)


def test_a_live_stream_without_stamps_needs_arrival_times(tmp_path):
    with pytest.raises(Unavailable, match="arrival_time is false"):
        MridianSource(MridianSettings(folder=str(tmp_path))).open()


def live(folder: Path, **how: object) -> MridianSource:
    given = {"arrival_time": True, "frames_per_s": 4, "existing": True, **how}
    return MridianSource(MridianSettings(folder=str(folder), **given))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_growing_file_is_followed_frame_by_frame(tmp_path):
    path = written(tmp_path, "a_sag.dat", b"".join(dat_frame(frame) for frame in FRAMES[:6]))
    source = live(tmp_path)
    info = source.open()
    buffer = np.zeros(info.shape, info.dtype)
    assert source.read_into(buffer, 50) is not None
    for frame in FRAMES[6:8]:
        append(path, dat_frame(frame)[:1000])
        assert source.read_into(buffer, 20) is None
        append(path, dat_frame(frame)[1000:])
        assert source.read_into(buffer, 500) is not None
        np.testing.assert_array_equal(buffer, frame)
    source.close()


def test_of_a_file_that_grows_already_only_what_comes_is_shown(tmp_path):
    path = written(tmp_path, "a_sag.dat", b"".join(dat_frame(frame) for frame in FRAMES[:8]))
    os.utime(written(tmp_path, "old_sag.dat", dat_file(FRAMES[:8])), (1e9, 1e9))
    source, ended = live(tmp_path, existing=False), threading.Event()

    def grow() -> None:
        while not ended.wait(0.03):
            append(path, dat_frame(FRAMES[8]))

    writer = threading.Thread(target=grow)
    writer.start()
    info = source.open()
    ended.set()
    writer.join()
    buffer = np.zeros(info.shape, info.dtype)
    assert source.read_into(buffer, 50) is not None
    np.testing.assert_array_equal(buffer, FRAMES[8])
    source.close()


def test_of_frames_that_come_together_the_newest_is_shown(tmp_path):
    written(tmp_path, "a_sag.dat", dat_file(FRAMES[:9]))
    source = live(tmp_path)
    info = source.open()
    buffer = np.zeros(info.shape, info.dtype)
    assert source.read_into(buffer, 50) is not None
    np.testing.assert_array_equal(buffer, FRAMES[8])
    assert source.counters == {"late": 1}
    source.close()


def test_a_stream_that_turns_to_garbage_is_refused_and_told(tmp_path):
    path = written(tmp_path, "a_sag.dat", dat_file(FRAMES[:6])[:-4])
    source = live(tmp_path, incomplete_ms=10)
    info = source.open()
    buffer = np.zeros(info.shape, info.dtype)
    source.read_into(buffer, 50)
    append(path, struct.pack("<ii", -1, 0))
    assert source.read_into(buffer, 200) is None
    assert any("the header size is -1 bytes" in notice for notice in source.take_notices())
    source.close()
