"""`whatif`, `prepare` and `drift` as somebody types them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gating.cli import _register
from gating.cli.app import app
from gating.config import parse_config
from tests.unit.test_drift import breathing

_register()


@pytest.fixture
def trace(tmp_path):
    t, p = breathing(60)
    path = tmp_path / "motion.txt"
    np.savetxt(path, np.column_stack([t - t[0], p[:, 0], p[:, 2], -p[:, 1], 0 * t, 0 * t, 0 * t]))
    return path


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
    assert (tmp_path / "w" / "whatif.html").stat().st_size > 1000


def test_prepare_writes_a_proposal_that_is_a_configuration(trace, tmp_path):
    run("prepare", trace, "--out", tmp_path / "p.toml", "--seconds", "45")
    assert parse_config((tmp_path / "p.toml").read_text()).gating.rules


def test_a_preset_is_a_configuration_by_name(trace, tmp_path):
    run("prepare", trace, "--out", tmp_path / "p.toml", "--config", "preset:exhale")
    assert parse_config((tmp_path / "p.toml").read_text()).gating.on_delay_ms == 200


def test_drift_proposes_and_tells_how_to_accept(trace):
    found = json.loads(run("drift", trace, "--json").stdout)
    np.testing.assert_allclose(found["iec_mm"], 0, atol=0.5)
    assert "accept_shift --operator NAME" in run("drift", trace).output
