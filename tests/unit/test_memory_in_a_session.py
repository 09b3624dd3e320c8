"""A target with a memory in the engine, in the log, and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from cinegate.targets import make_targets, with_memory
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.recordings import open_recording
from gating.analysis.verification import verify_session
from gating.decision.reasons import GateReason
from gating.errors import TargetError
from gating.evaluation import Case, evaluate
from gating.messages import EngineState, GateState, TargetReference
from gating.session.log import SessionError, read_session
from gating.tracking.memory_file import read_memory, write_memory
from gating.tracking.memory_learning import learn_memory
from gating.tracking.tracker import TrackerSettings, TrackingError
from tests.engine_bench import BOX, Bench, drawn_on, states
from tests.factories import anatomy, frame
from tests.logged_engine import LoggedEngine
from tests.memory_bench import TARGET, cine, elapsed, held
from tests.pages import fetched_addresses

register_verbs()
REFERENCE = frame(0)


def learned(spec_pixels, contour=BOX):
    """A memory of the engine's test picture, in which the anatomy breathes by 8 px."""
    shifts = 8.0 * np.sin(np.pi * np.arange(24) / 12.0) ** 2
    moved = [anatomy(seed=100 + n, shift=float(shift)) for n, shift in enumerate(shifts[1:])]
    return learn_memory(np.stack([spec_pixels, *moved]), elapsed(24), contour, (2.0, 2.0))


@pytest.fixture(scope="module")
def memory():
    return learned(REFERENCE.pixels)


@pytest.fixture(scope="module")
def other():
    return learned(anatomy(seed=5))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "case.npz"
    frames = cine(held(130), changes=0.6)
    spacing = np.array([1.5, 1.5])
    np.savez(path, frames=frames, t_s=0.25 * np.arange(130), pixel_spacing_mm=spacing, plane="sagittal")
    return path


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output or result.exception
    return result


def of(outcomes, kind):
    return [message for outcome in outcomes for message in outcome.messages if isinstance(message, kind)]


def test_an_engine_uses_the_memory_and_its_reference_names_it(memory):
    outcomes = Bench(targets=[replace(drawn_on(REFERENCE), memory=memory)]).steps(12)
    assert GateState.ON in states(outcomes)
    assert {reference.memory_hash for reference in of(outcomes, TargetReference)} == {memory.content_hash}


def test_a_memory_of_another_picture_latches_with_a_sentence(other):
    outcomes = Bench(targets=[replace(drawn_on(REFERENCE), memory=other)]).steps(12)
    last = outcomes[-1].command
    assert GateState.ON not in states(outcomes)
    assert (last.reason, last.engine_state) == (GateReason.TARGET_UNUSABLE, EngineState.LATCHED)
    assert f"the memory was learned from picture {other.picture_hash}" in last.detail


def test_a_memory_of_another_contour_latches_with_a_sentence(memory):
    target = replace(drawn_on(REFERENCE, contour_px=BOX + np.float32(1)), memory=memory)
    last = Bench(targets=[target]).steps(12)[-1].command
    assert last.reason is GateReason.TARGET_UNUSABLE
    assert "contour lies 1.00 px from the one" in last.detail


@pytest.fixture
def log(memory, tmp_path):
    session = LoggedEngine(tmp_path / "s1.mcap", target=replace(drawn_on(REFERENCE), memory=memory))
    session.declare()
    session.frames(0, 12)
    session.writer.close()
    return session.writer.path


def test_the_log_names_the_memory(log, memory):
    references = [message for _, _, message in read_session(log) if isinstance(message, TargetReference)]
    assert [reference.memory_hash for reference in references] == [memory.content_hash]


def test_a_session_with_a_memory_is_verified_with_it_after_a_file(log, memory, tmp_path):
    write_memory(tmp_path / "memory.json", memory)
    found = verify_session(log, memory=read_memory(tmp_path / "memory.json"))
    assert (found.first_difference, found.largest_px) == ("", 0.0)


def test_a_session_with_a_memory_is_not_verified_without_it(log, memory):
    with pytest.raises(SessionError, match=f"tracked with memory {memory.content_hash}, which is not in the log"):
        verify_session(log)


def test_a_session_with_a_memory_is_not_verified_with_another(log, memory, other):
    with pytest.raises(SessionError, match=f"is {memory.content_hash} in the log; the one given is"):
        verify_session(log, memory=other)


def test_prepare_writes_a_memory_and_a_page_that_track_uses(recording, tmp_path):
    file, box = tmp_path / "memory.json", ["--target-box", "38,26,22,24"]
    said = run("prepare", recording, *box, "--out", tmp_path / "p.toml", "--memory", file, "--seconds", "32", "--json")
    learned = json.loads(said.stdout)["memory"]
    assert learned["key_frames"] == [key.number for key in read_memory(file).key_frames]
    page = (tmp_path / "memory.html").read_text()
    assert page.count("<polygon") == 1 + len(learned["key_frames"])
    assert fetched_addresses(page) == []
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("memory.json", "memory.html")} == {0o600}
    run("track", recording, *box, "--out", tmp_path / "with.csv", "--memory", file)
    run("track", recording, *box, "--out", tmp_path / "without.csv")
    assert (tmp_path / "with.csv").read_text() != (tmp_path / "without.csv").read_text()


def test_drop_needs_a_memory(recording, tmp_path):
    said = CliRunner().invoke(app, ["prepare", str(recording), "--drop", "3", "--out", str(tmp_path / "p.toml")])
    assert str(said.exception) == "--drop, --accept and --correct change a memory: give --memory FILE"


def test_a_memory_of_no_target_of_the_recording_is_refused(recording, memory, tmp_path):
    write_memory(tmp_path / "memory.json", memory)
    targets = make_targets((38, 26, 22, 24), open_recording(recording))
    with pytest.raises(TargetError, match=f"picture {memory.picture_hash}, in which no target was drawn"):
        with_memory(targets, tmp_path / "memory.json")


def test_targets_go_to_the_engine_with_their_memory(recording, tmp_path):
    targets = make_targets((38, 26, 22, 24), open_recording(recording))
    frames = open_recording(recording).frames
    made = learn_memory(np.stack([frames[n] for n in range(40)]), elapsed(40), targets[0].contour_px, (1.5, 1.5))
    write_memory(tmp_path / "memory.json", made)
    assert with_memory(targets, tmp_path / "memory.json")[0].memory.content_hash == made.content_hash


def prepared_case():
    frames = cine(held(60), changes=0.4)
    return Case("prepared", frames, elapsed(60), (1.5, 1.5), TARGET, track_px=held_track(60))


def held_track(count):
    x, y = TARGET.mean(axis=0)
    return np.stack([np.full(count, x), y + held(count)], axis=1)


def test_only_what_follows_the_preparation_is_scored(tmp_path):
    found = evaluate([prepared_case()], tmp_path, prepare_frames=40)
    assert [row["frame"] for row in found.frames] == list(range(40, 60))
    assert found.results[0]["first_scored"] == 40
    assert found.summary()["prepare_frames"] == 40
    assert "scored from" in (tmp_path / "report.html").read_text()


def test_a_tracker_without_memory_is_scored_on_the_same_frames():
    found = evaluate([prepared_case()], tracker="rigid", settings=TrackerSettings(), prepare_frames=40)
    assert [row["frame"] for row in found.frames] == list(range(40, 60))


def test_a_preparation_must_leave_something_to_score():
    with pytest.raises(TrackingError, match="60 frames of preparation leave none of 60 to score"):
        evaluate([prepared_case()], prepare_frames=60)
