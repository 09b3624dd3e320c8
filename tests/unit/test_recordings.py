"""Recordings: what is read from each layout, and what is refused with which sentence."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest

from drivers.errors import BadRecording
from drivers.recordings import open_recording
from gating.geometry.contours import mask_from_contour
from gating.messages import TargetReference
from tests.factories import frame

FRAMES = np.arange(4 * 12 * 10, dtype=np.uint16).reshape(4, 12, 10)
GOOD = {
    "frames": FRAMES,
    "t_s": np.array([0.0, 0.1675, 0.335, 0.5]),
    "pixel_spacing_mm": np.array([1.8, 1.9]),
    "image_position_patient": np.array([-92.0, -112.0, 134.0]),
    "image_orientation_patient": np.array([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]),
}


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
        np.savez(tmp_path / "r.npz", **arrays)
        return tmp_path / "r.npz"

    return write


class TestNpz:
    def test_every_field_is_read(self, write) -> None:
        recording = open_recording(write())
        assert (len(recording), recording.shape, recording.dtype, recording.plane) == (
            4,
            (12, 10),
            "uint16",
            "sagittal",
        )
        assert recording.stamps_ns.tolist() == [0, 167_500_000, 335_000_000, 500_000_000]
        assert recording.pixel_spacing_mm == (1.8, 1.9)
        assert recording.image_position_mm == (-92.0, -112.0, 134.0)
        assert recording.nominal_interval_ns == 167_500_000
        np.testing.assert_array_equal(recording.frames[2], FRAMES[2])
        assert recording.target_contour_px is None
        assert recording.target_box is None

    def test_pixels_stay_on_disk_until_asked_for(self, write) -> None:
        path = write(frames=np.zeros((4, 500, 500), np.uint16))
        tracemalloc.start()
        recording = open_recording(path)
        assert tracemalloc.get_traced_memory()[1] < 500_000
        tracemalloc.stop()
        assert recording.frames[0].shape == (500, 500)

    @pytest.mark.parametrize(
        ("stored", "read"),
        [
            ("uint8", "uint8"),
            ("uint16", "uint16"),
            ("int16", "uint16"),
            ("float64", "float32"),
            ("int8", "uint16"),
            ("int32", "uint16"),
            ("uint32", "uint16"),
            ("int64", "uint16"),
            ("uint64", "uint16"),
            (">i4", "uint16"),
            (">u2", "uint16"),
            (">f4", "float32"),
        ],
    )
    def test_pixels_become_a_dtype_of_the_wire(self, write, stored, read) -> None:
        recording = open_recording(write(frames=(FRAMES % 120).astype(stored)))
        assert recording.dtype == str(recording.frames[1].dtype) == read
        np.testing.assert_array_equal(recording.frames[1], FRAMES[1] % 120)

    def test_boolean_pixels_become_ones_and_zeros(self, write) -> None:
        recording = open_recording(write(frames=FRAMES % 2 == 1))
        assert recording.dtype == "uint8"
        np.testing.assert_array_equal(recording.frames[1], FRAMES[1] % 2)

    @pytest.mark.parametrize("value", [-1, 65536, 2**24, -(2**24)])
    def test_wide_integers_that_float32_holds_exactly_become_it(self, write, value) -> None:
        frames = FRAMES.astype(np.int64)
        frames[1, 2, 3] = value
        recording = open_recording(write(frames=frames))
        assert recording.dtype == "float32"
        np.testing.assert_array_equal(recording.frames[1], frames[1])

    def test_negative_integers_become_float32(self, write) -> None:
        recording = open_recording(write(frames=FRAMES.astype(np.int16) - 100))
        assert recording.frames[0].min() == -100
        assert recording.dtype == "float32"

    def test_missing_spacing_must_be_given(self, write) -> None:
        path = write(pixel_spacing_mm=None)
        with pytest.raises(BadRecording, match="pixel_spacing_mm is missing; give it explicitly"):
            open_recording(path)
        assert open_recording(path, 1.5).pixel_spacing_mm == (1.5, 1.5)
        assert open_recording(path, (1.5, 2.0)).pixel_spacing_mm == (1.5, 2.0)

    def test_a_given_spacing_must_not_contradict_the_recording(self, write) -> None:
        with pytest.raises(BadRecording, match=r"given as 1\.5, 1\.5; the recording has 1\.8, 1\.9"):
            open_recording(write(), 1.5)

    def test_the_target_comes_from_contour_mask_or_box(self, write) -> None:
        mask = np.zeros((12, 10), bool)
        mask[3:7, 2:8] = True
        contour = np.array([[1.5, 2.5], [7.5, 2.5], [7.5, 6.5], [1.5, 6.5]])
        for target in (
            {"target_mask_first": mask},
            {"target_box": np.array([2, 3, 6, 4])},
            {"target_contour_px": contour},
            {"target_contour_px": np.stack([contour, contour + 1])},
        ):
            recording = open_recording(write(**target))
            np.testing.assert_array_equal(recording.target_mask, mask)
            assert recording.target_box == (2, 3, 6, 4)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"frames": None}, "the array frames is missing"),
            ({"t_s": None}, "the array t_s is missing"),
            ({"frames": FRAMES[0]}, r"frames has shape \(12, 10\); \(frames, rows, columns\)"),
            pytest.param(
                {"frames": FRAMES.astype(np.int32) + 2**24},
                r"frames \(int32\) hold 16777695; -16777216 to 16777216 is read",
                id="int32 beyond float32",
            ),
            pytest.param(
                {"frames": FRAMES - np.int64(2**40)},
                r"frames \(int64\) hold -1099511627776; -16777216 to 16777216",
                id="int64 beyond float32",
            ),
            ({"frames": FRAMES.astype(complex)}, "frames are complex128; integers, floats and bool are read"),
            ({"frames": FRAMES.astype(object)}, "frames holds Python objects"),
            ({"frames": np.zeros((4, 4, 10), np.uint8)}, "frames are 4x10; sides of 8 to 4096"),
            ({"t_s": np.array([0, 1, 2])}, "3 time stamps for 4 frames"),
            ({"t_s": np.array([0, 1, np.nan, 3])}, r"t_s\[2\] is nan"),
            ({"t_s": np.array([0, 1, np.inf, 3])}, r"t_s\[2\] is inf"),
            ({"t_s": np.array([-1.0, 1, 2, 3])}, r"t_s\[0\] is -1"),
            ({"t_s": np.array([0, 1, 1, 3])}, "time stamp 2 is 0 s after the one before"),
            ({"t_s": np.array([0, 2, 1, 3])}, "time stamp 2 is -1 s after the one before"),
            ({"t_s": np.array(["0", "1", "2", "3"])}, "t_s is <U1"),
            ({"frames": FRAMES[:0], "t_s": np.zeros(0)}, "it holds no frames; at least 1"),
            ({"pixel_spacing_mm": np.array([0.0, 1.0])}, "pixel_spacing_mm is 0, 1; above 0 up to 100"),
            ({"pixel_spacing_mm": np.array([1.0, 101.0])}, "pixel_spacing_mm is 1, 101"),
            ({"pixel_spacing_mm": np.array([1.0])}, "2 finite numbers"),
            ({"image_position_patient": np.array([0, 0, np.nan])}, "image_position_patient is"),
            ({"image_orientation_patient": np.array([0, 1, 0, 0, 1, 0])}, "orthogonal unit vectors"),
            pytest.param(
                {"target_mask_first": np.zeros((3, 3), bool)},
                r"target_mask_first has shape \(3, 3\); the frames need \(12, 10\)",
                id="mask shape",
            ),
            ({"target_box": np.array([1, 2, 0, 4])}, "target_box is"),
            ({"target_xy_px": np.zeros((3, 2))}, r"target_xy_px has shape \(3, 2\); \(4, 2\)"),
        ],
    )
    def test_a_bad_recording_is_refused_with_a_sentence(self, write, changes, sentence) -> None:
        with pytest.raises(BadRecording, match=sentence):
            open_recording(write(**changes))

    @pytest.mark.parametrize(("stored", "value"), [("f4", np.nan), ("f4", -np.inf), ("f8", 1e300)])
    def test_non_finite_pixels_are_passed_on_for_the_engine_to_refuse(self, write, stored, value) -> None:
        frames = FRAMES.astype(stored)
        frames[2, 5, 5] = value
        recording = open_recording(write(frames=frames))
        assert not np.isfinite(recording.frames[2][5, 5])
        assert np.isfinite(recording.frames[2]).sum() == 12 * 10 - 1
        np.testing.assert_array_equal(recording.frames[3], FRAMES[3])

    def test_a_file_that_would_unpack_beyond_the_limit_is_refused_unread(self, tmp_path) -> None:
        path = tmp_path / "bomb.npz"
        header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (100000, 4096, 4096), }".ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("frames.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(BadRecording, match="frames would unpack to 3355443200000 bytes; the limit is"):
            open_recording(path)

    @pytest.mark.parametrize(
        ("header", "sentence"),
        [
            (b"{'descr': '<u2', 'fortran_order': False, 'shape': (-1, 64, 64), }", "no side may be negative"),
            (b"(" * 60_000, "is not a readable .npz file"),
        ],
        ids=["a negative side", "60,000 brackets"],
    )
    def test_a_hurtful_header_is_refused_in_one_line_with_its_file(self, tmp_path, header, sentence) -> None:
        path = tmp_path / "hurtful.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("frames.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(BadRecording, match=rf"^.*hurtful\.npz: .*{sentence}.*$"):
            open_recording(path)

    @pytest.mark.parametrize("keep", [0, 10, 100, 400, -30])
    def test_a_torn_file_is_refused(self, write, keep) -> None:
        path = write()
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(BadRecording, match=r"not a readable \.npz"):
            open_recording(path)

    def test_a_file_damaged_within_is_refused_on_reading(self, write) -> None:
        path = write()
        data = bytearray(path.read_bytes())
        data[300:310] = b"\xff" * 10
        path.write_bytes(data)
        with pytest.raises(BadRecording):
            open_recording(path).frames[0]


@pytest.mark.parametrize("name", ["absent.npz", "absent"])
def test_a_missing_path_is_refused(tmp_path, name) -> None:
    with pytest.raises(BadRecording, match="no such file or folder"):
        open_recording(tmp_path / name)


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    (tmp_path / "scan.png").touch()
    with pytest.raises(BadRecording, match=r"\.png is not a recording"):
        open_recording(tmp_path / "scan.png")


class TestSessionLog:
    @pytest.fixture
    def log(self, monkeypatch, tmp_path):
        """A log of six frames, as the session reader gives it."""
        import gating.session.log

        frames = [frame(sequence) for sequence in range(6)]
        contour = [(40.0, 40.0), (60.0, 40.0), (60.0, 55.0)]
        target = TargetReference(
            session_id="s1",
            target="target",
            plane="sagittal",
            frame_sequence=0,
            contour_px=contour,
            boundary_px=contour,
            centre_px=(50.0, 45.0),
            centre_mm=(0.0, 0.0, 0.0),
        )
        messages = [target, *frames]
        passes = []

        def read(path):
            passes.append(path)
            return iter([("x", 0, message) for message in messages])

        monkeypatch.setattr(gating.session.log, "read_session", read)
        (tmp_path / "s1.mcap").touch()
        return tmp_path / "s1.mcap", messages, passes

    def test_frames_stamps_and_target_are_read(self, log) -> None:
        path, messages, _ = log
        recording = open_recording(path)
        assert len(recording) == 6
        np.testing.assert_array_equal(recording.frames[4], messages[5].pixels)
        assert recording.stamps_ns.tolist() == [message.header.acquired_ns for message in messages[1:]]
        np.testing.assert_array_equal(
            recording.target_mask, mask_from_contour(messages[0].contour_px, messages[1].header.shape)
        )

    def test_reading_forward_passes_through_the_log_once(self, log) -> None:
        path, messages, passes = log
        recording = open_recording(path)
        passes.clear()
        for index in (0, 0, 1, 2, 2, 5):
            np.testing.assert_array_equal(recording.frames[index], messages[index + 1].pixels)
        assert len(passes) == 1
        np.testing.assert_array_equal(recording.frames[1], messages[2].pixels)
        assert len(passes) == 2

    def test_a_change_of_geometry_is_refused(self, log) -> None:
        path, messages, _ = log
        messages.append(frame(6, pixel_spacing_mm=(1.0, 1.0)))
        with pytest.raises(BadRecording, match="pixel_spacing_mm changes"):
            open_recording(path)

    def test_one_plane_of_an_interleaved_session_is_a_recording(self, log) -> None:
        path, messages, _ = log
        messages[1:] = [frame(sequence, plane=("sagittal", "coronal")[sequence % 2]) for sequence in range(6)]
        with pytest.raises(BadRecording, match="it holds coronal, sagittal frames; name the plane to take"):
            open_recording(path)
        recording = open_recording(path, plane="coronal")
        assert (len(recording), recording.plane, recording.target_contour_px) == (3, "coronal", None)
        for index in (2, 0):
            np.testing.assert_array_equal(recording.frames[index], messages[2 + 2 * index].pixels)

    def test_a_log_without_frames_is_refused(self, log) -> None:
        path, messages, _ = log
        del messages[1:]
        with pytest.raises(BadRecording, match="number of frames is 0"):
            open_recording(path)

    def test_a_file_that_is_no_log_is_refused(self, tmp_path) -> None:
        path = tmp_path / "torn.mcap"
        path.write_bytes(b"not a log")
        with pytest.raises(BadRecording, match="session log"):
            open_recording(path)


def test_the_development_recordings_open(shared_data) -> None:
    for path in sorted((shared_data / "liver_cine").glob("*.npz")):
        recording = open_recording(path)
        assert (len(recording), recording.dtype, recording.plane) == (498, "uint16", "sagittal")
        assert 0.15e9 < recording.nominal_interval_ns < 0.18e9
    fast = shared_data / "heart_liver_60fps" / "lowres_highsnr_FMLP_900.npz"
    with pytest.raises(BadRecording, match="pixel_spacing_mm is missing"):
        open_recording(fast)
    assert len(open_recording(fast, 1.5)) == 900
