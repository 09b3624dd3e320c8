"""The index of session logs: it shows what the logs say, and nothing that they no longer say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from gating.analysis.export import figures_json
from gating.analysis.figures import session_figures
from gating.archive.database import Database, Filter
from gating.archive.labels import label_tables, read_labels, write_labels
from gating.archive.row import SessionRow
from gating.archive.scan import FileState, Scan, scan
from gating.archive.store import MANY, ArchiveError, SessionStore, table_of
from gating.report.labels import Labels
from gating.session.recovery import recover
from tests.unit.session_bench import write_session

DAY = datetime(2026, 3, 1)
SCANNING = (
    "from pathlib import Path; from gating.archive.scan import scan; from gating.archive.store import SessionStore\n"
)
"""Of a process that indexes the folder in its first argument."""
SCAN = SCANNING + "print(scan(Path({0!r}), SessionStore(Path({0!r}))).added)"
KILLED = "import os, signal\nos.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n" + SCAN


@pytest.fixture(scope="module")
def session_log(tmp_path_factory):
    return write_session(tmp_path_factory.mktemp("log") / "s1.mcap")


@pytest.fixture
def folder(session_log, tmp_path):
    shutil.copy(session_log, tmp_path / "s1.mcap")
    return tmp_path


def scanned(folder, **options):
    return scan(folder, SessionStore(folder), **options)


def states(found):
    return [one.state for one in found.states]


def state_of(found):
    return {one.log: one.state for one in found.states}


def row(number, **changes):
    about = {"log": f"{number}.mcap", "content_hash": f"h{number}", "session_id": f"s{number}", "strategy": "exhale"}
    file = {"size_bytes": 1, "modified_ns": 1, "changed_ns": 1, "indexed_utc": DAY}
    return SessionRow(**about | file | {"started_utc": DAY + timedelta(days=number), "duty_cycle": 0.5} | changes)


def present(table):
    """A scan that found every log of a table as it was indexed."""
    keys = zip(table["log"].to_pylist(), table["content_hash"].to_pylist(), strict=True)
    return Scan(table, [FileState(log=log, content_hash=digest, state="present") for log, digest in keys])


def wanted(rows, labels=None, **conditions):
    with Database(present(table_of(rows)), labels or {}) as database:
        return [one["session_id"] for one in database.sessions(Filter(**conditions))]


def test_a_row_has_the_figures_of_the_report(folder, session_log):
    (target,) = scanned(folder).table.to_pylist()[0]["targets"]
    (figures,) = figures_json(session_figures(session_log))["targets"]
    plain = {name: value for name, value in figures.items() if not isinstance(value, dict | list)}
    assert {name: target[name] for name in plain} == plain
    for axis in figures["residual"]:
        assert target[f"{axis['axis'].lower()}_sd_mm"] == axis["sd_mm"]
    assert target["beam_off_travel_p95_mm"] == figures["beam_off"]["travel_p95_mm"]


def test_an_indexed_log_is_not_read_again(folder):
    assert scanned(folder).added == 1
    (folder / "s1.mcap").chmod(0)  # its times change, and it cannot be read
    (folder / "s1.mcap").chmod(0o600)
    indexed = scanned(folder)
    assert (indexed.added, states(indexed)) == (1, ["present"])  # hashed, with the figures that it had
    assert scanned(folder).added == 0


def test_a_vanished_log_is_told_and_no_longer_shown(folder):
    scanned(folder)
    (folder / "s1.mcap").unlink()
    found = scanned(folder)
    assert states(found) == ["vanished"]
    with Database(found, {}) as database:
        assert database.sessions(Filter()) == database.targets(Filter()) == []
        assert database.ask("SELECT session_id, state FROM files") == [{"session_id": "s1", "state": "vanished"}]


def test_a_change_of_one_byte_is_noticed_behind_unchanged_times(folder):
    scanned(folder)
    log = folder / "s1.mcap"
    before, content = log.stat(), bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = scanned(folder)
    assert sorted(states(found)) == ["changed", "present"]
    with Database(found, {}) as database:
        assert len(database.sessions(Filter())) == 1


def test_a_copy_is_counted_once_and_a_moved_log_is_not_missed(folder):
    scanned(folder)
    shutil.copy(folder / "s1.mcap", folder / "t1.mcap")
    assert state_of(scanned(folder)) == {"s1.mcap": "present", "t1.mcap": "copy"}
    (folder / "s1.mcap").unlink()
    assert state_of(scanned(folder)) == {"s1.mcap": "copy", "t1.mcap": "present"}


def test_a_torn_log_that_goes_on_has_not_changed(folder, session_log):
    whole = session_log.read_bytes()
    (folder / "s1.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    scanned(folder)
    (folder / "s1.mcap").write_bytes(whole)
    found = scanned(folder)
    assert sorted(states(found)) == ["continued", "present"]
    assert not next(
        r["cut"] for r, s in zip(found.table.to_pylist(), found.states, strict=True) if s.state == "present"
    )


def test_a_recovered_log_is_one_that_changed(folder, session_log):
    (folder / "s1.mcap").write_bytes(session_log.read_bytes()[:-2000])
    scanned(folder)
    recover(folder / "s1.mcap")
    assert sorted(states(scanned(folder))) == ["changed", "present"]


def test_what_is_no_session_log_is_named_and_left_out(folder):
    (folder / "notes.mcap").write_text("no log")
    with Database(scanned(folder), {}) as database:
        assert [one["session_id"] for one in database.sessions(Filter())] == ["s1"]
        (problem,) = database.ask("SELECT log, problem FROM files WHERE problem <> ''")
    assert problem == {
        "log": "notes.mcap",
        "problem": "notes.mcap is no session log: it does not begin like an MCAP file",
    }


def test_of_two_writers_one_is_killed_in_mid_write_and_nothing_is_lost(folder, session_log):
    store = SessionStore(folder)
    store.add([row(1)])
    (folder / "sub").mkdir()
    for number in (2, 3):
        (folder / "sub" / f"{number}.mcap").write_bytes(session_log.read_bytes() + bytes(number))
    both = [subprocess.Popen([sys.executable, "-c", code.format(str(folder))]) for code in (KILLED, SCAN)]
    assert [one.wait(60) for one in both] == [-signal.SIGKILL, 0]
    assert len(list(store.folder.glob("*.part"))) == 1
    found = scanned(folder)
    assert (found.added, sorted(states(found))) == (0, ["present"] * 3 + ["vanished"])


def test_compaction_loses_no_row_and_keeps_few_files(tmp_path):
    store = SessionStore(tmp_path)
    for number in range(MANY + 5):
        store.add([row(number)])
        store.compact()
    assert len(store.read()) == MANY + 5
    assert len(list(store.folder.glob("*.parquet"))) < MANY


def test_of_a_row_written_twice_the_newest_stands(tmp_path):
    store = SessionStore(tmp_path)
    store.add([row(1, size_bytes=7, indexed_utc=DAY + timedelta(hours=1))])
    store.add([row(1), row(2)])
    found = {one["log"]: one["size_bytes"] for one in store.read().to_pylist()}
    assert (len(store.read()), found) == (2, {"1.mcap": 7, "2.mcap": 1})


def test_a_damaged_file_of_the_index_is_named(tmp_path):
    store = SessionStore(tmp_path)
    store.add([row(1)])
    (file,) = store.folder.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ArchiveError, match=f"{file.name}: damaged .*`cinegate sessions rebuild` makes the index anew"):
        store.read()


def test_filters_are_joined(tmp_path):
    held = [{"reason": "out_of_window", "count": 2}]
    rows = [
        row(1, holds=held),
        row(2, holds=held, strategy="own"),
        row(3),
        row(4, sites=["liver", "lung"], version="0.2"),
    ]
    labels = {"1.mcap": Labels(patient="P1", fraction="1"), "2.mcap": Labels(patient="P1", fraction="2")}
    assert wanted(rows, since="2026-03-03", until="2026-03-05") == ["s2", "s3"]
    assert wanted(rows, labels, patients=["P1"], fractions=["2"]) == ["s2"]
    assert wanted(rows, reasons=["out_of_window", "target_lost"]) == ["s1", "s2"]
    assert wanted(rows, reasons=["out_of_window"], strategies=["own"]) == ["s2"]
    assert wanted(rows, sites=["lung"]) == wanted(rows, versions=["0.2"]) == ["s4"]
    with pytest.raises(ArchiveError, match="since is 'soon'; a day such as 2026-03-01 is needed"):
        wanted(rows, since="soon")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{0}')",
        "SELECT * FROM '{0}'",
        "SELECT * FROM read_text('{0}')",
        "SELECT * FROM glob('{0}*')",
        "COPY sessions TO '{0}'",
        "ATTACH '{0}.db' AS other",
        "DELETE FROM rows",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT 1; DROP VIEW sessions",
    ],
)
def test_sql_can_only_read_the_index(sql, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    with Database(present(table_of([row(1)])), {}) as database, pytest.raises(ArchiveError):
        database.ask(sql.format(file))
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


def test_labels_come_from_the_tables_beside_the_logs(tmp_path):
    (tmp_path / "ward").mkdir()
    write_labels(tmp_path / "ward", [("a.mcap", Labels(patient="P1", fraction="3"))])
    assert read_labels(tmp_path, label_tables(tmp_path)) == {"ward/a.mcap": Labels(patient="P1", fraction="3")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log,patient\na,b\n", "has no column 'plan'; log, patient, plan, fraction are needed"),
        ("log,patient,plan,fraction\na,b\n", "line 2: it has too few columns"),
        ("log,patient,plan,fraction\na,b,,1\na,c,,1\n", "line 3: a has labels already; one line is allowed"),
        (f"log,patient,plan,fraction\na,{'x' * 65},,1\n", "line 2: patient has 65 characters; at most 64 are allowed"),
    ],
    ids=["no column", "short line", "log twice", "long label"],
)
def test_a_table_of_labels_with_a_fault_is_named(text, sentence, tmp_path):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ArchiveError, match=f"labels.csv.* {sentence}"):
        read_labels(tmp_path, label_tables(tmp_path))


def test_ten_thousand_sessions_are_asked_within_a_second(tmp_path):
    store = SessionStore(tmp_path)
    targets = [{"target": "GTV", "si_mean_mm": 1.0}]
    store.add(
        [row(number % 365, log=f"{number}", content_hash=f"{number}", targets=targets) for number in range(10_000)]
    )
    begin_s = time.process_time()
    store.add([row(10_000)])
    added_s, begin_s = time.process_time() - begin_s, time.process_time()
    with Database(present(store.read()), {}) as database:
        (found,) = database.ask("SELECT count(*) AS n, avg(si_mean_mm) AS mm FROM targets WHERE month(started_utc) = 3")
    assert found == {"n": 868, "mm": 1.0}
    assert time.process_time() - begin_s < 1
    assert added_s < 0.05


def test_several_processes_find_the_same_rows(folder, session_log):
    (folder / "notes.mcap").write_text("no log")
    alone, together = (
        scan(folder, SessionStore(folder / name), processes=count).table.drop_columns(["indexed_utc"]).to_pylist()
        for name, count in (("alone", 1), ("together", 2))
    )
    assert sorted(together, key=lambda one: one["log"]) == sorted(alone, key=lambda one: one["log"])
