"""The Python interface and the command line: the same code, so the same numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import cinegate
from gating.messages import TargetEstimate
from gating.session.log import read_session
from replay_data import session_path
from tests.command_line import answer as command

TIMES = ("seconds_per_frame", "total_runtime", "track_p50_ms", "track_p99_ms", "track_max_ms")


@pytest.fixture(scope="module")
def short_session(tmp_path_factory) -> Path:
    """The first 48 frames of a bundled session."""
    whole = cinegate.open_recording(session_path("free_breathing"))
    frames = np.stack([whole.frames[index] for index in range(48)])
    times_s = whole.stamps_ns[:48] / 1e9
    part = cinegate.recording_from_arrays(frames, times_s, whole.pixel_spacing_mm, position_mm=whole.image_position_mm)
    return cinegate.save_recording(part, tmp_path_factory.mktemp("short") / "short.npz")


@pytest.fixture(scope="module")
def live(short_session, tmp_path_factory) -> tuple[Path, list[object]]:
    """A session that was run from Python, and what it said."""
    with cinegate.run(short_session, (33, 54, 12, 11), speed="stepped", log=tmp_path_factory.mktemp("log")) as session:
        return session.log, list(session)


@pytest.mark.parametrize(
    "options",
    [{}, {"config": "preset:exhale"}, {"tracker": "rigid"}],
    ids=["defaults", "preset", "rigid"],
)
def test_a_table_is_what_the_verb_track_writes(short_session, tmp_path, options):
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    said = command("track", short_session, "--target-box", "33,54,12,11", "--out", tmp_path / "verb.csv", *given)
    result = cinegate.track(short_session, (33, 54, 12, 11), **options)
    with (tmp_path / "verb.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == result.table.dtype.names
    for row, found in zip(rows, result.table, strict=True):
        for name, text in row.items():
            value = found[name]
            expected = f"{value:.6f}" if name == "t_s" else f"{value:.4f}" if value.dtype.kind == "f" else str(value)
            assert text == expected
    assert said["duty_cycle"] == result.duty_cycle


def test_an_array_is_tracked_as_the_file_that_holds_it(short_session):
    opened = cinegate.open_recording(short_session)
    frames = np.stack([opened.frames[index] for index in range(len(opened))])
    times_s, spacing_mm = opened.stamps_ns / 1e9, opened.pixel_spacing_mm
    box = (33, 54, 12, 11)
    gated = list(cinegate.gate(frames, box, times_s=times_s, spacing_mm=spacing_mm))
    table = cinegate.track(short_session, box).table
    np.testing.assert_array_equal([frame.centre_px for frame in gated], table[["x_px", "y_px"]].tolist())
    assert [(frame.state, frame.reason) for frame in gated] == table[["gate", "reason"]].tolist()


def test_scores_are_those_of_the_verb_evaluate(short_session, tmp_path):
    truth = cinegate.open_recording(session_path("free_breathing")).target_track_px[:48]
    track = np.column_stack([np.arange(48), np.zeros(48), truth])
    header = "target box x,y,w,h=(33,54,12,11)"
    np.savetxt(tmp_path / "case_reference_track.csv", track, delimiter=",", header=header)
    (tmp_path / "case.npz").write_bytes(short_session.read_bytes())
    verb = command("evaluate", tmp_path, "--out", tmp_path / "out")
    found = cinegate.evaluate(tmp_path, out=tmp_path / "ours")
    assert {k: v for k, v in found.aggregates.items() if k not in TIMES} == {
        k: v for k, v in verb["aggregates"].items() if k not in TIMES
    }
    assert (tmp_path / "ours" / "report.html").exists()
    by_label = cinegate.evaluate(replace_track(short_session, truth), (33, 54, 12, 11))
    assert by_label.aggregates["centre_error_mean_mm"] == found.aggregates["centre_error_mean_mm"]


def replace_track(path: Path, track_px: np.ndarray) -> cinegate.Recording:
    from dataclasses import replace

    return replace(cinegate.open_recording(path), target_track_px=track_px)


def test_a_live_session_decides_as_track_does(live, short_session):
    log, messages = live
    table = cinegate.track(short_session, (33, 54, 12, 11)).table
    estimates = cinegate.read_session(log).estimates
    for column in ("frame", "x_px", "si_mm", "gate", "reason"):
        np.testing.assert_array_equal(estimates[column], table[column])
    said = {type(message) for message in messages}
    assert said >= {cinegate.GateCommand, cinegate.TargetEstimate, cinegate.BeamStatus}


def test_the_arrays_of_a_log_are_its_messages(live):
    log, _ = live
    arrays = cinegate.read_session(log)
    messages = [message for _, _, message in read_session(log)]
    commands = [message for message in messages if isinstance(message, cinegate.GateCommand)]
    statuses = [message for message in messages if isinstance(message, cinegate.BeamStatus)]
    estimates = [message for message in messages if isinstance(message, TargetEstimate)]
    assert arrays.commands["frame"].tolist() == [one.frame_sequence for one in commands]
    assert arrays.commands["reason"].tolist() == [one.reason for one in commands]
    assert arrays.commands["renewal"].tolist() == [one.renewal for one in commands]
    assert arrays.beam["confirmed"].tolist() == [one.confirmed for one in statuses]
    assert arrays.estimates["confidence"].tolist() == [one.confidence for one in estimates]
    assert len(arrays.frames) == 48
    assert arrays.frames["t_s"][0] == 0.0
    assert (np.diff(arrays.frames["t_s"]) > 0).all()
    assert arrays.targets["target"].contour_px


def test_the_summary_and_report_of_a_log_are_the_verbs(live, tmp_path):
    log, _ = live
    verb = command("report", log, "--out", tmp_path / "verb.html")
    summary = cinegate.read_session(log).summary
    for figure in ("duty_cycle", "beam_on_s", "frames_decided", "reasons"):
        assert verb[figure] == getattr(summary, figure)
    page = cinegate.report(log, tmp_path / "ours.html")
    assert page == tmp_path / "ours.html"
    assert len(page.read_text()) == len((tmp_path / "verb.html").read_text())


def test_a_source_by_name_is_armed_and_disarmed_by_its_operator(tmp_path):
    settings = {"frames_per_s": 10, "seed": 4}
    with cinegate.run("phantom", (30, 30, 20, 20), options=settings, log=tmp_path) as session:
        with pytest.raises(cinegate.RequestRefused, match="acknowledge by physicist refused"):
            session.acknowledge("physicist", "nothing is latched")
        assert session.arm("physicist").engine_state is cinegate.EngineState.ARMED
        commands = (message for message in session if isinstance(message, cinegate.GateCommand))
        assert next(commands).engine_state is cinegate.EngineState.ARMED
        assert session.disarm("physicist").engine_state is cinegate.EngineState.READY
    events = [event.text for event in cinegate.read_session(session.log).events]
    assert "arm by physicist: armed" in events
    assert "disarm by physicist: ready" in events


def test_a_process_that_fails_ends_the_session_with_its_sentence(tmp_path):
    with (
        cinegate.run("phantom", (30, 30, 20, 20), options={"frames_per_s": -1}, log=tmp_path) as session,
        pytest.raises(cinegate.PipelineError, match=r"source ended with code 2: .*frames_per_s"),
    ):
        session.wait()
