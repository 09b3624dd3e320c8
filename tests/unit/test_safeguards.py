"""Settings that disarm a safeguard need a named override, and the override is seen everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

import cinegate
from cinegate.verbs import settings as verbs
from cinegate.verbs.screen import Screen
from gating.report.html import render
from gating.report.summary import summarise_data
from gating.service.service import EngineService
from gating.session.summary_data import read_data
from gating.settings.config import (
    Config,
    ConfigError,
    GatingSettings,
    config_hash,
    logged_hash,
    parse_config,
    parse_past_config,
    to_toml,
)
from gating.settings.presets import NAMES, read_preset
from gating.settings.safeguards import SAFEGUARDS, disarmed, in_words
from gating.targets.spec import TargetSpec
from tests.engine_bench import BOX
from tests.unit.session_bench import session_header, write_session

DISARMING = (
    ("gating.max_out_fraction", "1.0"),
    ("gating.margins.superior_mm", "50.0"),
    ("gating.resume_good_frames", "1"),
    ("gating.off_delay_ms", "2000.0"),
    ("tracking.min_confidence", "0.0"),
    ("tracking.max_speed_mm_s", "1000.0"),
    ("safety.lease_ms", "500.0"),
    ("positions.lease_ms", "500.0"),
    ("gating.three_d.measured_mm", "0.0"),
    ("gating.three_d.coverage", "0.5"),
    ("gating.three_d.learn_frames", "3"),
    ("safety.stale_intervals", "5.0"),
    ("safety.stale_margin_ms", "200.0"),
    ("safety.arm_good_frames", "1"),
    ("safety.max_beam_on_s", "3600.0"),
    ("safety.hold_over_budget", "false"),
    ("health.max_interval_ratio", "10.0"),
    ("health.min_interval_ratio", "0.0"),
    ("health.max_stamp_uncertainty_ms", "10000.0"),
    ("health.max_still_s", "3600.0"),
    ("clocks.max_drift_ppm", "100.0"),
    ("health.max_saturated_fraction", "1.0"),
    ("recording.max_silence_ms", "10000.0"),
    ("security.allow_open_network", "true"),
)
RULES = (
    ("boundary", "margins.left_mm = 40.0"),
    ("boundary", "max_out_fraction = 1.0"),
    ("overlap", "min_overlap = 0.0"),
    ("centre", "lr_mm = 50.0"),
    ("centre", "ap_mm = 50.0"),
    ("centre", "si_mm = 50.0"),
    ("centre", "shift_lps_mm = [0.0, 0.0, 50.0]"),
    ("excursion", "distance_mm = 50.0"),
    ("excursion", "duration_s = 300.0"),
    ("avoidance", "max_in_fraction = 1.0"),
    ("breath_hold", "flat_mm = 50.0"),
    ("breath_hold", "reproducibility_mm = 50.0"),
)
COUPLING = """[[gating.three_d.couplings]]
structure = "GTV"
along_lps = [0, 0, 1]
across_lps = [0, 1, 0]
slope = 0.5
growth_mm_s = {growth}
bound_mm = {bound}
"""
COUPLINGS = (COUPLING.format(growth=0.0, bound=2.0), COUPLING.format(growth=2.0, bound=0.0))
WIDE = GatingSettings(max_out_fraction=1.0)
ALLOWED = Config(gating=WIDE, overrides={"gating.max_out_fraction": "phantom, J. Doe"})


def rule(kind: str, setting: str) -> str:
    """TOML of one rule."""
    structure = "structure = 'OAR'\n" if kind == "avoidance" else ""
    return f"[[gating.rules]]\nkind = '{kind}'\n{structure}{setting}"


@pytest.mark.parametrize(("setting", "value"), DISARMING)
def test_a_disarming_setting_is_refused(setting, value):
    with pytest.raises(ConfigError, match=rf"line 1: {setting} = .*safe is .*\[overrides\]"):
        parse_config(f"{setting} = {value}")


@pytest.mark.parametrize(("setting", "value"), DISARMING)
def test_a_disarming_setting_with_an_override_is_accepted(setting, value):
    config = parse_config(f'{setting} = {value}\n[overrides]\n"{setting}" = "phantom, J. Doe"')
    assert [each.setting for each in disarmed(config)] == [setting]


@pytest.mark.parametrize(("kind", "setting"), RULES)
def test_a_disarming_rule_is_refused(kind, setting):
    with pytest.raises(ConfigError, match=r"line \d: gating.rules.0.*\[overrides\]"):
        parse_config(rule(kind, setting))


@pytest.mark.parametrize("text", COUPLINGS)
def test_a_coupling_without_an_error_is_refused(text):
    with pytest.raises(ConfigError, match=r"gating.three_d.couplings.0.*safe is .*\[overrides\]"):
        parse_config(text)


def test_every_safeguard_is_tried():
    texts = [f"{setting} = {value}" for setting, value in DISARMING]
    texts += [*COUPLINGS, *(rule(kind, setting) for kind, setting in RULES)]
    tried = {each.safeguard for text in texts for each in disarmed(parse_past_config(text, "a try"))}
    assert tried == set(SAFEGUARDS)


def test_defaults_and_presets_need_no_override():
    presets = [parse_config(read_preset(name), name) for name in NAMES]
    assert [disarmed(config) for config in (Config(), *presets)] == [[]] * (1 + len(presets))


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        pytest.param('"gating.max_out_fraction" = "x"', "this is in its safe range", id="not needed"),
        pytest.param('"gating.such" = "x"', "this is in its safe range, or no safeguard", id="unknown"),
        pytest.param('gating.max_out_fraction = "x"', "line 1: overrides: Expected `str`", id="not quoted"),
    ],
)
def test_an_override_that_overrides_nothing_is_refused(override, problem):
    with pytest.raises(ConfigError, match=problem):
        parse_config(f"[overrides]\n{override}")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, r"\u001b[31m red"])
def test_a_reason_is_plain_words(reason):
    with pytest.raises(ConfigError, match="the reason must be 1 to 200 plain characters"):
        parse_config(f'gating.max_out_fraction = 1.0\n[overrides]\n"gating.max_out_fraction" = "{reason}"')


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(ConfigError, match=r"gating.max_out_fraction = 1: "):
        cinegate.load_config(Config(gating=WIDE))
    assert cinegate.load_config(ALLOWED) == ALLOWED


def test_an_engine_process_refuses_disarming_settings():
    with pytest.raises(ConfigError, match=r"gating.max_out_fraction = 1: "):
        EngineService(Config(gating=WIDE), [TargetSpec("target", BOX)], "s1")


def test_check_lists_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "site.toml"
    file.write_text(to_toml(ALLOWED), encoding="utf-8")
    verbs.config(check=file)
    said = capsys.readouterr().out
    assert "safeguard off: gating.max_out_fraction = 1: " in said
    assert "phantom, J. Doe" in said


def test_the_screen_shows_overrides():
    screen = Screen("cine", 10)
    sentences = in_words(ALLOWED, ALLOWED.overrides)
    screen.hear(replace(session_header(), overrides=sentences))
    assert [str(text) for label, text in screen.rows() if label == "safeguard off"] == sentences


def test_the_report_shows_overrides(tmp_path: Path):
    data = read_data(write_session(tmp_path / "s1.mcap"))
    data.header = replace(session_header(), overrides=in_words(ALLOWED, ALLOWED.overrides))
    assert "A safeguard is off: gating.max_out_fraction = 1" in render(data, summarise_data(data))


def test_settings_of_an_older_version_keep_their_hash():
    older = to_toml(Config()).replace("[overrides]\n", "").replace("renew_ms = 15.0\n", "")
    assert logged_hash(to_toml(ALLOWED)) == config_hash(ALLOWED)
    assert logged_hash(older) not in (config_hash(parse_config(older)), "")
