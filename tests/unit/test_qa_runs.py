"""Results of QA runs: their store, their trends, and the page that is signed."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from gating.pages.pdf import page_as_pdf
from gating.qa.judging import Verdict
from gating.qa.page import qa_page
from gating.qa.runs import QaRun, read_runs, trend_of, with_flags, write_run
from tests.qa_bench import qa_run

STEADY = np.random.default_rng(5).normal(21, 1.5, 50).tolist()


@pytest.fixture(scope="module")
def steady() -> list[QaRun]:
    """A baseline of 50 runs."""
    return [qa_run(day, value) for day, value in enumerate(STEADY)]


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = qa_run(1, 21.0, None)
    path = write_run(tmp_path / "store", run)
    assert read_runs(tmp_path / "store", "daily") == ([run], [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_runs_come_in_the_order_of_their_dates(tmp_path: Path) -> None:
    for day in (12, 3, 7):
        write_run(tmp_path, qa_run(day, 20.0))
    assert [run.started_at[8:10] for run in read_runs(tmp_path, "daily")[0]] == ["04", "08", "13"]


def test_a_damaged_file_is_named_and_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, qa_run(1, 20.0))
    (tmp_path / "daily-20260105.json").write_text('{"schema": "cinegate-qa/1", "procedure": "da')
    runs, unreadable = read_runs(tmp_path, "daily")
    assert len(runs) == 1
    assert unreadable[0].startswith("daily-20260105.json is no result of a run")


def test_a_run_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_run(tmp_path, qa_run(1, 20.0))
    assert list(tmp_path.iterdir()) == []


def test_a_run_outside_its_control_limits_is_flagged(steady: list[QaRun]) -> None:
    flagged = with_flags(qa_run(60, 28.0), steady, 50)
    assert flagged.results[0].verdict is Verdict.GOOD
    assert "sigma from the baseline" in flagged.results[0].flag
    assert with_flags(qa_run(60, 21.5), steady, 50).results[0].flag == ""


def test_a_step_that_was_not_measured_has_no_place_in_the_trend(steady: list[QaRun]) -> None:
    runs = [*steady, qa_run(60, None), qa_run(61, 21.0)]
    assert len(trend_of(runs, runs[-1].results[0], 50).values) == 51
    assert with_flags(qa_run(60, None), steady, 50).results[0].flag == ""


def test_the_page_says_what_is_out_of_tolerance_and_what_was_not_measured(steady: list[QaRun]) -> None:
    html = qa_page(with_flags(qa_run(60, 120.0, None), steady, 50), steady, 50, ["x.json is no result"])
    assert "delay 0: 120 ms is beyond action level, 20 ± 10 ms" in html
    assert "delay 1: not measured" in html
    assert "x.json is no result" in html
    assert "sigma from the baseline" in html


def test_the_page_shows_trend_and_sign_off(steady: list[QaRun]) -> None:
    html = qa_page(qa_run(60, 21.0), steady, 50)
    assert "run 51 of this procedure" in html
    assert html.count('<div id="trend') == 1
    assert "Sign-off" in html
    assert "run by dr_who" in html


def test_a_first_run_has_a_page_without_charts() -> None:
    html = qa_page(qa_run(1, 21.0), [], 50)
    assert '<div id="trend' not in html
    assert "Daily QA" in html


def test_the_page_becomes_a_pdf(steady: list[QaRun]) -> None:
    assert page_as_pdf(qa_page(qa_run(60, 21.0), steady[:3], 50)).startswith(b"%PDF-")
