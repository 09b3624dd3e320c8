"""The commands as a user runs them: real sessions, real sockets, real files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from drivers.recordings import open_recording
from replay_data import session_path
from tests.command_line import answer as cinegate
from tests.pages import fetched_addresses


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def short_session(tmp_path_factory) -> Path:
    """The first five seconds of the bundled free-breathing session."""
    whole = dict(np.load(session_path("free_breathing")))
    path = tmp_path_factory.mktemp("short") / "short.npz"
    count = len(whole["frames"])
    np.savez(path, **{k: v[:40] if v.shape[:1] == (count,) else v for k, v in whole.items()})
    return path


@pytest.fixture
def with_nan(short_session, tmp_path):
    def with_nan(index: int) -> Path:
        arrays = dict(np.load(short_session))
        frames = arrays["frames"].astype(np.float32)
        frames[index, 10, 10] = np.nan
        np.savez(tmp_path / "nan.npz", **(arrays | {"frames": frames}))
        return tmp_path / "nan.npz"

    return with_nan


@pytest.fixture(scope="module")
def run_at_real_rate(short_session, tmp_path_factory) -> dict[str, object]:
    return cinegate("run", short_session, "--log", tmp_path_factory.mktemp("log"))


def test_an_untrackable_target_is_bad_input_and_holds_every_frame(short_session, tmp_path):
    table = tmp_path / "t.csv"
    said = cinegate("track", short_session, "--target-box", "5,5,4,2", "--out", table, expect=2)
    assert "the target covers 8 px" in str(said["error"])
    assert {row["gate"] for row in rows_of(table)} == {"hold"}


def test_track_refuses_a_frame_of_nan_and_goes_on(with_nan, tmp_path):
    summary = cinegate("track", with_nan(20), "--out", tmp_path / "t.csv", "--masks", tmp_path / "m.mha")
    rows = rows_of(tmp_path / "t.csv")
    assert summary["frames"] == len(rows) == 40
    assert [row["frame"] for row in rows if row["status"] == "refused"] == ["20"]
    assert (rows[20]["gate"], rows[20]["reason"]) == ("hold", "frame_refused")
    assert rows[21]["status"] == "tracked"
    masks = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "m.mha")))
    np.testing.assert_array_equal(masks[:, :, 20], masks[:, :, 19])


def test_track_says_that_a_reference_of_nan_cannot_be_learned(with_nan, tmp_path):
    said = cinegate("track", with_nan(0), "--out", tmp_path / "t.csv", expect=2)
    assert str(said["error"]).endswith("cannot be learned: the frame holds NaN or infinite pixels")
    assert {row["gate"] for row in rows_of(tmp_path / "t.csv")} == {"hold"}


def test_a_live_run_refuses_a_frame_of_nan_and_goes_on(with_nan, tmp_path):
    from gating.messages import GateCommand
    from gating.session.log import read_session

    run = cinegate("run", with_nan(20), "--speed", "stepped", "--log", tmp_path)
    assert run["frames_published"] == run["frames_decided"] == 40
    assert run["reasons"]["frame_refused"] == 1
    commands = [r.message for r in read_session(Path(run["log"])) if isinstance(r.message, GateCommand)]
    [refused] = [c for c in commands if c.reason == "frame_refused"]
    assert (refused.state, refused.frame_sequence) == ("hold", 20)
    assert refused.detail == "target: the frame holds NaN or infinite pixels"
    assert Path(cinegate("report", run["log"])["report"]).exists()


def test_a_target_of_a_later_frame_is_found_by_its_image_and_verified(short_session, tmp_path):
    file = tmp_path / "targets.json"
    made = cinegate("targets", short_session, "--target-box", "33,54,12,11", "--frame", 12, "--out", file)
    assert (made["targets"], made["frame"]) == (["target"], 12)
    run = cinegate("run", short_session, "--target", file, "--speed", "stepped", "--log", tmp_path)
    assert run["reasons"]["target_not_matched"] == 4
    assert "in_window" in run["reasons"]
    assert cinegate("verify", run["log"])


def test_a_run_goes_on_with_the_targets_of_an_earlier_log(run_at_real_rate, short_session, tmp_path):
    log = run_at_real_rate["log"]
    run = cinegate("run", short_session, "--target", log, "--speed", "stepped", "--log", tmp_path)
    assert "in_window" in run["reasons"]
    assert "target_not_matched" not in run["reasons"]


def test_a_run_decides_every_frame_once_and_skips_none(run_at_real_rate):
    assert run_at_real_rate["frames_published"] == 40
    assert run_at_real_rate["frames_decided"] == 40
    assert run_at_real_rate["frames_skipped"] == 0
    assert sum(run_at_real_rate["reasons"].values()) == 40


def test_a_run_measures_every_stage_of_every_frame(run_at_real_rate):
    stages = run_at_real_rate["latency_ms"]
    assert {"decode", "track", "decide", "publish", "engine", "loop"} <= stages.keys()
    for stage in ("decode", "track", "decide", "engine", "loop"):
        assert stages[stage]["n"] == 40
        assert 0 < stages[stage]["p50"] <= stages[stage]["p99"] <= stages[stage]["p999"] <= stages[stage]["max"]


def test_a_run_gives_beam_and_holds(run_at_real_rate):
    assert 0 < run_at_real_rate["duty_cycle"] < 1


def test_a_report_is_one_file_that_needs_no_network(run_at_real_rate):
    reported = cinegate("report", run_at_real_rate["log"])
    html = Path(reported["report"]).read_text()
    assert "plotly" in html.lower()
    assert fetched_addresses(html) == []
    assert "<link" not in html


def test_stepped_replay_decides_as_the_engine_does_offline(short_session, tmp_path):
    from gating.messages import TargetEstimate
    from gating.session.log import read_session

    run = cinegate("run", short_session, "--speed", "stepped", "--log", tmp_path)
    cinegate("track", short_session, "--out", tmp_path / "track.csv")
    offline = rows_of(tmp_path / "track.csv")
    live = [r.message for r in read_session(Path(run["log"])) if isinstance(r.message, TargetEstimate)]
    assert run["real_time"] is False
    assert [(e.gate, e.reason) for e in live] == [(row["gate"], row["reason"]) for row in offline]
    assert [f"{e.x_px:.4f}" for e in live] == [row["x_px"] for row in offline]


def test_a_session_log_is_a_recording(run_at_real_rate, short_session):
    logged, original = open_recording(run_at_real_rate["log"]), open_recording(short_session)
    assert len(logged) == len(original)
    np.testing.assert_array_equal(logged.frames[17], original.frames[17])
    np.testing.assert_array_equal(logged.stamps_ns, original.stamps_ns)


def test_track_writes_a_row_a_frame_and_masks_on_the_grid_of_the_frames(short_session, tmp_path):
    summary = cinegate("track", short_session, "--out", tmp_path / "t.csv", "--masks", tmp_path / "m.mha")
    rows = rows_of(tmp_path / "t.csv")
    masks = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "m.mha")))
    assert summary["frames"] == len(rows) == masks.shape[2] == 40
    positions = "frame,t_s,x_px,y_px,si_mm,ap_mm"
    assert ",".join(rows[0]) == f"{positions},confidence,status,target_out_fraction,gate,reason"
    recording = open_recording(short_session)
    assert masks.shape[:2] == recording.shape
    truth = recording.target_track_px
    found = np.array([[float(r["x_px"]), float(r["y_px"])] for r in rows])
    assert np.median(np.hypot(*(found - truth).T)) < 0.5


def test_a_coronal_session_leaves_the_hidden_axis_empty(tmp_path):
    cinegate("track", session_path("high_rate"), "--out", tmp_path / "t.csv")
    row = rows_of(tmp_path / "t.csv")[0]
    assert row["ap_mm"] == ""
    assert row["si_mm"] != ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["track", "nowhere.npz"], "nowhere.npz: there is no such file", id="missing recording"),
        pytest.param(
            ["track", session_path("free_breathing"), "--target-box", "1,2,3"],
            "four numbers X,Y,W,H",
            id="three numbers",
        ),
        pytest.param(
            ["track", session_path("free_breathing"), "--target-box", "80,90,40,40"],
            "leaves the image",
            id="box outside",
        ),
        pytest.param(
            ["run", session_path("free_breathing"), "--speed", "fast"], "a factor of 0.01 to 1000", id="speed in words"
        ),
        pytest.param(["config", "--check", "nowhere.toml"], "nowhere.toml", id="missing settings"),
        pytest.param(["verify", "docs"], "docs: is a folder; a session log (.mcap) is needed", id="folder for a log"),
        pytest.param(
            ["report", "nowhere.mcap"],
            "nowhere.mcap: there is no such file; a session log (.mcap) is needed",
            id="report of nothing",
        ),
        pytest.param(
            ["recover", "nowhere.mcap"],
            "nowhere.mcap: there is no such file; a session log (.mcap) is needed",
            id="recover of nothing",
        ),
        pytest.param(["track", session_path("free_breathing"), "--tracker", "magic"], "magic", id="unknown tracker"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, sentence):
    assert sentence in str(cinegate(*arguments, expect=2)["error"])


def test_a_process_with_bad_input_says_one_sentence_and_exits_with_two():
    command = [sys.executable, "-m", "cinegate", "recover", "nowhere.mcap", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no such file" in json.loads(done.stdout)["error"]
    assert len(done.stderr.splitlines()) == 1


def test_every_setting_is_listed_with_unit_and_default():
    settings = cinegate("config", "--show")["settings"]
    keys = {row["key"] for row in settings}
    assert {"safety.lease_ms", "gating.margins.superior_mm", "endpoints.frames"} <= keys
    lease = next(row for row in settings if row["key"] == "safety.lease_ms")
    assert (lease["default"], lease["unit"]) == (100.0, "ms")
