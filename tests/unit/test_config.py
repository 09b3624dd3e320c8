"""The configuration: defaults, files, and errors that name the line."""

from __future__ import annotations

import pytest

from gating.settings.config import Config, ConfigError, config_hash, parse_config, to_toml


def test_an_empty_file_gives_the_defaults():
    assert parse_config("") == Config()


def test_what_is_written_is_read_back():
    config = parse_config("tracker = 'opencv'\n[gating.margins]\nsuperior_mm = 5.5\n[recording]\nrequired = true\n")
    assert config.gating.margins.superior_mm == 5.5
    assert parse_config(to_toml(config)) == config


def test_the_hash_tells_any_two_settings_apart():
    assert config_hash(Config()) == config_hash(parse_config(to_toml(Config())))
    assert config_hash(Config()) != config_hash(parse_config("[safety]\nlease_ms = 99"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n[gating]\nmargn = 3", r"my.toml, line 3: gating.margn = 3: no such setting"),
        ("[safety]\n# comment\nlease_ms = 1000", r"line 3: safety.lease_ms = 1000: .*<= 500"),
        ("[gating.margins]\nsuperior_mm = -1", r"line 2: gating.margins.superior_mm = -1: .*>= 0"),
        ("gating.margins.superior_mm = 'a'", r"line 1: gating.margins.superior_mm = 'a': Expected `float`"),
        ("[safety]\nlease_ms = nan", r"line 2: safety.lease_ms"),
        ("[nowhere]\nx = 1", r"line 1: nowhere"),
        ("x = 1\ny = = 2", r"my.toml: .*line 2"),
    ],
    ids=["unknown key", "above the limit", "below the limit", "wrong type", "nan", "unknown table", "no toml"],
)
def test_a_bad_setting_is_named_with_its_line_value_and_limit(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_config(text, "my.toml")
