"""Times that follow from a rate that a user gave are called assumed wherever they are shown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from cinegate.console import review_work
from cinegate.tables import TRACK, Track
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from cinegate.verbs.screen import Screen
from drivers.recordings import open_recording
from drivers.recordings.writing import write_npz
from drivers.sources.replay import ReplaySource
from gating.analysis.preparation import proposal_toml, propose
from gating.analysis.replay_tracking import track_motion
from gating.messages import ASSUMED_CLOCK, ASSUMED_TIME_MEANS
from gating.report.html import render
from gating.report.summary import summarise_data, summary_table
from gating.report.whatif_page import write_whatif_page
from gating.session.summary_data import read_data
from gating.settings.config import Config
from tests.factories import anatomy, outcome, stream
from tests.motion import breathing
from tests.mridian_files import cine, raw_file, write_series
from tests.unit.session_bench import write_session

register_verbs()


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """A `.raw` series of a moving target."""
    frames = np.stack([anatomy(seed=index, shift=3 * np.sin(index / 3)) for index in range(16)]).astype(np.int16)
    path = tmp_path_factory.mktemp("series") / "a.raw"
    path.write_bytes(raw_file(frames, 0.2, 0.2))
    return path


def cinegate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_replay_declares_a_clock_of_its_own_and_warns(series):
    source = ReplaySource(series, frames_per_s=4)
    assert source.open().acquired_clock == ASSUMED_CLOCK
    assert source.warnings == (ASSUMED_TIME_MEANS,)


def test_an_npz_remembers_that_its_times_were_assumed(series, tmp_path):
    write_npz(open_recording(series, frames_per_s=4), tmp_path / "a.npz")
    assert open_recording(tmp_path / "a.npz").times_assumed


def test_a_track_is_compared_with_the_one_that_the_recording_holds(tmp_path):
    recording = open_recording(write_series(tmp_path, cine(4)), frames_per_s=4)
    table = np.zeros(4, TRACK)
    table["status"] = ["tracked", "tracked", "lost", "tracked"]
    table["x_px"], table["y_px"] = recording.target_track_px.T
    table["y_px"] += [2, 2, 100, np.nan]
    said = Track(recording, table, ((),) * 4, ("",) * 4, ()).against_own_track()
    assert said == "from the recording's own track: median 7.0 mm, 95 % within 7.0 mm (2 of 4 frames)"


@pytest.fixture(scope="module")
def assumed_log(tmp_path_factory) -> Path:
    """A session log whose source declared assumed times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.session_bench.ACQUIRED_CLOCK", ASSUMED_CLOCK)
        return write_session(tmp_path_factory.mktemp("log") / "s1.mcap")


@pytest.fixture(scope="module")
def tracked(series) -> Result:
    out = series.with_suffix(".csv")
    return cinegate("track", series, "--frames-per-s", 4, "--target-box", "30,30,20,20", "--out", out)


def test_a_track_says_so(tracked):
    assert tracked.exit_code == 0, tracked.output
    assert ASSUMED_TIME_MEANS in tracked.stdout


def test_the_next_command_repeats_what_the_user_gave(tracked, series):
    assert f"next: cinegate run {series} --frames-per-s 4.0 --target-box 30,30,20,20\n" in tracked.stderr


def test_convert_says_so(series, tmp_path):
    said = cinegate("convert", series, tmp_path / "a.npz", "--frames-per-s", "4")
    assert said.exit_code == 0, said.output
    assert ASSUMED_TIME_MEANS in said.stdout


def test_a_session_log_remembers_and_its_list_says_so(assumed_log):
    assert open_recording(assumed_log).times_assumed
    row = json.loads(review_work.summary(f"{assumed_log.parent.name}/s1.mcap", [assumed_log.parent]))
    assert row["remark"] == ASSUMED_TIME_MEANS


def test_a_session_with_times_of_its_own_says_nothing_of_them(tmp_path):
    data = read_data(write_session(tmp_path / "s1.mcap"))
    assert "ASSUMED" not in render(data, summarise_data(data))


def test_a_session_report_says_so_on_page_figures_and_terminal(assumed_log):
    data = read_data(assumed_log)
    summary = summarise_data(data)
    page = render(data, summary)
    assert page.count("time after the first frame (s, ASSUMED)") >= 2
    assert "time after the first frame (s)" not in page
    assert f"The {ASSUMED_TIME_MEANS}" in page
    assert ASSUMED_TIME_MEANS in [str(cell) for cell in summary_table(summary).columns[1].cells]


def test_the_live_table_says_so():
    screen = Screen("a", 10)
    screen.hear(replace(stream(), acquired_clock=ASSUMED_CLOCK))
    assert "times" in dict(screen.rows())


def test_the_page_of_a_sweep_says_so(tmp_path):
    write_whatif_page(tmp_path / "w.html", [replace(outcome(3.0, 0.4, 2.0), times_assumed=True)], Config())
    assert f"case: {ASSUMED_TIME_MEANS}." in (tmp_path / "w.html").read_text()


def test_a_proposal_says_so():
    followed = track_motion(*breathing(45))
    assumed = replace(followed.stream, acquired_clock=ASSUMED_CLOCK)
    proposal = propose(dataclasses.replace(followed, stream=assumed), Config(), margins_mm=(3.0,))
    assert ASSUMED_TIME_MEANS in proposal_toml(proposal, Config(), "a")
