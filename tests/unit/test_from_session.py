"""A target of another session, carried from the image in which it was drawn to the cine of the day."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from bench.registration import carried_frame, make_frame_case
from cinegate.plan_target import carry_from_session
from cinegate.recordings import recording_from_arrays, save_recording
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.errors import TargetError
from gating.targets.spec import CarriedOver
from gating.targets.target_file import read_targets, write_targets

register_verbs()
SEED = 3


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """A folder with the target file of a session and the cine of another; and the case that they are of."""
    folder = tmp_path_factory.mktemp("sessions")
    target, case = make_frame_case("right", SEED)
    write_targets(folder / "before.json", [target])
    pixels = np.clip(np.stack([case.pixels, case.pixels + 1]), 0, None).astype(np.uint16)
    at_mm = tuple(case.plane.origin_mm.tolist())
    cine = recording_from_arrays(pixels, [0.0, 0.2], case.plane.spacing_mm, position_mm=at_mm)
    save_recording(cine, folder / "cine.npz")
    return folder, target, case, cine


def test_a_target_of_another_session_waits_for_acceptance(sessions, tmp_path):
    folder, _, case, _ = sessions
    out = tmp_path / "gtv.json"
    asked = ["from-session", folder / "before.json", "GTV", folder / "cine.npz", "--out", out, "--json"]
    done = CliRunner().invoke(app, [str(word) for word in asked])
    assert done.exit_code == 0, done.output
    answer = msgspec.json.decode(done.output)
    assert (answer["doubts"], answer["couch_iec_mm"]) == ([], None)
    (target,) = read_targets(out)
    assert target.carried.how.startswith("GTV of before.json: ")
    assert target.carried.accepted_by == ""
    centre_px = np.argwhere(case.truth).mean(axis=0)[::-1]
    assert np.linalg.norm(target.contour_px.mean(axis=0) - centre_px) * case.plane.spacing_mm[0] < 2.0
    assert abs(answer["shift_lps_mm"][0]) < 1e-9, "across the plane a frame tells nothing"


def test_another_patients_frame_is_in_doubt():
    target, case = make_frame_case("wrong patient", SEED)
    found = carried_frame(target, case)
    assert found is None or found.doubts


def test_a_name_that_the_session_does_not_hold_is_refused(sessions):
    folder, _, _, cine = sessions
    with pytest.raises(TargetError, match="there is no target 'CTV'; it holds GTV"):
        carry_from_session(folder / "before.json", "CTV", cine)


def test_a_plane_that_is_turned_against_the_cines_is_refused(sessions, tmp_path):
    _, target, _, cine = sessions
    coronal = replace(target.image, image_orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    write_targets(tmp_path / "coronal.json", [replace(target, image=coronal)])
    with pytest.raises(TargetError, match="90 degrees from that of arrays; at most 5 are possible"):
        carry_from_session(tmp_path / "coronal.json", "GTV", cine)


def test_a_contour_that_nobody_accepted_is_not_carried_on(sessions, tmp_path):
    _, target, _, cine = sessions
    write_targets(tmp_path / "carried.json", [replace(target, carried=CarriedOver("GTV of a plan"))])
    with pytest.raises(TargetError, match="was carried over, and nobody has accepted it; accept it first"):
        carry_from_session(tmp_path / "carried.json", "GTV", cine)
