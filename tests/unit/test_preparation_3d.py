"""A dry run with planes imaged in turn: rules in 3D are proposed, with what they cost and prevent."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.three_d import DIAGONAL
from cinegate.recordings import followed_recording
from cinegate.targets import scan_targets
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.recordings.scan import open_scan
from gating.analysis.preparation import accepted_config, proposal_toml, propose
from gating.analysis.replay_tracking import gated_motion
from gating.settings.config import Config, parse_config
from gating.settings.three_d import ThreeDSettings
from tests.interleaved import Patient, write_recordings

register_verbs()
CONFIG = Config()
FRAMES, FRAMES_PER_S = 110, 5.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Breathing that keeps within 3 mm along each axis, and goes 5 mm away; a sagittal and a coronal plane in turn."""
    patient = Patient(breathing=DIAGONAL, frames_per_s=FRAMES_PER_S, duration_s=FRAMES / FRAMES_PER_S)
    return write_recordings(patient, tmp_path_factory.mktemp("planes"), FRAMES, 1 / FRAMES_PER_S)


@pytest.fixture(scope="module")
def dry_run(recordings):
    scan = open_scan(recordings[0], others=recordings[1:])
    return followed_recording(scan, scan_targets(None, scan), CONFIG)


@pytest.fixture(scope="module")
def proposal(dry_run):
    return propose(dry_run, CONFIG, latency_ms=50, margins_mm=(3.0,), max_residual_mm=3.5)


def test_a_window_in_3d_is_proposed_with_what_was_learned(proposal):
    three_d = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.three_d
    assert three_d.on
    assert {tuple(np.abs(np.round(one.across_lps)).tolist()) for one in three_d.couplings} == {(1, 0, 0), (0, 1, 0)}
    slopes = [abs(one.slope) for one in three_d.couplings]
    assert slopes == pytest.approx([1.0, 1.0], abs=0.25)


def test_the_proposal_tells_what_3d_costs_and_prevents(proposal):
    told = proposal.three_d
    assert told.duty_cycle < told.duty_cycle_planes - 0.1
    assert told.residual_p95_mm < told.residual_planes_p95_mm - 0.5
    text = proposal_toml(proposal, CONFIG, "x")
    assert f"duty cycle {100 * told.duty_cycle:.1f} % instead of {100 * told.duty_cycle_planes:.1f} %" in text


def test_the_motion_is_that_of_all_three_axes(proposal):
    assert proposal.profile.range_mm == pytest.approx((2.9, 2.9, 2.9), abs=0.8)


def test_the_predicted_duty_cycle_is_that_of_the_proposed_settings(dry_run, proposal):
    motion = gated_motion(dry_run, accepted_config(proposal, CONFIG), latency_ms=50)
    assert motion.beam_s.shape[0] > 0
    assert np.diff(motion.beam_s).sum() / motion.duration_s == pytest.approx(proposal.three_d.duty_cycle, abs=0.01)


def test_one_plane_alone_is_not_judged_in_3d(recordings):
    scan = open_scan(recordings[0])
    one = propose(followed_recording(scan, scan_targets(None, scan), CONFIG), CONFIG, margins_mm=(3.0,))
    assert one.three_d is None
    assert accepted_config(one, CONFIG).gating.three_d == ThreeDSettings()


def test_a_memory_is_refused_where_planes_come_in_turn(recordings, tmp_path):
    words = ["prepare", *map(str, recordings[:1]), "--with", str(recordings[1]), "--memory", str(tmp_path / "m.npz")]
    said = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "p.toml")])
    assert "learned from one plane" in str(said.exception)
