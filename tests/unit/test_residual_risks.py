"""What no setting closes is named where a configuration is checked."""

from __future__ import annotations

import json

import pytest

from cinegate.verbs import settings as verbs

THREE_D = "[gating.three_d]\non = {on}\n"
COUPLING = """
[[gating.three_d.couplings]]
structure = "{name}"
along_lps = [0, 0, 1]
across_lps = {across}
slope = 0.3
growth_mm_s = 2.0
bound_mm = 1.0
"""
LR, AP = "[1, 0, 0]", "[0, 1, 0]"


@pytest.fixture
def checked(tmp_path, capsys):
    def check(*couplings: tuple[str, str], on: str = "true", as_json: bool = True) -> str:
        file = tmp_path / "site.toml"
        taught = "".join(COUPLING.format(name=name, across=across) for name, across in couplings)
        file.write_text(THREE_D.format(on=on) + taught)
        verbs.config(show=False, check=file, toml=False, file=None, as_json=as_json)
        return capsys.readouterr().out

    return check


def test_each_coupled_structure_is_named_once_as_a_residual_risk(checked):
    risks = json.loads(checked(("GTV", LR), ("GTV", AP), ("liver", LR)))["residual_risks"]
    assert [risk.split(":")[0] for risk in risks] == [
        "gating.three_d.couplings of GTV",
        "gating.three_d.couplings of liver",
    ]


def test_a_residual_risk_leaves_the_settings_valid_without_an_override(checked):
    said = json.loads(checked(("GTV", LR)))
    assert said["valid"] is True
    assert said["overrides"] == []


def test_a_residual_risk_stands_in_the_words_of_a_check(checked):
    said = checked(("GTV", LR), as_json=False)
    assert "residual risk: gating.three_d.couplings of GTV" in said
    assert "every setting is known and within its range" in said


@pytest.mark.parametrize(("couplings", "on"), [((), "true"), ((("GTV", LR),), "false")])
def test_no_residual_risk_is_named_where_no_coupling_decides(checked, couplings, on):
    assert json.loads(checked(*couplings, on=on))["residual_risks"] == []
