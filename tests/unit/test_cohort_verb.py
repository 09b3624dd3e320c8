"""`cinegate cohort`: the results of the serial verbs, gathered; what is torn, differs or is missing is listed."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cinegate.cohort.errors import CohortError
from cinegate.cohort.work import verify_against
from cinegate.cohort.workers import open_workers
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.session.signing import new_signing_key
from gating.settings.config import Margins, to_toml
from tests.logged_engine import CONFIG
from tests.whole_logs import write_log

register_verbs()
WIDE = replace(CONFIG, gating=replace(CONFIG.gating, margins=Margins(superior_mm=10.0, inferior_mm=10.0)))


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder / "a.mcap")
    write_log(folder / "b.mcap", near=12, away=4)
    return folder


def cinegate(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def cohort(verb: str, folder: Path, out: Path, *words: object):
    said = cinegate("cohort", verb, folder, "--out", out, "--workers", 0, "--json", *words)
    lines = [json.loads(line) for line in (out / "sessions.jsonl").read_text().splitlines()]
    return said.exit_code, json.loads(said.stdout), {Path(line["log"]).name: line for line in lines}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_each_log_is_verified_as_by_the_serial_verb(logs, tmp_path):
    code, told, lines = cohort("verify", logs, tmp_path)
    assert (code, told["done"], told["same"], told["listed"]) == (0, 2, 2, {})
    for name, line in lines.items():
        serial = json.loads(cinegate("verify", logs / name, "--json").stdout)
        assert {"log": serial.pop("log"), "result": serial} == line
    assert "Decisions compared" in (tmp_path / "comparison.html").read_text()


def test_each_session_has_the_figures_of_its_report(logs, tmp_path):
    code, told, lines = cohort("figures", logs, tmp_path)
    assert (code, told["targets"]) == (0, 2)
    serial = json.loads(cinegate("report", logs / "a.mcap", "--json", "--out", tmp_path / "a.html").stdout)
    assert serial | lines["a.mcap"]["result"] == serial
    first, _ = table(tmp_path / "figures.csv")
    figures = lines["a.mcap"]["result"]["clinical"]["targets"][0]
    assert float(first["duration_s"]) == figures["duration_s"]


def test_each_session_has_the_outcomes_of_a_serial_whatif(logs, tmp_path):
    grid = ("--margins-mm", "3,12", "--predictors", "off", "--out-percent", "5")
    code, told, _ = cohort("whatif", logs, tmp_path, *grid)
    assert (code, told["settings"]) == (0, 2)
    cinegate("whatif", logs / "a.mcap", logs / "b.mcap", "--out", tmp_path / "serial", "--processes", 1, *grid)
    serial, ours = table(tmp_path / "serial" / "whatif.csv"), table(tmp_path / "whatif.csv")
    assert [row | {"recording": Path(row["recording"]).stem} for row in ours] == serial
    assert [row["sessions"] for row in table(tmp_path / "settings.csv")] == ["2", "2"]


def test_each_case_has_the_scores_of_a_serial_evaluation(labelled, tmp_path):
    code, told, lines = cohort("evaluate", labelled, tmp_path)
    serial = json.loads(cinegate("evaluate", labelled, "--out", tmp_path / "serial", "--json").stdout)
    ours = [row for line in lines.values() for row in line["result"]["results"]]
    assert (code, len(ours)) == (0, 2)
    assert [serial_row | row for serial_row, row in zip(serial["results"], ours, strict=True)] == serial["results"]
    assert serial["aggregates"] | told["aggregates"] == serial["aggregates"]


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Two recordings of a still blob, with reference tracks."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    rows, columns = np.indices((64, 64))
    blob = (200 + 500 * ((columns - 30) ** 2 + (rows - 32) ** 2 < 40)).astype(np.uint16)
    frames = blob + np.random.default_rng(1).integers(0, 20, (8, 64, 64)).astype(np.uint16)
    for name in ("one", "two"):
        np.savez(folder / f"{name}.npz", frames=frames, t_s=np.arange(8) / 4, pixel_spacing_mm=np.array([2.0, 2.0]))
        track = "".join(f"{index},{index / 4},30,32\n" for index in range(8))
        (folder / f"{name}_reference_track.csv").write_text(f"# x,y,w,h=(22,24,16,16)\n{track}")
    return folder


def test_a_torn_log_costs_itself_alone_and_is_listed(logs, tmp_path):
    torn, none = tmp_path / "torn.mcap", tmp_path / "none.mcap"
    torn.write_bytes((logs / "a.mcap").read_bytes()[:-3000])
    none.write_bytes(b"no log")
    code, told, _ = cohort("verify", tmp_path, tmp_path / "out", logs)
    assert (code, told["done"], told["failed"]) == (3, 3, 1)
    assert list(told["listed"]) == [str(none), str(torn)]
    assert "no end" in told["listed"][str(torn)]


@pytest.mark.parametrize("verb", ["figures", "whatif"])
def test_a_file_that_is_no_log_is_named_once(tmp_path, verb):
    none = tmp_path / "none.mcap"
    none.write_bytes(b"no log")
    said = cinegate("cohort", verb, none, "--out", tmp_path / "out", "--workers", 0)
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("failed: ")]
    assert line.count("none.mcap") == 1
    assert str(none) in line


def test_logs_that_the_key_has_not_signed_are_listed(logs, tmp_path):
    new_signing_key(tmp_path / "keys")
    code, told, _ = cohort("verify", logs / "b.mcap", tmp_path / "out", "--key", tmp_path / "keys")
    assert (code, told["not_replayed"]) == (3, 1)
    assert list(told["listed"].values()) == ["not signed, though a key was given"]


def test_other_settings_that_permit_beam_are_ranked_first_and_drawn(logs, tmp_path):
    (tmp_path / "wide.toml").write_text(to_toml(WIDE))
    code, told, _ = cohort("verify", logs, tmp_path / "out", "--against", tmp_path / "wide.toml")
    assert (code, told["same"]) == (3, 0)
    assert told["worst"][0]["change"] == "hold to on"
    assert told["worst"][0]["commands"] >= told["worst"][1]["commands"]
    assert told["differences"]["hold to on"]["logs"] == 2
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert page.count("<figure") == 2
    assert "a: hold to on, in window" in page


def test_the_same_version_elsewhere_decides_the_same(logs, tmp_path):
    _, told, lines = cohort("verify", logs / "b.mcap", tmp_path, "--against", sys.executable)
    result = lines["b.mcap"]["result"]
    assert result.pop("other") == result
    assert (told["same"], told["gone"]) == (1, 0)


def test_what_another_version_decides_otherwise_is_counted(logs, tmp_path):
    stretch = {"engine_id": "e1", "first_command": 3, "commands": 2, "first_frame": 3, "last_frame": 4}
    stretch |= {"begin_s": 1.0, "duration_s": 0.1, "logged_state": "on", "logged_reason": "in_window"}
    stretch |= {"replayed_state": "hold", "replayed_reason": "settling"}
    answer = json.dumps({"log": "", "finding": "differs", "replay": {"stretches": [stretch]}})
    python = tmp_path / "python-of-then"
    folders = json.dumps([str(tmp_path / name) for name in ("gating", "drivers", "cinegate")])
    python.write_text(f"#!/bin/sh\n[ \"$2\" = -c ] && echo '{folders}' || echo '{answer}'\n")
    python.chmod(0o700)
    _, told, _ = cohort("verify", logs / "b.mcap", tmp_path / "out", "--against", python)
    assert (told["same"], told["gone"]) == (1, 1)


def test_a_version_that_fails_is_listed_and_nothing_is_kept(logs, tmp_path):
    python = tmp_path / "python-broken"
    python.write_text('#!/bin/sh\n[ "$2" = -c ] && echo []\n')
    python.chmod(0o700)
    code, told, lines = cohort("verify", logs / "b.mcap", tmp_path / "out", "--against", python)
    assert (code, told["failed"]) == (3, 1)
    assert lines["b.mcap"]["failed"].startswith(f"{python}: cannot verify b.mcap: ")
    assert list((tmp_path / "out").rglob("*.json")) == []


def test_an_interpreter_without_cinegate_is_named():
    with pytest.raises(CohortError, match="python-nowhere: this interpreter has no cinegate"):
        verify_against("/python-nowhere")


def test_one_sentence_names_the_extra_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CohortError, match=r"needs the extra cohort .*; install it with: "), open_workers():
        pass


@pytest.mark.parametrize("verb", ["verify", "figures", "whatif", "evaluate"])
def test_no_name_is_cut_in_the_help_of_a_narrow_terminal(verb):
    said = CliRunner().invoke(app, ["cohort", verb, "-h"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert "…" not in said.stdout
