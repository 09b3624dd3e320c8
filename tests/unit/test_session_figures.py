"""Clinical figures for reports: from a session log, and from an offline run of the same session."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.analysis.definitions import SENTENCES
from gating.analysis.figures import figures, session_figures
from gating.analysis.motion import motion_from_session
from gating.analysis.replay_tracking import gated_motion, track_session
from gating.engine.offline import decide_offline, offline_frames
from gating.messages import GateState, SessionHeader
from gating.session.log_writer import SessionWriter
from gating.settings.config import Config, GatingSettings, SafetySettings, to_toml
from gating.targets.spec import TargetSpec
from gating.wire.codec import encode, encode_frame
from tests.engine_bench import BOX
from tests.factories import INTERVAL_NS, anatomy, beam_status, stream

CONFIG = Config(
    gating=GatingSettings(resume_good_frames=1, max_out_fraction=0.05), safety=SafetySettings(arm_good_frames=1)
)
SPECS = (TargetSpec("target", BOX),)
LATENCY_NS = 80_000_000


def images(count=60):
    return [(i * INTERVAL_NS, anatomy(seed=i, shift=5 * np.sin(i / 5))) for i in range(count)]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log in which the beam follows every decision 80 ms after the acquisition."""
    path = tmp_path_factory.mktemp("log") / "s.mcap"
    writer = SessionWriter(path, "offline", "offline")
    writer.open()
    header = SessionHeader(
        session_id="offline", engine_id="e", started_at="now", versions={}, config_toml=to_toml(CONFIG),
        config_hash="x", tracker="template", clock="offline",
    )  # fmt: skip
    writer.write(encode(header), 0)
    writer.write(encode(stream(session_id="offline")), 0)
    for number, (frame, outcome) in enumerate(
        decide_offline(CONFIG, SPECS, stream(), offline_frames(stream(), images()))
    ):
        at_ns = frame.header.published_ns
        writer.write(encode_frame(frame), at_ns)
        for message in (outcome.command, *outcome.messages):
            writer.write(encode(message), at_ns)
        state = outcome.command.state
        status = beam_status(
            session_id="offline", status_sequence=number, commanded=state, confirmed=state,
            reason="commanded_on" if state is GateState.ON else "commanded_hold", frame_sequence=number,
            command_sequence=outcome.command.command_sequence, sent_ns=at_ns + LATENCY_NS, clock="offline",
        )  # fmt: skip
        writer.write(encode(status), at_ns + LATENCY_NS)
    writer.close()
    return path


def test_the_log_gives_what_the_offline_run_gives(log):
    (logged,) = session_figures(log)
    followed = track_session(CONFIG, SPECS, stream(), offline_frames(stream(), images()))
    offline = figures(gated_motion(followed, CONFIG, latency_ms=80))
    assert logged.beam_known_by == "confirmed"
    assert logged.frames == offline.frames
    assert logged.duty_cycle == pytest.approx(offline.duty_cycle, abs=0.02)
    assert logged.residual_p95_mm == pytest.approx(offline.residual_p95_mm, abs=0.3)
    assert logged.beam_on_periods == offline.beam_on_periods
    assert logged.beam_off.latency_p50_ms == pytest.approx(offline.beam_off.latency_p50_ms, abs=15)


def test_the_report_says_what_gating_meant_and_exports_it(log, tmp_path):
    register_verbs()
    said = CliRunner().invoke(app, ["report", str(log), "--out", str(tmp_path / "r.html"), "--export", str(tmp_path)])
    assert said.exit_code == 0, said.output
    page = (tmp_path / "r.html").read_text()
    for what in (
        "beam-on periods",
        "treatment time extended",
        "residual motion, SI",
        "beam-off latency and overshoot",
        "beam-on latency and undershoot",
        "target inside the boundary while on",
        "low confidence",
        "refused frames",
        "baseline shift",
        "TrackRAD2025 relative D98",
        "smooth dose",
    ):
        assert what in said.output
        assert what in page
    assert "What the figures mean" in page
    (one,) = json.loads((tmp_path / "s.figures.json").read_text())["targets"]
    assert one["duty_cycle"] == pytest.approx(session_figures(log)[0].duty_cycle)
    assert json.loads((tmp_path / "s.figures.json").read_text())["definitions"] == SENTENCES
    rows = list(csv.DictReader((tmp_path / "s.motion.csv").read_text().splitlines()))
    assert len(rows) == one["frames"]


def test_the_terminal_explains_the_figures_only_where_asked(log, tmp_path):
    register_verbs()
    command = ["report", str(log), "--out", str(tmp_path / "r.html")]
    usual, asked = (CliRunner().invoke(app, [*command, *more]).stdout for more in ([], ["--meanings"]))
    assert SENTENCES["undershoot"] not in usual
    assert SENTENCES["undershoot"] in asked


def test_one_known_position_is_no_motion(log):
    (motion,) = motion_from_session(log)
    only_first = np.where(np.arange(len(motion.t_s))[:, None] == 0, motion.displacement_mm, np.nan)
    assert np.isnan(figures(replace(motion, displacement_mm=only_first)).free_p95_mm)


def test_the_report_for_machines_holds_the_clinical_figures(log, tmp_path):
    register_verbs()
    said = CliRunner().invoke(app, ["report", str(log), "--out", str(tmp_path / "r.html"), "--json"])
    found = json.loads(said.stdout)
    (one,) = found["clinical"]["targets"]
    assert one["beam_known_by"] == "confirmed"
    assert one["beam_off"]["travel_p50_mm"] > 0


def test_a_log_that_is_still_being_written_already_gives_the_motion(log, tmp_path):
    whole = log.read_bytes()
    (tmp_path / "growing.mcap").write_bytes(whole[: len(whole) // 2])
    (half,), (all_of_it,) = (motion_from_session(path) for path in (tmp_path / "growing.mcap", log))
    assert 10 < len(half.t_s) < len(all_of_it.t_s)
    np.testing.assert_array_equal(half.displacement_mm, all_of_it.displacement_mm[: len(half.t_s)])
