"""`cinegate submission` as the challenge would start it: a folder in, masks on the same grid out, nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from drivers.recordings import open_recording
from drivers.recordings.trackrad import read_labels
from replay_data import session_path
from tests.command_line import answer, call
from tests.trackrad_files import DIRECTION, ORIGIN_MM, SPACING_MM, as_submission_input, write_case, write_image

MASKS = Path("images/mri-linac-series-targets")
FRAMES = 40


def submitted(folder: Path, out: Path) -> dict[str, object]:
    return answer("submission", "--input", folder, "--output", out)


def refused(folder: Path, out: Path) -> str:
    said = call("submission", "--input", folder, "--output", out)
    assert said.code == 2, said.err
    assert not out.exists()
    [sentence] = said.err.strip().splitlines()
    assert sentence.startswith("cinegate: ")
    return sentence


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """The first five seconds of the bundled free-breathing session as a case of the data set."""
    recording = open_recording(session_path("free_breathing"))
    frames = np.stack([recording.frames[index] for index in range(FRAMES)])
    return write_case(tmp_path_factory.mktemp("set"), frames, recording.target_mask[np.newaxis])


@pytest.fixture
def folder(case, tmp_path) -> Path:
    return as_submission_input(case, tmp_path / "input")


@pytest.fixture(scope="module")
def masks(case, tmp_path_factory) -> tuple[dict[str, object], Path]:
    """What a process of its own says, and the masks that it writes."""
    folder = as_submission_input(case, tmp_path_factory.mktemp("input"))
    out = tmp_path_factory.mktemp("output")
    command = [sys.executable, "-m", "cinegate", "submission", "--input", folder, "--output", out, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
    return json.loads(done.stdout), out / MASKS / "output.mha"


def test_every_frame_gets_a_mask_on_the_grid_of_the_images(masks):
    said, path = masks
    assert said["out"] == str(path)
    image = SimpleITK.ReadImage(str(path))
    shape = open_recording(session_path("free_breathing")).shape
    assert (image.GetSize(), image.GetPixelIDTypeAsString()) == ((FRAMES, *shape[::-1]), "8-bit unsigned integer")
    assert (image.GetSpacing(), image.GetOrigin(), image.GetDirection()) == (SPACING_MM, ORIGIN_MM, DIRECTION)
    assert set(np.unique(SimpleITK.GetArrayFromImage(image))) == {0, 1}
    assert read_labels(path).any(axis=(1, 2)).all()
    assert (said["frame_count"], said["frames_per_s"]) == (FRAMES, 8.0)


def test_the_first_mask_is_the_label_that_was_given(case, masks):
    given = read_labels(case / "targets" / "A_001_first_label.mha")
    np.testing.assert_array_equal(read_labels(masks[1])[0], given[0])


def test_the_masks_are_those_of_evaluate(case, masks, tmp_path):
    answer("evaluate", case, "--out", tmp_path)
    evaluated = tmp_path / "predictions" / "A_001" / "output" / MASKS / "A_001_labels.mha"
    np.testing.assert_array_equal(read_labels(masks[1]), read_labels(evaluated))


def test_the_masks_of_track_lie_on_the_same_grid(case, masks, tmp_path):
    answer("track", case, "--out", tmp_path / "t.csv", "--masks", tmp_path / "t.mha")
    track, submission = (SimpleITK.ReadImage(str(path)) for path in (tmp_path / "t.mha", masks[1]))
    for image in (track, submission):
        assert (image.GetSpacing(), image.GetOrigin(), image.GetDirection()) == (SPACING_MM, ORIGIN_MM, DIRECTION)
    one, other = (read_labels(path)[1:] for path in (tmp_path / "t.mha", masks[1]))
    assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.99


def test_masks_of_early_frames_do_not_depend_on_later_ones(case, masks, folder, tmp_path):
    [path] = (folder / "images" / "mri-linacs").glob("*.mha")
    frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).transpose(2, 0, 1)
    write_image(path, np.concatenate([frames[:25], frames[:15][::-1]]))
    submitted(folder, tmp_path / "output")
    other = read_labels(tmp_path / "output" / MASKS / "output.mha")
    np.testing.assert_array_equal(other[:25], read_labels(masks[1])[:25])
    assert (other[25:] != read_labels(masks[1])[25:]).any()


def test_the_input_may_be_a_folder_named_as_the_interface(case, masks, tmp_path):
    submitted(as_submission_input(case, tmp_path / "input", series="mri-linac-series"), tmp_path / "output")
    found = read_labels(tmp_path / "output" / MASKS / "output.mha")
    np.testing.assert_array_equal(found, read_labels(masks[1]))


def test_without_descriptions_four_frames_a_second_are_assumed(folder, tmp_path):
    for file in folder.glob("*.json"):
        file.unlink()
    assert submitted(folder, tmp_path / "output")["frames_per_s"] == 4.0


def _without_images(folder: Path) -> None:
    shutil.rmtree(folder / "images" / "mri-linacs")


def _two_images(folder: Path) -> None:
    [path] = (folder / "images" / "mri-linacs").glob("*.mha")
    shutil.copy(path, path.with_name("second.mha"))


def _without_target(folder: Path) -> None:
    shutil.rmtree(folder / "images" / "mri-linac-target")


def _empty_target(folder: Path) -> None:
    _target(folder, np.zeros(open_recording(session_path("free_breathing")).shape, np.uint8))


def _small_target(folder: Path) -> None:
    _target(folder, np.ones((32, 32), np.uint8))


def _target(folder: Path, mask: np.ndarray) -> None:
    [path] = (folder / "images" / "mri-linac-target").glob("*.mha")
    write_image(path, mask[np.newaxis])


def _torn_image(folder: Path) -> None:
    [path] = (folder / "images" / "mri-linacs").glob("*.mha")
    path.write_bytes(path.read_bytes()[:300])


def _no_number(folder: Path) -> None:
    (folder / "frame-rate.json").write_text('"fast"')


def _no_region(folder: Path) -> None:
    (folder / "scanned-region.json").write_text("[1, 2]")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "is not a folder"),
        (_without_images, "mri-linacs: 0 files match"),
        (_two_images, "mri-linacs: 2 files match"),
        (_without_target, "mri-linac-target: 0 files match"),
        (_empty_target, "the first label is empty"),
        (_small_target, "the label is (32, 32)"),
        (_torn_image, "is not a readable .mha image"),
        (_no_number, 'the frame rate is "fast"'),
        (_no_region, "the scanned region is [1, 2]"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(folder, tmp_path, spoil, words):
    spoil(folder)
    assert words in refused(folder, tmp_path / "output")
