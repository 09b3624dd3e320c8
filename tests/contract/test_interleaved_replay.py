"""Two planes imaged in turn, replayed at their own pace as one stream through the real processes, and from the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gating.messages import CineFrame, GateState, StreamInfo, TargetEstimate, TargetReference
from gating.session.log import read_session
from gating.settings.config import parse_config
from tests.command_line import answer as cinegate
from tests.interleaved import INTERVAL_S, PLANES, Patient, write_recordings

pytestmark = pytest.mark.deadlines

FRAMES = 110
DECIDED = 80
"""At least; where the machine is busy, an engine skips to the newest frame."""
LEARN_FRAMES = 10


@pytest.fixture(scope="module")
def patient() -> Patient:
    return Patient()


@pytest.fixture(scope="module")
def recordings(patient, tmp_path_factory) -> list[Path]:
    return write_recordings(patient, tmp_path_factory.mktemp("planes"), FRAMES)


@pytest.fixture(scope="module")
def rehearsal(recordings, tmp_path_factory) -> dict[str, Any]:
    """`cinegate run` of both recordings at their real rate, with rules in 3D."""
    sagittal, coronal = recordings
    folder = tmp_path_factory.mktemp("log")
    config = folder / "session.toml"
    config.write_text(f"[gating.three_d]\non = true\nlearn_frames = {LEARN_FRAMES}\n")
    return cinegate("run", sagittal, "--with", coronal, "--config", config, "--log", folder)


@pytest.fixture(scope="module")
def logged(rehearsal) -> list[Any]:
    return [message for _, _, message in read_session(Path(rehearsal["log"]))]


def frames_of(messages: list[Any]) -> list[CineFrame]:
    return [message for message in messages if isinstance(message, CineFrame)]


def test_frames_of_both_planes_are_decided_in_real_time(rehearsal):
    assert rehearsal["real_time"] is True
    assert rehearsal["frames_published"] == FRAMES == rehearsal["frames_decided"] + rehearsal["frames_skipped"]
    assert rehearsal["frames_decided"] >= DECIDED
    assert rehearsal["duty_cycle_commanded"] > 0, rehearsal["reasons"]


def test_the_stream_declares_both_planes_and_the_interval_between_frames(logged):
    info = next(message for message in logged if isinstance(message, StreamInfo))
    assert (info.planes, info.nominal_interval_ns) == (PLANES, round(INTERVAL_S * 1e9))


def test_each_frame_keeps_the_stamp_pixels_and_geometry_of_its_plane(patient, logged):
    frames = frames_of(logged)
    assert [frame.header.sequence for frame in frames] == list(range(FRAMES))
    for index, frame in enumerate(frames):
        plane = patient.plane(index)
        assert (frame.header.plane, frame.header.acquired_ns) == (plane, round(index * INTERVAL_S * 1e9))
        assert frame.header.image_orientation == patient.phantoms[plane].orientation
        np.testing.assert_allclose(frame.header.image_position_mm, patient.position_mm(plane))
        np.testing.assert_array_equal(frame.pixels, patient.pixels(index))


def test_frames_leave_at_the_pace_of_the_merged_stamps(logged):
    headers = [frame.header for frame in frames_of(logged)]
    deadlines_ns = np.array([header.acquired_on_publish_clock_ns for header in headers])
    np.testing.assert_array_equal(np.diff(deadlines_ns), np.full(FRAMES - 1, round(INTERVAL_S * 1e9)))
    late_ns = np.array([header.published_ns for header in headers]) - deadlines_ns
    assert late_ns.min() >= 0
    assert np.median(late_ns) < 20e6


def test_the_targets_of_both_planes_are_one_structure_in_3d(patient, logged):
    estimates = [message for message in logged if isinstance(message, TargetEstimate)]
    assert {estimate.target for estimate in estimates} == {"target sagittal", "target coronal"}
    off_mm = []
    for estimate in estimates:
        if estimate.ages_ms is None or estimate.status != "tracked":
            continue
        seen = np.array(estimate.ages_ms) == 0
        now, before = (patient.target_mm(estimate.frame_sequence - back) for back in (0, 1))
        off_mm.append(np.abs(np.where(seen, now, before) - estimate.position_mm).max())
    assert len(off_mm) > FRAMES // 2
    assert np.percentile(off_mm, 90) < 2.4


def test_beam_is_on_only_within_a_known_bound(patient, logged):
    on = [one for one in logged if isinstance(one, TargetEstimate) and one.gate is GateState.ON]
    assert on
    for estimate in on:
        assert estimate.bound_mm is not None
        moved = patient.target_mm(estimate.frame_sequence) - patient.target_mm(0)
        assert np.linalg.norm(np.abs(moved - estimate.displacement_mm)) < np.linalg.norm(estimate.bound_mm) + 1.5


def test_the_log_teaches_how_the_axes_move_together(rehearsal, tmp_path):
    out = tmp_path / "proposal.toml"
    learned = cinegate("couplings", rehearsal["log"], "--out", out)["couplings"]
    across = {tuple(np.round(np.abs(one["across_lps"])).tolist()): one for one in learned}
    assert across.keys() == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}
    signs = {axis: np.sign(np.array(one["along_lps"])[2] * np.sum(one["across_lps"])) for axis, one in across.items()}
    assert across[1.0, 0.0, 0.0]["slope"] * signs[1.0, 0.0, 0.0] == pytest.approx(1 / -15, abs=0.05)
    assert across[0.0, 1.0, 0.0]["slope"] * signs[0.0, 1.0, 0.0] == pytest.approx(-4 / -15, abs=0.08)
    assert parse_config(out.read_text()).gating.three_d.on


def test_the_log_replays_with_both_planes_as_they_were_recorded(rehearsal, logged, tmp_path):
    again = cinegate("run", rehearsal["log"], "--plane", "all", "--speed", "stepped", "--log", tmp_path)
    assert again["frames_decided"] == FRAMES
    replayed = [message for _, _, message in read_session(Path(again["log"]))]
    kept = ("plane", "acquired_ns", "content_hash", "image_orientation", "image_position_mm", "pixel_spacing_mm")
    for before, after in zip(frames_of(logged), frames_of(replayed), strict=True):
        assert [getattr(before.header, name) for name in kept] == [getattr(after.header, name) for name in kept]
    drawn = [
        {message.plane: message.contour_px for message in messages if isinstance(message, TargetReference)}
        for messages in (logged, replayed)
    ]
    assert drawn[0].keys() == set(PLANES)
    for plane in PLANES:
        np.testing.assert_allclose(drawn[0][plane], drawn[1][plane])


def test_the_decisions_of_the_log_follow_again_from_its_frames(rehearsal):
    verified = cinegate("verify", rehearsal["log"])["replay"]
    assert (verified["frames"], verified["differences"]) == (rehearsal["frames_decided"], 0)


def test_targets_from_a_file_name_their_planes(patient, recordings, tmp_path):
    outlines = {plane: patient.phantoms[plane].truth(index).contour_px.tolist() for index, plane in enumerate(PLANES)}
    file = tmp_path / "targets.json"
    file.write_text(
        json.dumps({"targets": [{"name": f"GTV {p}", "plane": p, "contour_px": c} for p, c in outlines.items()]})
    )
    sagittal, coronal = recordings
    run = cinegate(
        "run", sagittal, "--with", coronal, "--target", file, "--speed", "stepped", "--log", tmp_path / "log"
    )
    estimates = [m for _, _, m in read_session(Path(run["log"])) if isinstance(m, TargetEstimate)]
    assert {(estimate.target, estimate.plane) for estimate in estimates} == {(f"GTV {p}", p) for p in PLANES}
    assert any(estimate.gate is GateState.ON for estimate in estimates)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--with", "{0}"], "both are sagittal"),
        (["--with", "{1}", "--target-box", "10,10,20,20"], "give --target FILE, whose targets name theirs"),
        (["--with", "{1}", "--plane", "sagittal"], "it is coronal; sagittal was requested"),
        (["--plane", "coronal"], "it is sagittal; coronal was requested"),
        (["--target", "{2}"], "plane of GTV is coronal; the scan is sagittal"),
    ],
)
def test_recordings_that_cannot_be_one_stream_are_refused_in_one_sentence(recordings, tmp_path, options, words):
    targets = tmp_path / "targets.json"
    square = [[10, 10], [20, 10], [20, 20], [10, 20]]
    targets.write_text(json.dumps({"targets": [{"name": "GTV", "plane": "coronal", "contour_px": square}]}))
    asked = [option.format(*recordings, targets) for option in options]
    answer = cinegate("run", recordings[0], *asked, "--log", tmp_path / "log", expect=2)
    assert words in answer["error"]
    assert not (tmp_path / "log").exists()
