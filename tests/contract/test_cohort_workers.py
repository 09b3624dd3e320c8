"""A cohort in real worker processes: equal results in any number of them, also where one is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cinegate.cohort.run import run_cohort
from cinegate.cohort.sources import find_logs
from cinegate.cohort.workers import open_workers
from tests.cohort_work import Kills, Sizes, write_files
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines


@pytest.fixture(scope="module")
def workers():
    with open_workers(workers=2) as opened:
        yield opened


@pytest.fixture
def logs(tmp_path):
    return write_files(tmp_path, 6)


def written(run, path: Path) -> bytes:
    run.write(path)
    return path.read_bytes()


def test_results_are_the_same_bytes_in_one_process_and_in_two(workers, logs, tmp_path):
    serial = run_cohort(Sizes(), logs, tmp_path / "serial")
    several = run_cohort(Sizes(), logs, tmp_path / "several", workers)
    batched = run_cohort(Sizes(), logs, tmp_path / "batched", workers, batch=4)
    expected = written(serial, tmp_path / "serial.jsonl")
    assert written(several, tmp_path / "several.jsonl") == written(batched, tmp_path / "batched.jsonl") == expected
    assert [one.state for one in (*several.done, *batched.done)] == ["done"] * 12


def test_the_order_of_the_work_does_not_change_a_result(workers, logs, tmp_path):
    forwards = run_cohort(Sizes(), logs, tmp_path / "a", workers)
    backwards = run_cohort(Sizes(), logs[::-1], tmp_path / "b", workers)
    lines = written(backwards, tmp_path / "b.jsonl").splitlines()
    assert lines[::-1] == written(forwards, tmp_path / "a.jsonl").splitlines()


def test_progress_is_told_for_every_session(workers, logs, tmp_path):
    told = []
    run_cohort(Sizes(), logs, tmp_path / "results", workers, finished=lambda: told.append(1), batch=3)
    assert len(told) == len(logs)


@pytest.mark.parametrize(("times", "state"), [(1, "done"), (99, "killed")])
def test_a_log_that_kills_its_worker_is_retried_once_then_listed(workers, logs, tmp_path, times, state):
    victim = str(Path(logs[2]).rename(tmp_path / "victim.mcap"))
    asked = [*logs[:2], victim, *logs[3:]]
    run = run_cohort(Kills(marks=str(tmp_path), times=times), asked, tmp_path / "results", workers, batch=3)
    assert [one.state for one in run.done if one.source != victim and one.state not in ("done", "kept")] == []
    assert run.done[2].state == state
    assert (tmp_path / "victim.killed").stat().st_size == min(times, 2)
    plain = run_cohort(Sizes(), asked, tmp_path / "plain")
    expected = [result for source, result in plain.results() if state == "done" or source != victim]
    assert [result for _, result in run.results()] == expected


def test_a_killed_worker_is_replaced_and_costs_nothing(workers, logs, tmp_path):
    before = set(workers.process_ids())
    os.kill(min(before), signal.SIGKILL)
    run = run_cohort(Sizes(), logs, tmp_path / "results", workers)
    assert [one.state for one in run.done] == ["done"] * len(logs)
    wait_until(lambda: workers.count == 2)
    assert min(before) not in workers.process_ids()


def test_logs_behind_a_url_reach_every_process(workers, logs, tmp_path):
    found = find_logs([f"file://{tmp_path}"])
    run = run_cohort(Sizes(), found, tmp_path / "results", workers)
    assert [result["bytes"] for _, result in run.results()] == list(range(6))


def test_the_workers_listen_on_loopback_alone_and_with_tls(workers):
    assert workers.dashboard.startswith("http://127.0.0.1:")
    assert workers.addresses
    assert all(address.startswith("tls://127.0.0.1:") for address in workers.addresses)
