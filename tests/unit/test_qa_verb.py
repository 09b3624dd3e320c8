"""`cinegate qa` as a user types it, with steps that need no session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cinegate.qa.sessions
from cinegate.verbs import register_verbs
from cinegate.verbs.app import CommandError, app
from gating.errors import CinegateError
from gating.qa.figures import NotMeasuredError
from tests.qa_bench import chain_record

register_verbs()

GIVEN = """
name = "site"
title = "Ours"

[[step]]
name = "isocentre"
measure = "given"
parameters = { value = "" }
unit = "mm"
bound = "at_most"
tolerance = 1.0
action = 2.0
source = "ours"
"""
SESSION = """
[[session]]
name = "phantom"
motion = [{ kind = "rest", seconds = 2.0 }]

[[step]]
name = "steps"
measure = "step_error_mm"
session = "phantom"
unit = "mm"
tolerance = 0.2
action = 1.0
source = "ours"
"""

Qa = Callable[..., Result]


@pytest.fixture
def qa(tmp_path: Path) -> Qa:
    """Run a procedure in a store of the test's own."""

    def run(text: str, *arguments: str) -> Result:
        file = tmp_path / "procedure.toml"
        file.write_text(text)
        asked = ["qa", "daily", "--procedure", str(file), "--store", str(tmp_path / "store"), *arguments]
        return CliRunner().invoke(app, asked)

    return run


def stored(tmp_path: Path) -> list[str]:
    return sorted(path.suffix for path in (tmp_path / "store").iterdir())


@pytest.mark.parametrize(
    ("value", "code", "verdict"),
    [("0.4", 0, "in tolerance"), ("1.5", 3, "out of tolerance"), ("2.5", 3, "beyond action level"),
     ("", 3, "not measured")],
    ids=["good", "out", "far out", "unknown"],
)  # fmt: skip
def test_the_exit_code_tells_whether_all_is_in_tolerance(qa: Qa, value: str, code: int, verdict: str) -> None:
    said = qa(GIVEN, "-o", f"isocentre.value={value}", "--json")
    assert (said.exit_code, json.loads(said.stdout)["verdict"]) == (code, verdict)


def test_a_result_and_its_page_are_stored_and_logs_of_a_good_run_are_not(qa: Qa, tmp_path: Path) -> None:
    assert qa(GIVEN, "-o", "isocentre.value=0.4", "--pdf").exit_code == 0
    assert stored(tmp_path) == [".html", ".json", ".pdf"]


def test_a_session_that_fails_leaves_its_steps_unmeasured(
    qa: Qa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise NotMeasuredError("session phantom: beam ended with code 2")

    monkeypatch.setattr(cinegate.qa.sessions, "run_session", fail)
    said = qa(GIVEN + SESSION, "-o", "isocentre.value=0.4", "--json")
    results = {one["name"]: one for one in json.loads(said.stdout)["results"]}
    assert (said.exit_code, results["isocentre"]["verdict"]) == (3, "in tolerance")
    assert (results["steps"]["value"], results["steps"]["why"]) == (None, "session phantom: beam ended with code 2")
    assert stored(tmp_path) == ["", ".html", ".json"]


def test_a_session_is_judged_by_its_figures(qa: Qa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cinegate.qa.sessions, "run_session", lambda *_, **__: chain_record(offset_mm=0.5))
    said = qa(GIVEN + SESSION, "-o", "isocentre.value=0.4")
    assert said.exit_code == 3
    assert "out of tolerance" in " ".join(said.stdout.split())


def test_runs_of_a_store_make_a_trend(qa: Qa) -> None:
    text = GIVEN.replace('title = "Ours"', 'title = "Ours"\nbaseline_runs = 5')
    flags = []
    for value in (0.40, 0.42, 0.38, 0.41, 0.39, 0.40, 0.80):
        said = qa(text, "-o", f"isocentre.value={value}", "--json")
        flags.append(json.loads(said.stdout)["results"][0]["flag"])
        assert said.exit_code == 0
    assert [bool(flag) for flag in flags] == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["weekly"], "procedure is 'weekly'"),
        (["daily", "-o", "isocentre"], "STEP.PARAMETER=VALUE is needed"),
        (["daily", "--procedure", "none.toml"], "none.toml"),
    ],
    ids=["name", "option", "file"],
)
def test_a_wrong_request_is_refused_before_anything_runs(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["qa", *arguments, "--store", str(tmp_path / "store")])
    assert isinstance(result.exception, CommandError | CinegateError | OSError)
    assert said in str(result.exception)
    assert not (tmp_path / "store").exists()
