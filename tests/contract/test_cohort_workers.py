"""A cohort in real worker processes: equal results in any number of them, also where one is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from distributed import LocalCluster

from cinegate.cohort.batch import KILLED, MOST_KILLS
from cinegate.cohort.errors import CohortError
from cinegate.cohort.run import run_cohort
from cinegate.cohort.sources import find_logs
from cinegate.cohort.workers import open_workers
from tests.cohort_work import Kills, Sizes, write_files
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines
MEMORY_MB = 500


@pytest.fixture(scope="module")
def workers():
    with open_workers(workers=2, memory_mb=MEMORY_MB) as opened:
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


def with_victim(logs, tmp_path):
    return [*logs[:2], str(Path(logs[2]).rename(tmp_path / "victim.mcap")), *logs[3:]]


def test_a_worker_killed_at_its_work_costs_a_retry(workers, logs, tmp_path):
    asked = with_victim(logs, tmp_path)
    run = run_cohort(Kills(marks=str(tmp_path)), asked, tmp_path / "results", workers, batch=3)
    assert [result["bytes"] for _, result in run.results()] == list(range(6))
    assert [Path(tmp_path, f"{Path(log).stem}.tries").stat().st_size for log in asked] == [1, 1, 2, 1, 1, 1]


def test_a_log_that_takes_too_much_memory_twice_is_listed(workers, logs, tmp_path):
    asked = with_victim(logs, tmp_path)
    run = run_cohort(Kills(marks=str(tmp_path), hungry=True), asked, tmp_path / "results", workers, batch=3)
    assert [result["bytes"] for _, result in run.results()] == [0, 1, 3, 4, 5]
    assert (run.done[2].state, run.done[2].sentence) == ("killed", KILLED)
    assert (tmp_path / "victim.tries").stat().st_size == MOST_KILLS


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


@pytest.fixture
def cluster():
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1") as ours:
        yield ours


def test_a_cluster_is_worked_on_by_its_address(cluster, logs, tmp_path):
    with open_workers(cluster.scheduler_address) as theirs:
        run = run_cohort(Sizes(), logs, tmp_path / "results", theirs)
    assert [one.state for one in run.done] == ["done"] * len(logs)


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("cinegate.cohort.workers.CONNECT_S", 0.2)
    with (
        pytest.raises(CohortError, match=r"scheduler tcp://127\.0\.0\.1:1 does not"),
        open_workers("tcp://127.0.0.1:1"),
    ):
        pass
