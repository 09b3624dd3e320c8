"""From an RTSTRUCT to a target that a live session takes: carried over, judged by a person, accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from bench.registration import MIDDLE_MM, RADII_MM, STEP_MM, Case, make_case
from cinegate.plan_target import accept, carry_from_plan
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.errors import BadPlan
from drivers.recordings import open_recording
from gating.decision.reasons import GateReason
from gating.errors import TargetError
from gating.messages import GateState, SourceKind, TargetReference
from gating.targets.spec import CarriedOver
from gating.targets.target_file import read_targets, write_targets
from tests.dicom_files import structure_set
from tests.engine_bench import Bench, drawn_on, states
from tests.factories import frame

HOW = CarriedOver("GTV of plan.dcm in volume.mha: agreement 0.97")


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> tuple[Path, Case]:
    """A folder with volume, structure set and cine of a case."""
    folder, case = tmp_path_factory.mktemp("plan"), make_case("right", 2)
    SimpleITK.WriteImage(case.volume, str(folder / "volume.mha"))
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outlines = []
    for height in np.arange(-RADII_MM[2] + 1, RADII_MM[2], 2.0):
        radius = np.sqrt(1 - (height / RADII_MM[2]) ** 2)
        x, y = (MIDDLE_MM[i] + radius * RADII_MM[i] * turn(angle) for i, turn in ((0, np.cos), (1, np.sin)))
        outlines.append(np.stack([x, y, np.full(60, MIDDLE_MM[2] + height)], axis=1).round(3).ravel().tolist())
    structure_set(folder / "plan.dcm", {"GTV": outlines})
    np.savez(
        folder / "cine.npz",
        frames=np.clip(np.stack([case.pixels, case.pixels + 1]), 0, None).astype(np.uint16),
        t_s=np.array([0.0, 0.2]),
        pixel_spacing_mm=case.plane.spacing_mm,
        image_position_patient=case.plane.origin_mm,
        image_orientation_patient=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    )
    return folder, case


def from_plan(folder: Path, out: Path):
    register_verbs()
    files = [str(folder / one) for one in ("volume.mha", "plan.dcm")]
    asked = ["from-plan", *files, "GTV", str(folder / "cine.npz"), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    return msgspec.json.decode(done.output)


def test_a_target_of_the_plan_becomes_one_that_waits_for_acceptance(plan, tmp_path):
    folder, case = plan
    answer = from_plan(folder, tmp_path / "gtv.json")
    (target,) = read_targets(tmp_path / "gtv.json")
    assert answer["doubts"] == []
    assert target.carried is not None
    assert target.carried.accepted_by == ""
    assert "GTV, carried over from the plan" in (tmp_path / "gtv.html").read_text()
    centre_px = np.argwhere(case.truth).mean(axis=0)[::-1]
    assert np.linalg.norm(target.contour_px.mean(axis=0) - centre_px) * STEP_MM < 1.5


def carried_over(accepted_by=""):
    waiting = replace(drawn_on(frame(0)), carried=HOW)
    return waiting.accept(accepted_by) if accepted_by else waiting


def test_a_live_session_refuses_a_contour_that_nobody_accepted():
    held = Bench(targets=[carried_over()], kind=SourceKind.LIVE, arm_by_itself=False).steps(8)[-1].command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.TARGET_UNUSABLE)
    assert "was carried over, and nobody has accepted it" in held.detail


def test_a_live_session_takes_an_accepted_contour_and_logs_by_whom():
    bench = Bench(targets=[carried_over("dr_who")], kind=SourceKind.LIVE, arm_by_itself=False)
    outcomes = bench.steps(10)
    (reference,) = [m for outcome in outcomes for m in outcome.messages if isinstance(m, TargetReference)]
    assert (reference.accepted_by, reference.carried) == ("dr_who", HOW.how)
    for action in ("confirm", "arm"):
        assert bench.request(action).accepted
    assert GateState.ON in states(bench.steps(6, start=10))


@pytest.mark.parametrize(
    "changed",
    [
        {"contour_px": carried_over().contour_px + np.float32([3, 0])},
        {"name": "PTV"},
        {"image": drawn_on(frame(1)).image},
        {"carried": replace(carried_over("dr_who").carried, how="GTV of another plan")},
        {"carried": replace(carried_over("dr_who").carried, doubts=("agreement is 0.50",))},
    ],
)
def test_a_contour_that_was_changed_after_acceptance_is_refused(tmp_path, changed):
    write_targets(tmp_path / "t.json", [replace(carried_over("dr_who"), **changed)])
    targets = read_targets(tmp_path / "t.json")
    held = Bench(targets=targets, kind=SourceKind.LIVE, arm_by_itself=False).steps(8)[-1].command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.TARGET_UNUSABLE)
    assert "is not what dr_who accepted: it was changed afterwards" in held.detail


@pytest.mark.parametrize(
    "placed",
    [
        {"pixel_spacing_mm": (2.5, 2.0)},
        {"image_orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
        {"image_position_mm": (1.0, 2.0, 3.0)},
    ],
)
def test_an_image_that_was_placed_elsewhere_needs_a_new_acceptance(placed):
    accepted = carried_over("dr_who")
    assert accepted.unaccepted == ""
    elsewhere = replace(accepted, image=replace(accepted.image, **placed))
    assert "is not what dr_who accepted" in elsewhere.unaccepted
    assert elsewhere.accept("dr_who").unaccepted == ""


def test_an_acceptance_that_names_nothing_is_asked_for_again():
    accepted = carried_over("dr_who")
    without_hash = replace(accepted, carried=replace(accepted.carried, accepted=""))
    assert without_hash.unaccepted.endswith("without a hash of what was accepted: accept it again")


def test_a_cine_of_another_frame_of_reference_is_refused(plan, tmp_path):
    """Its positions mean nothing in the plan: it is of another patient, or of another day."""
    folder, _ = plan
    structure_set(tmp_path / "plan.dcm", {"GTV": [[0, 0, 0, 9, 0, 0, 9, 9, 0]]})
    recording = replace(open_recording(folder / "cine.npz"), frame_of_reference="1.2.3.4.5.6")
    with pytest.raises(BadPlan, match=r"FrameOfReferenceUID of this cine ends in .*must first be registered"):
        carry_from_plan(folder / "volume.mha", tmp_path / "plan.dcm", "GTV", recording)


def test_acceptance_is_kept_by_the_target_file_and_asked_for_once(tmp_path):
    write_targets(tmp_path / "t.json", [carried_over()])
    assert accept(tmp_path / "t.json", "dr_who") == ["target"]
    with pytest.raises(TargetError, match="no contour waits"):
        accept(tmp_path / "t.json", "dr_who")


def test_a_contour_in_doubt_is_accepted_with_a_reason_alone(tmp_path):
    doubtful = replace(carried_over(), carried=replace(HOW, doubts=("agreement is 0.50; 0.95 or more is needed",)))
    write_targets(tmp_path / "t.json", [doubtful])
    with pytest.raises(TargetError, match=r"agreement is 0.50; 0.95 or more is needed; give --why"):
        accept(tmp_path / "t.json", "dr_who")
    accept(tmp_path / "t.json", "dr_who", "another contrast, and the outline fits")
    (target,) = read_targets(tmp_path / "t.json")
    assert target.carried is not None
    assert (target.carried.accepted_by, target.carried.why) == ("dr_who", "another contrast, and the outline fits")
