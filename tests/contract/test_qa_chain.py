"""QA on the real processes: a delay that is planted in the simulated beam line is found, and the run is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.qa.procedure import parse_procedure
from gating.qa.runs import write_run
from tests.qa_bench import qa_run

register_verbs()
pytestmark = pytest.mark.alone

DELAY_MS = 200.0
LINAC_MS = 22.0
"""20 ms of the simulated linac, 2 ms of software."""
PROCEDURE = """
name = "short"
title = "Short QA"
baseline_runs = 5
[[session]]
name = "phantom"
rate_hz = 12.5
size_px = 128
pixel_mm = 2.0
motion = [
    { kind = "rest", seconds = 1.5 },
    { kind = "steps", positions_mm = [5.0, 20.0], seconds_each = 0.8 },
    { kind = "sine", peak_mm = -8.0, period_s = 2.53, cycles = 2 },
]
"""
INTERRUPTED = """
[[session]]
name = "interrupted"
interrupt = true
size_px = 128
pixel_mm = 2.0
motion = [{ kind = "sine", peak_mm = 1.0, period_s = 3.0, cycles = 8 }]
"""


def step(name: str, measure: str, unit: str, tolerance: float, expected: float = 0.0, session: str = "phantom") -> str:
    return (
        f'[[step]]\nname = "{name}"\nmeasure = "{measure}"\nsession = "{session}"\nunit = "{unit}"\n'
        f'expected = {expected}\ntolerance = {tolerance}\naction = 100.0\nsource = "ours"\n'
    )


SHORT = (
    PROCEDURE
    + step("delay 0", "beam_off_chain_ms", "ms", 10.0, LINAC_MS)
    + step("steps", "step_error_mm", "mm", 0.2)
    + step("log", "log_findings", "", 0.0)
)
WHOLE = (
    SHORT
    + INTERRUPTED
    + step("lease", "lease_excess_ms", "ms", 100.0, session="interrupted")
    + step("stale", "stale_excess_ms", "ms", 100.0, session="interrupted")
    + step("replay", "replay_differences", "", 0.0)
)


def run_qa(folder: Path, text: str, beam_off_delay_ms: float) -> tuple[int, dict[str, Any]]:
    """Run a procedure through the command line; return its exit code and results."""
    procedure, config = folder / "procedure.toml", folder / "config.toml"
    procedure.write_text(text)
    config.write_text(f"[linac]\nbeam_off_delay_ms = {beam_off_delay_ms}\n")
    store = ["--store", str(folder / "store")]
    asked = ["qa", "short", "--procedure", str(procedure), *store, "--config", str(config), "--json"]
    said = CliRunner().invoke(app, asked)
    return said.exit_code, json.loads(said.stdout)


def by_name(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in run["results"]}


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """A run after six good ones, with a beam that goes off later than it used to."""
    folder = tmp_path_factory.mktemp("qa")
    for day in range(6):
        write_run(folder / "store", replace(qa_run(day, LINAC_MS), procedure="short"))
    return run_qa(folder, SHORT, 20.0 + DELAY_MS)


def test_a_planted_delay_is_recovered_within_10_ms(late: tuple[int, dict[str, Any]]) -> None:
    assert by_name(late[1])["delay 0"]["value"] == pytest.approx(LINAC_MS + DELAY_MS, abs=10)


def test_a_planted_delay_is_refused_and_flagged(late: tuple[int, dict[str, Any]]) -> None:
    code, run = late
    assert (code, run["verdict"]) == (3, "beyond action level")
    assert "sigma from the baseline" in by_name(run)["delay 0"]["flag"]


def test_steps_of_the_phantom_are_seen_within_a_fifth_of_a_mm(late: tuple[int, dict[str, Any]]) -> None:
    assert by_name(late[1])["steps"]["verdict"] == "in tolerance"


def test_the_log_of_a_refused_run_is_whole_and_kept(late: tuple[int, dict[str, Any]]) -> None:
    assert by_name(late[1])["log"]["value"] == 0
    result = Path(late[1]["result"])
    assert [path.suffix for path in sorted(result.with_suffix("").glob("*.mcap"))] == [".mcap"]
    assert "delay 0: 2" in Path(late[1]["pages"][0]).read_text()


@pytest.mark.slow
def test_the_second_of_two_runs_is_refused_for_its_planted_fault(tmp_path: Path) -> None:
    assert parse_procedure(WHOLE, "whole").step[-1].session == "phantom"
    code, run = run_qa(tmp_path, WHOLE, 20.0)
    assert {one["name"]: one["verdict"] for one in run["results"]} == dict.fromkeys(by_name(run), "in tolerance")
    assert code == 0
    code, run = run_qa(tmp_path, WHOLE, 20.0 + DELAY_MS)
    assert (code, by_name(run)["delay 0"]["verdict"]) == (3, "beyond action level")
    assert by_name(run)["lease"]["verdict"] == by_name(run)["stale"]["verdict"] == "in tolerance"
