"""Recordings in the layout of the TrackRAD2025 data set: what is read, and what is refused with which sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drivers.errors import BadRecording
from drivers.recordings import open_recording
from drivers.recordings.labelled import read_labelled
from drivers.recordings.trackrad import case_files, read_labels


class TestTrackRad:
    @pytest.fixture
    def case(self, tmp_path):
        """A case whose pixel (row r, column c) of frame t is 100 r + 10 c + t."""
        sitk = pytest.importorskip("SimpleITK")
        rows, columns, times = np.mgrid[:14, :9, :5]
        case = tmp_path / "A_001"
        (case / "images").mkdir(parents=True)
        (case / "targets").mkdir()
        labels = ((rows >= 4) & (rows < 9) & (columns >= 2) & (columns < 6)).astype(np.uint8)
        files = {
            "images/A_001_frames": (100 * rows + 10 * columns + times).astype(np.float32),
            "targets/A_001_first_label": labels[:, :, :1],
            "targets/A_001_labels": labels,
        }
        for name, array in files.items():
            image = sitk.GetImageFromArray(np.ascontiguousarray(array))
            image.SetSpacing((5.0, 1.25, 1.0))
            image.SetOrigin((3.0, -20.0, 38.5))
            sitk.WriteImage(image, str(case / f"{name}.mha"), useCompression=True)
        (case / "frame-rate.json").write_text(json.dumps(4.0))
        (case / "scanned-region.json").write_text(json.dumps("abdomen"))
        return case

    def test_the_first_axis_is_the_row_and_the_last_the_time(self, case) -> None:
        recording = open_recording(case)
        assert (recording.shape, len(recording), recording.dtype) == ((14, 9), 5, "float32")
        assert recording.frames[3][7, 2] == 723
        assert recording.frames[3].flags.c_contiguous

    def test_geometry_comes_from_the_file(self, case) -> None:
        recording = open_recording(case)
        assert recording.pixel_spacing_mm == (1.0, 1.25)
        assert recording.image_orientation == (0, 1, 0, 0, 0, 1)
        assert recording.image_position_mm == (3.0, -20.0, 38.5)
        assert recording.plane == "sagittal"

    def test_stamps_follow_the_frame_rate(self, case) -> None:
        assert open_recording(case).stamps_ns.tolist() == [0, 250_000_000, 500_000_000, 750_000_000, 1_000_000_000]

    def test_the_target_is_the_first_label(self, case) -> None:
        recording = open_recording(case)
        assert recording.target_box == (2, 4, 4, 5)
        labels = read_labels(case / "targets" / "A_001_labels.mha")
        np.testing.assert_array_equal(recording.target_mask, labels[0])
        assert labels.shape == (5, 14, 9)

    def test_another_sequence_is_opened_by_its_file_and_frame_rate(self, case) -> None:
        (case / "images" / "A_001_frames2.mha").write_bytes((case / "images" / "A_001_frames.mha").read_bytes())
        (case / "frame-rate2.json").write_text("8.0")
        with pytest.raises(BadRecording, match="2 files match"):
            open_recording(case)
        assert open_recording(case / "images" / "A_001_frames2.mha").nominal_interval_ns == 125_000_000

    def test_another_sequence_has_a_target_of_its_own(self, case) -> None:
        (case / "images" / "A_001_frames2.mha").write_bytes((case / "images" / "A_001_frames.mha").read_bytes())
        assert open_recording(case / "images" / "A_001_frames2.mha").target_contour_px is None
        label = case / "targets" / "A_001_first_label.mha"
        label.rename(label.with_name("A_001_first_label2.mha"))
        assert open_recording(case / "images" / "A_001_frames2.mha").target_box == (2, 4, 4, 5)

    def test_without_a_first_label_the_labels_show_the_target(self, case) -> None:
        (case / "targets" / "A_001_first_label.mha").unlink()
        assert open_recording(case).target_box == (2, 4, 4, 5)

    def test_the_labels_that_all_observers_agree_on_are_scored(self, case) -> None:
        targets = case / "targets"
        (targets / "A_001_labels2.mha").write_bytes((targets / "A_001_labels.mha").read_bytes())
        assert case_files(case).labels == targets / "A_001_labels.mha"
        (targets / "A_001_staple_labels.mha").write_bytes((targets / "A_001_labels.mha").read_bytes())
        assert case_files(case).labels == targets / "A_001_staple_labels.mha"

    @pytest.mark.parametrize(
        ("stored", "values", "read"),
        [("int32", (0, 65535), "uint16"), ("int64", (-3, 2**24), "float32"), ("uint32", (0, 7), "uint16")],
    )
    def test_wide_integers_are_read_where_no_value_is_lost(self, case, stored, values, read) -> None:
        sitk = pytest.importorskip("SimpleITK")
        pixels = np.full((14, 9, 5), values[0], stored)
        pixels[3, 2, 1] = values[1]
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(case / "images" / "A_001_frames.mha"))
        recording = open_recording(case)
        assert (recording.dtype, recording.frames[1][3, 2], recording.frames[0][0, 0]) == (read, values[1], values[0])

    def test_integers_that_no_pixel_type_holds_are_refused(self, case) -> None:
        sitk = pytest.importorskip("SimpleITK")
        pixels = np.full((14, 9, 5), 2**24 + 1, np.int32)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(case / "images" / "A_001_frames.mha"))
        with pytest.raises(BadRecording, match=r"frames \(int32\) hold 16777217; -16777216 to 16777216 is read"):
            open_recording(case)

    def test_a_replay_does_not_guess_its_pace_but_a_scored_case_may(self, case) -> None:
        (case / "frame-rate.json").unlink()
        with pytest.raises(BadRecording, match=r"frame-rate\.json: cannot be read"):
            open_recording(case)
        [labelled] = read_labelled(case)
        assert labelled.recording.nominal_interval_ns == 250_000_000

    @pytest.mark.parametrize(("text", "region"), [('"lung"', "lung"), ("null", ""), (None, "")])
    def test_the_scanned_region_may_be_unknown(self, case, text, region) -> None:
        (case / "scanned-region.json").unlink() if text is None else (case / "scanned-region.json").write_text(text)
        [labelled] = read_labelled(case)
        assert labelled.region == region

    def test_labels_of_another_length_are_refused(self, case) -> None:
        label = case / "targets" / "A_001_first_label.mha"
        (case / "targets" / "A_001_labels.mha").write_bytes(label.read_bytes())
        with pytest.raises(BadRecording, match=r"labels are \(1, 14, 9\); the frames need \(5, 14, 9\)"):
            list(read_labelled(case))

    @pytest.mark.parametrize("rate", ["0", "-4", '"4"', "null", "1e9", "{", "NaN"])
    def test_an_impossible_frame_rate_is_refused(self, case, rate) -> None:
        (case / "frame-rate.json").write_text(rate)
        with pytest.raises(BadRecording, match="frame-rate"):
            open_recording(case)

    def test_a_frame_rate_that_is_text_is_shown_as_text(self, case) -> None:
        (case / "frame-rate.json").write_text('"4.0"')
        with pytest.raises(
            BadRecording, match=r'the frame rate is "4\.0"; a number above 0 up to 1000 frames/s is needed'
        ):
            open_recording(case)

    def test_a_folder_without_frames_is_refused(self, tmp_path) -> None:
        with pytest.raises(BadRecording, match="0 files match"):
            open_recording(tmp_path)

    @pytest.mark.parametrize("keep", [200, 500])
    def test_a_torn_image_is_refused(self, case, keep) -> None:
        path = case / "images" / "A_001_frames.mha"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(BadRecording, match="not a readable"):
            open_recording(case)

    def test_the_organisers_example_moves_along_its_rows(self, shared_data) -> None:
        case = shared_data / "trackrad_example" / "Z_001"
        recording = open_recording(case)
        assert (recording.shape, len(recording), recording.nominal_interval_ns) == ((125, 125), 10, 125_000_000)
        assert recording.target_box == (32, 32, 61, 61)
        labels = read_labels(case / "targets" / "Z_001_labels.mha")
        inside = [frame_[mask] for frame_, mask in zip(recording.frames, labels, strict=True)]
        assert min(float(values.mean()) for values in inside) > 0.9
