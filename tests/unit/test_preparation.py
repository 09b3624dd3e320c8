"""The dry run: what is learned, which strategy follows, and that a proposal is only a file."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from gating.analysis.motion_profile import learn_motion
from gating.analysis.preparation import CENTRED, GridPoint, accepted_config, choose_window, proposal_toml, propose
from gating.analysis.replay_tracking import gated_motion, track_motion
from gating.pages.page import UNKNOWN
from gating.settings.config import Config, GatingSettings, SafetySettings, parse_config
from gating.settings.presets import AIMS, NAMES, Aim, read_preset
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule
from tests.motion import breathing

CONFIG = Config(
    safety=SafetySettings(arm_good_frames=1), overrides={"safety.arm_good_frames": "a test on a few frames, dr_who"}
)


def chosen_of(proposal):
    wanted = proposal.margin_mm, proposal.centred
    return next(point for point in proposal.grid if (point.margin_mm, point.centred) == wanted)


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
    for centred in (False, True):
        duty = [point.duty_cycle for point in proposal.grid if point.centred == centred]
        assert duty == sorted(duty)


@pytest.fixture(scope="module")
def exhale():
    return propose(track_motion(*breathing(45)), CONFIG, latency_ms=100, margins_mm=(3.0, 5.0))


def test_progress_is_told_after_every_margin():
    told = []
    propose(track_motion(*breathing(45)), CONFIG, margins_mm=(3.0,), decided=lambda: told.append(1))
    assert len(told) == len(CENTRED)


def test_the_proposal_lies_on_the_front_within_the_limit_of_its_preset(exhale):
    chosen = chosen_of(exhale)
    assert exhale.aim == AIMS["exhale"]
    assert exhale.meets_aim
    assert chosen.pareto
    assert chosen.residual_p95_mm <= 5.0
    assert "# Window: the highest duty cycle with a residual motion of at most 5 mm" in proposal_toml(
        exhale, CONFIG, "x"
    )


def test_a_limit_of_the_user_replaces_that_of_the_preset():
    dry = track_motion(*breathing(45))
    proposal = propose(dry, CONFIG, latency_ms=100, margins_mm=(3.0,), max_residual_mm=0.5)
    assert not proposal.meets_aim
    text = proposal_toml(proposal, CONFIG, "x")
    assert (
        "# Window: nothing meets both aims: no window has a residual motion of at most 0.5 mm (set by the user)" in text
    )


def point(margin_mm, duty, residual_mm, *, pareto=True):
    return GridPoint(margin_mm=margin_mm, centred=False, duty_cycle=duty, residual_p95_mm=residual_mm, pareto=pareto)


FRONT = [point(2, 0.3, 2.0), point(3, 0.45, 4.0), point(4, 0.455, 4.5), point(5, 0.48, 4.9), point(7, 0.6, 7.0)]


@pytest.mark.parametrize(
    ("limit_mm", "least_duty", "margin_mm", "why"),
    [
        (5.0, 0.4, 5, "the highest duty cycle with a residual motion of at most 5 mm (a test)"),
        (4.8, 0.4, 3, "of those within 2 percentage points of it, the least residual motion"),
        (8.0, 0.4, 7, "the highest duty cycle"),
        (3.0, 0.4, 2, "nothing meets both aims: no window with a residual motion of at most 3 mm (a test) reaches"),
        (1.0, 0.4, 2, "nothing meets both aims: no window has a residual motion of at most 1 mm (a test)"),
    ],
    ids=["within", "alike", "wider", "too_little_beam", "too_much_motion"],
)
def test_the_window_has_most_beam_within_the_limit(limit_mm, least_duty, margin_mm, why):
    aim = Aim(max_residual_mm=limit_mm, least_duty_cycle=least_duty, source="a test")
    beaten = point(10, 0.9, 4.0, pareto=False)
    chosen, said = choose_window([*FRONT, beaten], aim)
    assert chosen.margin_mm == margin_mm
    assert why in said


def test_where_no_window_permits_beam_nothing_meets_the_aims():
    _, said = choose_window([point(2, 0.0, float("nan"), pareto=False)], AIMS["exhale"])
    assert said == "nothing meets both aims: no window permits beam in this dry run"


def test_an_exhale_proposal_has_the_settings_of_its_preset(exhale):
    gating = parse_config(proposal_toml(exhale, CONFIG, "x")).gating
    assert (gating.max_out_fraction, gating.on_delay_ms) == (0.05, 200.0)
    assert gating.rules[0].max_out_fraction == 0.05


def test_what_the_given_settings_change_themselves_stays(exhale):
    gating = accepted_config(exhale, replace(CONFIG, gating=GatingSettings(max_out_fraction=0.08))).gating
    assert (gating.max_out_fraction, gating.on_delay_ms) == (0.08, 200.0)


def test_what_a_dry_run_does_not_show_is_unknown(exhale):
    assert np.isnan([exhale.profile.range_mm[0], exhale.profile.exhale_mm[0]]).all()
    assert exhale.shift_lps_mm[0] == 0
    still = proposal_toml(propose(dry_run(np.zeros(200)), CONFIG, margins_mm=(3.0,)), CONFIG, "x")
    assert f"period {UNKNOWN} s (SD {UNKNOWN} s)" in still
    assert "nan" not in still.split("[", 1)[0]


def test_the_predicted_duty_cycle_is_what_the_session_then_gives():
    t, p = breathing(300, irregular=0.5)
    first = t <= 45
    proposal = propose(track_motion(t[first], p[first]), CONFIG, margins_mm=(3.0,))
    config = parse_config(proposal_toml(proposal, CONFIG, "dry run"))
    whole = gated_motion(track_motion(t, p), config, latency_ms=250)
    chosen = chosen_of(proposal)
    assert whole.gate_on.mean() == pytest.approx(chosen.duty_cycle, abs=0.1)


def test_the_centre_of_a_large_target_is_held_too():
    t, p = breathing(45)
    proposal = propose(track_motion(t, p, radius_mm=35.0), CONFIG, latency_ms=0.0, margins_mm=(2.0, 4.0))
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, CentreRule]
    assert rules[1].si_mm == proposal.margin_mm
    assert rules[1].shift_lps_mm == rules[0].shift_lps_mm
    chosen = chosen_of(proposal)
    assert chosen.residual_p95_mm < proposal.margin_mm + 1.0


def test_a_still_target_is_watched_for_excursions():
    still = np.random.default_rng(0).normal(0, 0.2, 250)
    proposal = propose(dry_run(still), CONFIG, margins_mm=(3.0,))
    assert proposal.strategy == "exception"
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, ExcursionRule]


def test_breath_holds_are_recognised():
    t = np.arange(0, 60, 0.2)
    held = (t % 20) >= 8
    proposal = propose(dry_run(np.where(held, 0.0, 12 * np.sin(np.pi * t / 2))), CONFIG, margins_mm=(3.0,))
    assert proposal.strategy == "breath_hold"
    rules = parse_config(proposal_toml(proposal, CONFIG, "x")).gating.rules
    assert [type(rule) for rule in rules] == [BoundaryRule, BreathHoldRule]


def test_a_proposal_says_that_it_is_a_proposal():
    text = proposal_toml(propose(dry_run(np.zeros(200)), CONFIG, margins_mm=(3.0,)), CONFIG, "a dry run")
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
