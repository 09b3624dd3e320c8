"""`cinegate phantom plan` and `cinegate dose` as a user types them, and the motion that a log gives them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from msgspec.structs import replace
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import CommandError, app
from drivers.errors import BadPlan
from drivers.plans import structures
from drivers.plans.rtdose import read_dose
from gating.delivered.motion import structure_motion, tracked_structures
from gating.messages import TargetEstimate
from gating.session.summary_data import SessionData, read_data
from tests.unit import session_bench

register_verbs()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small test plan that no test changes."""
    folder = tmp_path_factory.mktemp("plan")
    run("phantom", "plan", folder, "--beams", 2, "--spacing-mm", 4, "--radius-mm", 12)
    return folder


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    """Fewer points in each structure: nothing here depends on them, and they take time."""
    monkeypatch.setattr(structures, "POINTS", 3000)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A session in which GTV moves by 24 mm, and is gated."""
    return session_bench.write_session(tmp_path / "moving.mcap")


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output or result.exception
    return result


def refused(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(result.exception, BadPlan | CommandError | ValueError), result.output
    return str(result.exception)


def dose(log, plan, *more, file="dose.dcm"):
    files = "--dose", plan / file, "--structures", plan / "structures.dcm", "--plan", plan / "plan.dcm"
    return "dose", log, *files, "--structure", "Duodenum", "--samples", 3, *more


def test_a_still_log_returns_the_planned_dose_bit_for_bit(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(session_bench, "target_centre", lambda sequence: (30.0, 32.0))
    monkeypatch.setattr(session_bench, "out_fraction", lambda sequence: 0.0)
    still = session_bench.write_session(tmp_path / "still.mcap")
    saved = tmp_path / "gated.mha"
    found = json.loads(run(*dose(still, plan, "--save", saved, "--json")).stdout)
    planned = read_dose(plan / "dose.dcm").image
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(saved)), SimpleITK.GetArrayFromImage(planned))
    for structure in found["structures"]:
        assert structure["figures"]["gated"] == structure["figures"]["planned"]


def test_planned_stands_beside_delivered_and_what_is_left_out(log, plan, tmp_path):
    page = tmp_path / "page.html"
    said = run(*dose(log, plan, "--out", page)).stdout
    for words in ("GTV, 45 Gy prescribed, beam confirmed", "planned", "ungated", "itv", "gated with errors, 5 to 95 %",
                  "deformation", "Motion along LR was not seen", "names no patient"):  # fmt: skip
        assert words in said
    text = page.read_text()
    assert "What these figures leave out" in text
    assert "Plotly.newPlot" in text
    assert page.stat().st_mode & 0o077 == 0


def test_json_holds_every_figure_and_its_spread(log, plan):
    found = json.loads(run(*dose(log, plan, "--json")).stdout)
    target, organ = found["structures"]
    assert (target["name"], organ["name"]) == ("GTV", "Duodenum")
    assert set(target["figures"]) == {"planned", "gated", "ungated", "itv planned", "itv"}
    assert target["figures"]["gated"]["d98_gy"] < 0.95 * target["figures"]["planned"]["d98_gy"]
    assert target["spread"]["p5"]["d98_gy"] <= target["spread"]["p95"]["d98_gy"]
    assert organ["spread"]["p5"]["d2cc_gy"] < organ["spread"]["p95"]["d2cc_gy"]
    assert found["shown"] == [False, True, True]


def test_doses_of_beams_take_turns_in_the_session(log, plan):
    beams = "--dose", plan / "dose_beam_2.dcm"
    found = json.loads(run(*dose(log, plan, *beams, "--json", file="dose_beam_1.dcm")).stdout)
    assert found["parts"] == 2
    assert any("2 parts are delivered in the order of the plan" in sentence for sentence in found["left_out"])


def test_a_plan_without_the_tracked_structure_is_refused(log, plan):
    assert "no structure 'CTV'; it holds BODY, Duodenum, GTV, PTV" in refused(*dose(log, plan, "--target", "CTV"))


def test_a_log_without_the_tracked_structure_is_refused(log, plan):
    assert "follows no 'liver'; it follows GTV" in refused(*dose(log, plan, "--tracked", "liver", "--target", "GTV"))


def test_structures_of_another_frame_of_reference_are_refused(log, plan, tmp_path):
    dataset = pydicom.dcmread(plan / "structures.dcm")
    dataset.FrameOfReferenceUID = "1.2.3.4"
    dataset.save_as(tmp_path / "other.dcm")
    text = refused("dose", log, "--dose", plan / "dose.dcm", "--structures", tmp_path / "other.dcm")
    assert "must first be registered to each other" in text


def test_without_a_plan_no_dose_is_prescribed(log, plan):
    files = "--dose", plan / "dose.dcm", "--structures", plan / "structures.dcm", "--structure", "GTV"
    found = json.loads(run("dose", log, *files, "--samples", 0, "--json").stdout)
    assert found["prescribed_gy"] is None
    assert found["structures"][0]["figures"]["gated"]["v100"] is None


def test_two_planes_give_the_motion_along_all_axes(log):
    data = read_data(log)
    in_sagittal = structure_motion(data, "GTV")
    assert in_sagittal.shown == (False, True, True)
    add_coronal(data)
    both = structure_motion(data, "GTV")
    assert tracked_structures(data) == ["GTV"]
    assert both.shown == (True, True, True)
    np.testing.assert_allclose(both.displacement_mm[2:-2, 0], 3.0, atol=1e-6)
    np.testing.assert_allclose(both.displacement_mm[:, 1:], in_sagittal.displacement_mm[:, 1:], atol=1e-6)


def add_coronal(data: SessionData) -> None:
    """Add a coronal plane that shows the same structure, 3 mm to the left of its reference."""
    frames, sagittal = data.frames, data.references["GTV"]
    data.references["GTV coronal"] = replace(sagittal, target="GTV coronal", structure="GTV", plane="coronal")
    seen: list[TargetEstimate] = []
    for one in data.estimates["GTV"]:
        header, number = frames[one.frame_sequence], 1000 + one.frame_sequence
        frames[number] = replace(header, sequence=number, plane="coronal", image_orientation=(1, 0, 0, 0, 0, -1))
        at = (3.0 + sagittal.centre_mm[0], sagittal.centre_mm[1], one.position_mm[2])
        seen.append(replace(one, frame_sequence=number, target="GTV coronal", plane="coronal", position_mm=at))
    data.estimates["GTV coronal"] = seen


def test_a_format_that_cannot_be_saved_is_refused_before_the_work(log, plan):
    assert "--save is 'gated.txt'; a file that ends in .mha" in refused(*dose(log, plan, "--save", "gated.txt"))
