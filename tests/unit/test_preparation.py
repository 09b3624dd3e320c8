"""The dry run: what is learned, which strategy follows, and that a proposal is only a file."""

from __future__ import annotations

import numpy as np
import pytest

from gating.analysis.preparation import learn_motion, proposal_toml, propose
from gating.analysis.replay_tracking import gated_motion, track_motion
from gating.settings.config import Config, SafetySettings, parse_config
from gating.settings.presets import NAMES, read_preset
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule
from tests.motion import breathing

CONFIG = Config(
    safety=SafetySettings(arm_good_frames=1), overrides={"safety.arm_good_frames": "a test on a few frames, dr_who"}
)


def dry_run(si_mm, dt_s=0.2):
    t = np.arange(len(si_mm)) * dt_s
    return track_motion(t, np.stack([0 * t, 0 * t, np.asarray(si_mm, float)], axis=1))


def test_breathing_is_learned():
    t, p = breathing(45)
    profile = learn_motion(gated_motion(track_motion(t, p), CONFIG))
    assert profile.period_s == pytest.approx(4.0, abs=0.1)
    assert profile.range_mm[2] == pytest.approx(12, abs=1)
    assert profile.exhale_mm[2] == pytest.approx(-p[0, 2], abs=0.6)
    assert p[profile.exhale_frame, 2] == pytest.approx(0, abs=0.7)
    assert p[profile.inhale_frame, 2] == pytest.approx(-12, abs=1)


def test_breathing_is_gated_at_exhale_wherever_the_reference_was():
    t, p = breathing(45)
    proposal = propose(track_motion(t[6:] - t[6], p[6:]), CONFIG, latency_ms=200)
    assert proposal.strategy == "exhale"
    assert proposal.shift_lps_mm[2] == pytest.approx(-p[6, 2], abs=0.6)
    duty = [point.duty_cycle for point in proposal.grid]
    assert duty == sorted(duty)
    chosen = next(point for point in proposal.grid if point.margin_mm == proposal.margin_mm)
    assert chosen.duty_cycle >= 0.4


def test_the_predicted_duty_cycle_is_what_the_session_then_gives():
    t, p = breathing(300, irregular=0.5)
    first = t <= 45
    proposal = propose(track_motion(t[first], p[first]), CONFIG)
    config = parse_config(proposal_toml(proposal, CONFIG, "dry run"))
    whole = gated_motion(track_motion(t, p), config, latency_ms=250)
    chosen = next(point for point in proposal.grid if point.margin_mm == proposal.margin_mm)
    assert whole.gate_on.mean() == pytest.approx(chosen.duty_cycle, abs=0.1)


def test_the_centre_of_a_large_target_is_held_too():
    t, p = breathing(45)
    proposal = propose(track_motion(t, p, radius_mm=35.0), CONFIG, latency_ms=0.0)
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, CentreRule]
    assert rules[1].si_mm == proposal.margin_mm
    assert rules[1].shift_lps_mm == rules[0].shift_lps_mm
    chosen = next(point for point in proposal.grid if point.margin_mm == proposal.margin_mm)
    assert chosen.residual_p95_mm < proposal.margin_mm + 1.0


def test_a_still_target_is_watched_for_excursions():
    still = np.random.default_rng(0).normal(0, 0.2, 250)
    proposal = propose(dry_run(still), CONFIG)
    assert proposal.strategy == "exception"
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, ExcursionRule]


def test_breath_holds_are_recognised():
    t = np.arange(0, 60, 0.2)
    held = (t % 20) >= 8
    proposal = propose(dry_run(np.where(held, 0.0, 12 * np.sin(np.pi * t / 2))), CONFIG)
    assert proposal.strategy == "breath_hold"
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, BreathHoldRule]


def test_a_proposal_says_that_it_is_a_proposal():
    text = proposal_toml(propose(dry_run(np.zeros(200)), CONFIG), CONFIG, "a dry run")
    assert text.startswith("# PROPOSAL, not in force")
    assert "<- proposed" in text


def test_a_target_that_is_hardly_found_gives_no_proposal():
    with pytest.raises(
        ValueError, match=r"the target was found in 100 % of the frames over 4 s; 50 % over 20 s are needed"
    ):
        propose(dry_run(np.zeros(21)), CONFIG)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_a_configuration_that_names_its_source(name):
    text = read_preset(name)
    parse_config(text, name)
    assert "doi:" in text or "PMC" in text


def test_an_unknown_preset_is_refused():
    with pytest.raises(
        ValueError, match="preset is 'deep'; one of respiratory, exhale, breath_hold, exception is needed"
    ):
        read_preset("deep")
