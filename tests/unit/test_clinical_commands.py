"""`whatif`, `prepare`, `drift`, `itv` and `bed` as a user types them."""

from __future__ import annotations

import json
import shlex
from html import escape
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.analysis.definitions import SENTENCES
from gating.settings.config import parse_config
from tests.motion import breathing, sunken, write_trace

register_verbs()

DOCUMENT = Path(__file__).parents[2] / "docs" / "gating.md"


@pytest.fixture
def trace(tmp_path):
    return write_trace(tmp_path / "motion.txt", *breathing(60))


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output or result.exception
    return result


def test_whatif_writes_a_table_and_a_plot(trace, tmp_path):
    said = run("whatif", trace, "--out", tmp_path / "w", "--margins-mm", "2,5", "--predictors", "off", "--json")
    found = json.loads(said.stdout)
    assert found["settings"] == 4
    assert found["front"]
    assert (tmp_path / "w" / "whatif.csv").read_text().count("\n") == 5
    page = (tmp_path / "w" / "whatif.html").read_text()
    used = ("simulated latency", "duty cycle", "residual motion", "coverage", "overshoot")
    assert [name for name in used if escape(SENTENCES[name]) not in page] == []


def test_prepare_writes_a_proposal_that_is_a_configuration(trace, tmp_path):
    run("prepare", trace, "--out", tmp_path / "p.toml", "--seconds", "45", "--max-residual-mm", "6.5")
    text = (tmp_path / "p.toml").read_text()
    assert parse_config(text).gating.rules
    assert "a residual motion of at most 6.5 mm (set by the user)" in text


def test_a_preset_is_a_configuration_by_name(trace, tmp_path):
    run("prepare", trace, "--out", tmp_path / "p.toml", "--config", "preset:exhale")
    assert parse_config((tmp_path / "p.toml").read_text()).gating.on_delay_ms == 200


def test_drift_of_a_steady_session_proposes_nothing(trace):
    found = json.loads(run("drift", trace, "--json").stdout)
    np.testing.assert_allclose(found["iec_mm"], 0, atol=0.5)
    assert "-0.0" not in found["text"]


@pytest.fixture
def drifted(tmp_path):
    return write_trace(tmp_path / "drifted.txt", *sunken())


def test_drift_proposes_and_tells_how_to_accept(drifted):
    found = json.loads(run("drift", drifted, "--json").stdout)
    np.testing.assert_allclose(found["iec_mm"], (0, 6, 0), atol=0.5)
    assert found["worthwhile"]
    assert found["accepted"] == ""
    assert "--accept --operator NAME --why REASON" in run("drift", drifted).output


def test_a_plan_shift_has_the_opposite_signs_of_a_couch_shift(drifted):
    found = json.loads(run("drift", drifted, "--json").stdout)
    np.testing.assert_allclose(found["plan_iec_mm"], (0, -6, 0), atol=0.5)
    said = " ".join(run("drift", drifted).output.split())
    assert "where it does not (1.5 T), shift the plan: X " in said


@pytest.mark.parametrize("missing", [("--operator", "dr_who"), ("--why", "the liver sank")])
def test_accepting_a_shift_needs_a_name_and_a_reason(drifted, missing):
    result = CliRunner().invoke(app, ["drift", str(drifted), "--accept", *missing])
    assert "--accept needs --operator and --why" in str(result.exception)


def documented(verb):
    """Yield every `$ cinegate VERB ...` of the document with the lines that the document shows below it."""
    found = []
    for block in DOCUMENT.read_text().split("```console\n")[1:]:
        for line in block.split("```")[0].splitlines():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:])[1:], []))
            else:
                found[-1][1].append(line)
    return [(arguments, lines) for arguments, lines in found if arguments[0] == verb]


@pytest.mark.parametrize("figure", SENTENCES)
def test_the_document_defines_every_figure_as_the_code_does(figure):
    assert f"| {figure} | {SENTENCES[figure]} |" in DOCUMENT.read_text()


def test_the_document_holds_the_worked_example_of_maestro():
    assert len(documented("bed")) == 3


@pytest.mark.parametrize(("arguments", "lines"), documented("bed"))
def test_bed_prints_what_the_document_says(arguments, lines):
    assert run(*arguments).stdout.splitlines() == lines


def test_bed_for_machines_says_whether_the_goal_is_reached():
    found = json.loads(
        run("bed", "--fractions", 3, "--dose-gy", 13, "--organ-dose-gy", 6, "--organ-limit-gy", 9, "--json").stdout
    )
    assert found["bed_gy"] == pytest.approx(3 * 13 * 2.3)
    assert found["late_bed_gy"] == pytest.approx(3 * 13 * (1 + 13 / 3))
    assert not found["goal_reached"]
    assert found["isotoxic_dose_gy"] == pytest.approx(18.0)
    assert "linear-quadratic model" in found["isotoxic_limited_by"]
    assert found["isotoxic_goal_reached"]


def test_bed_is_bounded_by_the_model_and_names_what_limits():
    """An organ with 1 Gy of 6.5 Gy once answered: 5 x 65 Gy, 100 Gy reached."""
    spared = ("bed", "--fractions", 5, "--dose-gy", 10, "--organ", "cord:1:6.5")
    found = json.loads(run(*spared, "--json").stdout)
    assert found["isotoxic_dose_gy"] == 18
    found = json.loads(run(*spared, "--isodose", 80, "--json").stdout)
    assert (found["isotoxic_dose_gy"], found["maximum_gy"]) == pytest.approx((14.4, 12.5))
    said = run(*spared, "--organ", "duodenum:8:6.5").stdout
    assert "5 x 8.12 Gy" in said
    assert "limited by duodenum (6.5 Gy per fraction)" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--organ", "cord:1"), "NAME:DOSE:LIMIT"),
        (("--organ", "cord:0:6"), "both must be above 0 Gy"),
        (("--organ", "cord:1:0"), "both must be above 0 Gy"),
    ],
)
def test_an_organ_that_cannot_be_scaled_by_is_refused(options, says):
    result = CliRunner().invoke(app, ["bed", "--fractions", "3", "--dose-gy", "13", *options])
    assert says in str(result.exception)


def test_an_organ_dose_without_its_limit_is_refused():
    result = CliRunner().invoke(app, ["bed", "--fractions", "3", "--dose-gy", "13", "--organ-dose-gy", "6"])
    assert "--organ-dose-gy and --organ-limit-gy are needed together" in str(result.exception)


def test_itv_compares_the_plans_and_saves_its_table(trace, tmp_path):
    table = tmp_path / "table.toml"
    (found,) = json.loads(run("itv", trace, "--save-table", table, "--json").stdout)["targets"]
    assert found["axes"][2]["motion_mm"] == pytest.approx(12, abs=1.5)
    assert found["areas"]["itv_mm2"] > found["areas"]["gated_mm2"] > found["areas"]["target_mm2"]
    assert 0 < found["gated_over_itv"] < 1
    table.write_text(table.read_text().replace("sd_mm = 0.5", "sd_mm = 2.0"))
    (wider,) = json.loads(run("itv", trace, "--table", table, "--json").stdout)["targets"]
    assert wider["axes"][0]["itv_margin_mm"] > found["axes"][0]["itv_margin_mm"] + 2
    said = run("itv", trace).output
    assert "gated / ITV" in said


def test_itv_takes_isodose_penumbra_and_fractions(trace):
    options = ("--isodose", 80, "--penumbra", "lung", "--fractions", 1, "--dimensions", 2)
    (found,) = json.loads(run("itv", trace, *options, "--json").stdout)["targets"]
    assert found["recipe"] == {"isodose": 0.8, "penumbra_mm": 6.4, "fractions": 1, "dimensions": 2}
    assert "80 % isodose, penumbra 6.4 mm, 1 fraction, 2 dimensions" in " ".join(
        run("itv", trace, *options).output.split()
    )
    refused = CliRunner().invoke(app, ["itv", str(trace), "--penumbra", "fog"])
    assert "water, lung, or 0 to 20 mm is needed" in str(refused.exception)


def test_a_bad_uncertainty_is_refused_with_its_limit(trace, tmp_path):
    table = tmp_path / "table.toml"
    table.write_text('[[uncertainty]]\nname = "x"\nsd_mm = -1.0\nkind = "random"\nsource = "y"\n')
    result = CliRunner().invoke(app, ["itv", str(trace), "--table", str(table)])
    assert "sd_mm" in str(result.exception)
    assert ">= 0" in str(result.exception)
