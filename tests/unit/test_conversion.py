"""Recordings written as another format read back equal, and what a format cannot hold is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.errors import BadRecording
from drivers.recordings import Recording, open_recording
from drivers.recordings.labelled import read_labelled
from drivers.recordings.recording import checked_recording
from drivers.recordings.writing import difference, stamp_tolerance_ns, write_recording
from gating.evaluation.masks import write_masks
from gating.geometry.contours import box_contour
from gating.messages import StampMeaning
from tests.mridian_files import cine, write_series

register_verbs()

SINCE_1970_NS = 1_700_000_000_123_456_789
OBLIQUE = (0.0, 0.8, 0.6, 0.0, 0.6, -0.8)
OUTS = ("a.npz", "a.h5", "a")


class Held:
    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.frames[index]


def recording(dtype: str = "uint16", stamps_ns: np.ndarray | None = None) -> Recording:
    frames = cine(6, 20, 24).astype(dtype)
    return checked_recording(
        path=Path("made"),
        frames=Held(frames),
        shape=(20, 24),
        dtype=dtype,
        stamps_ns=SINCE_1970_NS + np.arange(6) * 250_000_000 if stamps_ns is None else stamps_ns,
        stamp_meaning=StampMeaning.END,
        pixel_spacing_mm=(2.5, 1.5),
        given_spacing_mm=None,
        image_orientation=OBLIQUE,
        image_position_mm=(10.0, -20.0, 30.0),
        target_contours_px={0: box_contour(4, 5, 6, 7), 3: box_contour(5, 6, 6, 7)[:3]},
        target_track_px=np.linspace(0, 5, 12).reshape(6, 2),
        description="made for a test",
        frame_of_reference="1.2.3",
    )


def written(one: Recording, out: Path) -> tuple[Recording, list[str]]:
    lost = write_recording(one, out)
    return open_recording(out), lost


@pytest.mark.filterwarnings("ignore::drivers.errors.NotSquare")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("out", OUTS)
def test_pixels_geometry_and_times_read_back(tmp_path, out, dtype):
    one = recording(dtype)
    back, _ = written(one, tmp_path / out)
    assert difference(one, back, stamp_tolerance_ns(one, tmp_path / out)) == ""


def test_an_npz_keeps_everything_to_the_nanosecond(tmp_path):
    one = recording()
    back, lost = written(one, tmp_path / "a.npz")
    assert lost == []
    np.testing.assert_array_equal(back.stamps_ns, one.stamps_ns)
    np.testing.assert_array_equal(back.target_track_px, one.target_track_px)
    for index, contour in one.target_contours_px.items():
        np.testing.assert_array_equal(back.target_contours_px[index], contour)
    for field in ("stamp_meaning", "description", "frame_of_reference", "times_assumed", "plane", "dtype"):
        assert getattr(back, field) == getattr(one, field)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 2**40), min_size=5, max_size=5), st.integers(0, 2**61))
def test_an_npz_keeps_any_stamps(tmp_path_factory, steps_ns, first_ns):
    one = recording(stamps_ns=first_ns + np.cumsum([0, *steps_ns]))
    back, _ = written(one, tmp_path_factory.mktemp("any") / "a.npz")
    np.testing.assert_array_equal(back.stamps_ns, one.stamps_ns)


def test_a_case_is_scored_on_the_contours_that_the_recording_held(tmp_path):
    one = open_recording(write_series(tmp_path, cine()), frames_per_s=4)
    _, lost = written(one, tmp_path / "case")
    (labelled,) = read_labelled(tmp_path / "case")
    assert labelled.labels.sum(axis=(1, 2)).tolist() == [80] * 12
    assert lost == ["it does not say that times are assumed"]


@pytest.mark.filterwarnings("ignore::drivers.errors.NotSquare")
def test_what_a_format_cannot_hold_is_said(tmp_path):
    uneven = recording(stamps_ns=np.cumsum([0, 100, 200, 100, 200, 100]) * 1_000_000)
    _, lost = written(uneven, tmp_path / "case")
    assert lost[0].startswith("a case holds a rate only: 7.14286 frames/s on average stand for intervals of 100 to 200")
    assert "later ones were left out" in lost[1]
    _, lost = written(uneven, tmp_path / "a.h5")
    assert "rounded to the 2.5 ms" in lost[0]
    assert lost[1] == "MRD holds no target"


def test_the_tools_of_the_format_read_our_mrd(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")
    one = recording()
    write_recording(one, tmp_path / "a.h5")
    with ismrmrd.Dataset(str(tmp_path / "a.h5"), "dataset", create_if_needed=False) as dataset:
        assert dataset.number_of_images("image_0") == 6
        image = dataset.read_image("image_0", 4)
    np.testing.assert_array_equal(image.data[0, 0], one.frames[4])
    assert tuple(image.read_dir) == pytest.approx(OBLIQUE[:3])
    assert image.image_index == 4


def test_a_difference_is_named(tmp_path):
    one = recording()
    other = recording()
    other.frames.frames[2, 0, 0] += 1
    assert difference(one, other) == "the pixels of frame 2 differ"
    late = one.stamps_ns.copy()
    late[-1] += 1_000_000
    assert "times differ by up to 1 ms" in difference(one, recording(stamps_ns=late))


def test_nothing_is_written_over_a_case_or_under_another_suffix(tmp_path):
    with pytest.raises(BadRecording, match=r"\.avi is not written; \.npz, \.h5 \(MRD\) or a folder"):
        write_recording(recording(), tmp_path / "a.avi")
    with pytest.raises(BadRecording, match="it exists; a case is written to a new folder"):
        write_recording(recording(), tmp_path)


def test_convert_says_what_was_written_and_that_it_reads_back_equal(tmp_path):
    path = write_series(tmp_path, cine())
    said = CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "a.npz"), "--frames-per-s", "4"])
    assert said.exit_code == 0, said.output
    assert f"12 frames of series in {tmp_path / 'a.npz'}, which reads back equal" in said.stdout


def test_masks_of_a_track_lie_on_the_images_grid_without_first_frames(tmp_path):
    one = open_recording(write_series(tmp_path, cine()), frames_per_s=4)
    write_recording(one, tmp_path / "case")
    images = tmp_path / "case" / "images" / "case_frames.mha"
    write_masks(tmp_path / "masks.mha", np.zeros((9, *one.shape), bool), one.pixel_spacing_mm, images)
    masks, frames = (SimpleITK.ReadImage(str(path)) for path in (tmp_path / "masks.mha", images))
    assert masks.GetSize()[0] == frames.GetSize()[0] - 3
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(masks, what)() == pytest.approx(getattr(frames, what)())
