"""What the Set up page reads and writes: recordings of its folders alone, and files that the command line takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

import replay_data
from cinegate import load_config, open_recording
from cinegate.console.setup_files import look, save
from cinegate.console.setup_plan import Drawn, Plan, Shown
from cinegate.console.setup_recordings import catalogue, recording_path
from cinegate.console.setup_work import copy_outline, open_shown, outline, show_frame
from cinegate.console.worker import WorkError
from gating.errors import CinegateError
from gating.geometry.plane import ImagePlane
from gating.targets.boundary import GatingBoundary
from gating.targets.target_file import read_targets
from gating.wire.pixels import content_hash
from tests.dicom_files import empty, put

FOLDERS = (replay_data.FOLDER,)
SHOWN = Shown(recording="replay_data/free_breathing.npz")
POINTS = ((30.0, 45.0), (50.0, 44.0), (52.0, 60.0), (31.0, 62.0))


def plan(**changes) -> Plan:
    return Plan(shown=SHOWN, frame=7, structures=(Drawn(name="GTV", points_px=POINTS),), **changes)


def saved(into: Path, name: str = "case", *, replace: bool = False, accepted: str = "", **changes) -> dict:
    return json.loads(save(plan(**changes), name, replace, accepted, "dr_who", "dr_who", into, FOLDERS))


def rtstruct(path: Path, outlines: dict[str, np.ndarray]) -> bytes:
    dataset = empty(RTStructureSetStorage)
    dataset.Modality = "RTSTRUCT"
    names, contours = [], []
    for number, (name, points) in enumerate(outlines.items(), start=1):
        entry, drawn, item = Dataset(), Dataset(), Dataset()
        entry.ROINumber, entry.ROIName = number, name
        item.ContourGeometricType, item.ContourData = "CLOSED_PLANAR", points.ravel().tolist()
        drawn.ReferencedROINumber, drawn.ContourSequence = number, [item]
        names.append(entry)
        contours.append(drawn)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = names, contours
    return put(path, dataset).read_bytes()


def test_the_files_bind_what_was_drawn_to_its_frame(tmp_path):
    answer = saved(tmp_path, preset="exhale")
    (target,) = read_targets(tmp_path / "case" / "targets.json")
    image = open_recording(replay_data.session_path("free_breathing")).frames[7]
    assert (target.name, target.contour_px.tolist()) == ("GTV", [list(point) for point in POINTS])
    assert target.image is not None
    assert target.image.content_hash == content_hash(image)
    assert load_config(tmp_path / "case" / "config.toml").gating.margins.superior_mm == 4.0
    assert answer["folder"] == str(tmp_path / "case")


def test_nothing_is_written_over_unasked(tmp_path):
    saved(tmp_path)
    before = (tmp_path / "case" / "config.toml").read_bytes()
    with pytest.raises(WorkError, match=r"holds targets.json and config.toml already"):
        saved(tmp_path, preset="exhale")
    assert (tmp_path / "case" / "config.toml").read_bytes() == before
    saved(tmp_path, preset="exhale", replace=True)
    assert (tmp_path / "case" / "config.toml").read_bytes() != before


def test_what_is_refused_leaves_no_files(tmp_path):
    with pytest.raises(CinegateError, match=r"--option of phantom: Expected `int`"):
        saved(tmp_path, source="phantom", options=("seed=x",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(WorkError, match="letters, digits, dots, dashes and underscores are needed"):
        saved(tmp_path, name)


def test_an_accepted_proposal_says_who_accepted_it(tmp_path):
    saved(tmp_path, accepted='\ntracker = "rigid"\n')
    text = (tmp_path / "case" / "config.toml").read_text()
    assert "# Accepted by dr_who at " in text
    assert load_config(tmp_path / "case" / "config.toml").tracker == "rigid"


@pytest.mark.parametrize("name", ["/etc/passwd", "replay_data/../pyproject.toml", "replay_data/__init__.py"])
def test_a_file_outside_the_catalogue_is_not_opened(name):
    with pytest.raises(WorkError, match="there is none of that name in"):
        recording_path(name, FOLDERS)


def test_the_catalogue_has_files_folders_and_recordings_named_themselves(tmp_path):
    (tmp_path / "case" / "images").mkdir(parents=True)
    for name in ("log.mcap", "notes.txt", ".hidden.npz"):
        (tmp_path / name).touch()
    assert list(catalogue([tmp_path])) == [f"{tmp_path.name}/case", f"{tmp_path.name}/log.mcap"]
    assert list(catalogue([tmp_path / "case", tmp_path / "missing"])) == ["case"]


def test_a_frame_that_the_recording_lacks_is_refused():
    with pytest.raises(WorkError, match="frame is 200; free_breathing has frames 0 to 199"):
        show_frame(SHOWN, 200, FOLDERS)


def test_the_boundary_on_the_page_is_the_one_that_gates():
    recording = open_recording(replay_data.session_path("free_breathing"))
    margins_px = ImagePlane.of(recording).margins_px(left=3, right=3, posterior=3, anterior=3, superior=3, inferior=3)
    found = json.loads(outline(plan(), FOLDERS))
    expected = GatingBoundary(np.array(POINTS, np.float32), margins_px).outline_px
    assert found["boundaries"] == [{"name": "GTV", "boundary_px": expected.tolist()}]


def test_a_strategy_without_a_boundary_draws_none():
    assert json.loads(outline(plan(preset="exception"), FOLDERS))["boundaries"] == []


def test_a_structure_set_offers_its_names_and_then_the_cut(tmp_path):
    plane = ImagePlane.of(open_recording(replay_data.session_path("free_breathing")))
    square = np.array([plane.to_lps_mm(x, y) for x, y in ((30, 40), (50, 40), (50, 60), (30, 60))])
    data = rtstruct(tmp_path / "set.dcm", {"GTV": square, "liver": square})
    assert json.loads(copy_outline(SHOWN, data, "set.dcm", "", FOLDERS)) == {"structures": ["GTV", "liver"]}
    points = np.array(json.loads(copy_outline(SHOWN, data, "set.dcm", "GTV", FOLDERS))["points_px"])
    assert np.abs(points.min(axis=0) - (30, 40)).max() <= 0.5
    assert np.abs(points.max(axis=0) - (50, 60)).max() <= 0.5


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("set.dcm", b"no DICOM", "set.dcm: is not a readable RTSTRUCT"),
        ("set.exe", b"", "set.exe is no mask or RTSTRUCT; .dcm, .npy, .mha, .nii, .nii.gz, .png are read"),
        ("mask.mhd", b"ElementDataFile = /etc/passwd", "mask.mhd is no mask or RTSTRUCT"),
        ("mask.npy", b"\x93NUMPY", "mask.npy: is not a mask image"),
    ],
    ids=["no DICOM", "unknown", "points elsewhere", "torn"],
)
def test_a_file_that_is_no_mask_is_refused_by_the_name_it_came_with(name, data, sentence):
    with pytest.raises(CinegateError) as error:
        copy_outline(SHOWN, data, name, "", FOLDERS)
    assert str(error.value).startswith(sentence)


def test_images_of_a_source_become_a_recording_to_draw_on(tmp_path):
    options = ["rows=80", "columns=80", "pixel_spacing_mm=[3, 3]", "frames_per_s=100", "interval_jitter=0"]
    name = json.loads(look("phantom", options, 0.05, tmp_path))["recording"]
    facts = json.loads(open_shown(Shown(recording=name), [tmp_path]))
    assert (facts["frames"], facts["shape"], facts["plane"]) == (6, [80, 80], "sagittal")
    assert facts["description"].startswith("phantom source phantom")
