"""The configuration: defaults, files, and errors that name the line."""

from __future__ import annotations

import datetime
import re
import tomllib

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.settings.config import Config, ConfigError, GatingSettings, config_hash, parse_config, to_toml
from gating.settings.rules import AvoidanceRule, BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, OverlapRule

RULES = (BoundaryRule(), OverlapRule(), CentreRule(), ExcursionRule(), AvoidanceRule(structure="OAR"), BreathHoldRule())
A_WRONG_VALUE = datetime.date(1999, 1, 2)
"""No setting is a date."""


def test_an_empty_file_gives_the_defaults():
    assert parse_config("") == Config()


def test_written_settings_read_back_equal():
    config = parse_config("tracker = 'opencv'\n[gating.margins]\nsuperior_mm = 5.5\n[recording]\nrequired = true\n")
    assert config.gating.margins.superior_mm == 5.5
    assert parse_config(to_toml(config)) == config


def test_the_hash_tells_any_two_settings_apart():
    assert config_hash(Config()) == config_hash(parse_config(to_toml(Config())))
    assert config_hash(Config()) != config_hash(parse_config("[safety]\nlease_ms = 99"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("\n[gating]\nmargn = 3", r"my.toml, line 3: gating.margn = 3: no such setting", id="unknown key"),
        pytest.param(
            "[safety]\n# comment\nlease_ms = 1000", r"line 3: safety.lease_ms = 1000: .*<= 500", id="above the limit"
        ),
        pytest.param(
            "[gating.margins]\nsuperior_mm = -1",
            r"line 2: gating.margins.superior_mm = -1: .*>= 0",
            id="below the limit",
        ),
        pytest.param(
            "gating.margins.superior_mm = 'a'",
            r"line 1: gating.margins.superior_mm = 'a': Expected `float`",
            id="wrong type",
        ),
        pytest.param("[safety]\nlease_ms = nan", r"line 2: safety.lease_ms", id="nan"),
        pytest.param("[nowhere]\nx = 1", r"line 1: nowhere", id="unknown table"),
        pytest.param("x = 1\ny = = 2", r"my.toml: .*line 2", id="no toml"),
        pytest.param(
            "[gating]\non_delay_ms = 1\n\nrules = [\n  {kind = 'centre', lr_mm = 70},\n]",
            r"line 4: gating.rules.0.lr_mm",
            id="rule in a list",
        ),
        pytest.param(
            "[[gating.rules]]\nkind = 'excursion'\n[[gating.rules]]\nkind = 'x'",
            r"line 4: gating.rules.1.kind = 'x'",
            id="rule of a table",
        ),
        pytest.param(
            "gating = { on_delay_ms = 1, margins = { left_mm = -1 } }",
            r"line 1: gating.margins.left_mm = -1",
            id="inline table",
        ),
        pytest.param("# first\r\n[safety]\r\nlease_ms = 1\r\n", r"line 3: safety.lease_ms = 1", id="carriage returns"),
        pytest.param(
            '[endpoints]\nframes = """\na = 1\n"""\ngate = 7', r"line 5: endpoints.gate = 7", id="after a long text"
        ),
    ],
)
def test_a_bad_setting_is_refused_with_its_line_value_and_limit(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_config(text, "my.toml")


@settings(deadline=None)
@given(rules=st.lists(st.sampled_from(RULES), max_size=4), data=st.data())
def test_the_line_of_any_wrong_setting_is_found(rules, data):
    plain = tomllib.loads(to_toml(Config(gating=GatingSettings(rules=tuple(rules)))))
    *tables, key = data.draw(st.sampled_from(list(_paths_of_settings(plain))))
    table = plain
    for name in tables:
        table = table[name]
    table[key] = A_WRONG_VALUE
    text = tomli_w.dumps(plain)
    with pytest.raises(ConfigError, match=rf"line {_line_of_the_statement_with(str(A_WRONG_VALUE), text)}: "):
        parse_config(text)


def _paths_of_settings(plain):
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        if isinstance(value, dict | list) and value:
            yield from ((key, *path) for path in _paths_of_settings(value))
        else:
            yield (key,)


def _line_of_the_statement_with(word, text):
    """Return the line of the last statement before `word`: `tomli_w` indents all that is not one's first line."""
    return max(n for n, line in enumerate(text[: text.index(word)].split("\n"), start=1) if re.match(r"\S", line))


@settings(deadline=None)
@given(st.lists(st.sampled_from(RULES), max_size=4), st.text(max_size=64))
def test_any_settings_are_written_so_that_they_are_read_back(rules, tracker):
    config = Config(gating=GatingSettings(rules=tuple(rules)), tracker=tracker)
    assert parse_config(to_toml(config)) == config


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000 + "]" * 5000, "[safety]\nlease_ms = " + "9" * 5000, "#" * 1_000_001],
    ids=["deep nesting", "a number of 5000 digits", "a million characters"],
)
def test_a_hurtful_file_is_refused_in_a_sentence_that_names_it(text):
    with pytest.raises(ConfigError, match=r"^site\.toml\b.{10,250}$"):
        parse_config(text, "site.toml")
