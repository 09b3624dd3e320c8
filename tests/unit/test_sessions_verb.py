"""`cinegate sessions` as a user types it, and the comparisons and trends behind it."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import CommandError, app
from gating.analysis.margin_recipe import MarginRecipe
from gating.archive.comparison import compare
from gating.archive.store import ArchiveError
from gating.archive.trend import session_trend, trend_page
from tests.unit.session_bench import write_session

register_verbs()
DAY = datetime(2026, 3, 1)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A folder with one session, as its index keeps it."""
    folder = tmp_path_factory.mktemp("logs")
    write_session(folder / "s1.mcap")
    (folder / "labels.csv").write_text("log,patient,plan,fraction\ns1.mcap,P1,,2\n")
    invoke("list", folder)
    return folder


@pytest.fixture
def folder(indexed, tmp_path):
    shutil.copytree(indexed, tmp_path / "logs")
    return tmp_path / "logs"


def invoke(*arguments):
    return CliRunner().invoke(app, ["sessions", *(str(one) for one in arguments)])


def said(*arguments):
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def targets_of(patients, fractions, systematic_mm=0.0, random_mm=0.0, **changes):
    """Rows of a population whose gated SI error is half the free one."""
    random = np.random.default_rng(2)
    rows = []
    for patient, fraction in np.ndindex(patients, fractions):
        offset = systematic_mm * random.standard_normal() if fraction == 0 else rows[-1]["offset"]
        error = offset + random_mm * random.standard_normal()
        about = {"log": f"{patient}-{fraction}", "session_id": f"{patient}-{fraction}", "patient": f"P{patient}"}
        motion = {"si_free_mean_mm": error, "si_mean_mm": error / 2, "si_sd_mm": 1.0, "si_shown": True}
        unseen = {f"{axis}_{name}": False for axis in ("lr", "ap") for name in ("shown", "mean_mm", "free_mean_mm")}
        figures = {"duty_cycle": 0.5, "residual_p95_mm": 2.0, "free_p95_mm": 4.0, "target": "GTV", "sites": []}
        when = {"started_utc": DAY + timedelta(days=len(rows)), "fraction": str(fraction), "strategy": "exhale"}
        rows.append({**about, **motion, **unseen, **figures, **when, "offset": offset, **changes})
    return rows


def test_list_shows_a_session_with_its_labels(indexed):
    (session,) = said("list", indexed)["sessions"]
    assert [session[name] for name in ("session_id", "patient", "fraction")] == ["s1", "P1", "2"]
    assert session["started_utc"] == "2026-01-02T03:04:05Z"
    assert session["holds"][0] == {"reason": "out_of_window", "count": 1}


def test_list_names_what_vanished_and_what_changed(folder):
    (folder / "s1.mcap").rename(folder / "elsewhere")
    assert [file["log"] for file in said("list", folder)["vanished"]] == ["s1.mcap"]
    assert "s1.mcap (s1) vanished since it was indexed on" in invoke("list", folder).output
    (folder / "s1.mcap").write_bytes((folder / "elsewhere").read_bytes()[:-100])
    assert [file["log"] for file in said("list", folder)["changed"]] == ["s1.mcap"]


def test_show_of_a_vanished_session_shows_no_figures(folder):
    assert said("show", folder, "s1")["targets"][0]["frames"] == 40
    (folder / "s1.mcap").unlink()
    result = invoke("show", folder, "s1")
    assert isinstance(result.exception, CommandError)
    assert str(result.exception).startswith("s1.mcap (s1) vanished since it was indexed on")


def test_sql_answers_from_the_views(indexed):
    (found,) = said("sql", indexed, "SELECT patient, count(*) AS n FROM holds GROUP BY patient")["rows"]
    assert found == {"patient": "P1", "n": 1}


def test_rebuild_forgets_what_vanished(folder):
    shutil.copy(folder / "s1.mcap", folder / "s2.mcap")
    invoke("list", folder)
    (folder / "s1.mcap").unlink()
    assert said("rebuild", folder)["added"] == 1
    assert said("list", folder)["vanished"] == []


def test_an_index_may_stand_elsewhere(folder, tmp_path):
    before = sorted(folder.iterdir())
    said("list", folder, "--index", tmp_path / "index")
    assert sorted(folder.iterdir()) == before
    assert list((tmp_path / "index").rglob("*.parquet"))


def test_what_the_index_needs_is_named_where_it_is_missing(indexed, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    result = invoke("list", indexed)
    assert isinstance(result.exception, CommandError)
    assert str(result.exception).startswith("the sessions' index needs the extra archive (duckdb is not installed)")


def test_compare_and_trend_answer_from_the_command_line(indexed, tmp_path):
    (group,) = said("compare", indexed, "--by", "patient")["groups"]
    assert (group["value"], group["sessions"]) == ("P1", 1)
    found = said("trend", indexed, "--figure", "duty_cycle", "--out", tmp_path / "t.html")
    assert [one["session_id"] for one in found["values"]] == ["s1"]
    assert "<h1>duty_cycle</h1>" in (tmp_path / "t.html").read_text()
    assert "1 values, 0 unknown; no limits, as the baseline takes 20" in invoke("trend", indexed).output


def test_a_comparison_finds_what_gating_left_of_the_errors():
    (group,) = compare(targets_of(400, 5, systematic_mm=2.0, random_mm=1.0), "strategy")
    (si,) = group.axes
    assert (group.value, group.sessions, group.patients) == ("exhale", 2000, 400)
    assert si.free.systematic_mm == pytest.approx(2.0, rel=0.1)
    assert (si.gated.systematic_mm, si.gated.random_mm) == pytest.approx(
        (si.free.systematic_mm / 2, si.free.random_mm / 2)
    )
    assert si.margin_mm == MarginRecipe().margin_mm(si.gated.systematic_mm, si.gated.random_mm, 1.0)


def test_a_session_of_two_sites_belongs_to_both():
    groups = compare(targets_of(2, 1, sites=["liver", "lung"]), "site")
    assert [(group.value, group.sessions) for group in groups] == [("liver", 2), ("lung", 2)]


def test_a_trend_signals_where_sessions_begin_to_differ():
    rows = targets_of(40, 1, random_mm=1.0)
    for row in rows[30:]:
        row["si_mean_mm"] += 5.0
    found = session_trend(rows, "si_mean_mm")
    assert min(found.trend.signals) == 30
    page = trend_page(found, "forty sessions")
    assert page.count('<p class="warning">') == len(found.trend.signals)


def test_patients_that_differ_are_no_trend_of_patients():
    rows = targets_of(200, 5, systematic_mm=2.0, random_mm=0.5)
    assert len(session_trend(rows, "si_mean_mm").trend.signals) > 10  # sessions of one patient resemble each other
    found = session_trend(rows, "si_mean_mm", each="patient")
    assert len(found.trend.signals) < 3
    assert found.rows[0]["value"] == pytest.approx(np.mean([row["si_mean_mm"] for row in rows[:5]]))
    assert [row["patient"] for row in found.rows[:3]] == ["P0", "P1", "P2"]


def test_sessions_without_the_figure_are_counted_and_left_out():
    rows = targets_of(30, 1)
    rows[3]["si_mean_mm"] = None
    found = session_trend(rows, "si_mean_mm")
    assert (len(found.rows), found.unknown) == (29, 1)


def test_a_trend_of_what_is_no_figure_names_those_that_are():
    with pytest.raises(ArchiveError, match=r"figure is 'duty'; one of .*duty_cycle, .* is needed"):
        session_trend(targets_of(3, 1), "duty")
