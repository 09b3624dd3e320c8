"""A cohort in this process: what is found, done, kept, done again and listed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from cinegate.cohort.errors import CohortError
from cinegate.cohort.run import batch_size, run_cohort
from cinegate.cohort.sources import content_hash, find_logs
from tests.cohort_work import NOT_USABLE, Sizes, write_files


def states(run):
    return [one.state for one in run.done]


def lines(run, tmp_path):
    run.write(tmp_path / "sessions.jsonl")
    return [json.loads(line) for line in (tmp_path / "sessions.jsonl").read_text().splitlines()]


@pytest.fixture
def logs(tmp_path):
    return write_files(tmp_path, 4)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def test_every_session_has_its_line_in_the_order_asked(logs, results, tmp_path):
    run = run_cohort(Sizes(), logs[::-1], results)
    assert lines(run, tmp_path) == [
        {"log": log, "result": {"bytes": size, "nothing": None}}
        for log, size in zip(logs[::-1], (3, 2, 1, 0), strict=True)
    ]


def test_done_work_is_kept_and_not_done_again(logs, results):
    assert states(run_cohort(Sizes(), logs[:2], results)) == ["done", "done"]
    assert states(run_cohort(Sizes(), logs, results)) == ["kept", "kept", "done", "done"]


def test_a_changed_log_is_worked_on_again(logs, results):
    run_cohort(Sizes(), logs, results)
    Path(logs[1]).write_bytes(b"longer")
    run = run_cohort(Sizes(), logs, results)
    assert states(run) == ["kept", "done", "kept", "kept"]
    assert dict(run.results())[logs[1]]["bytes"] == 6


def test_other_settings_have_results_of_their_own(logs, results):
    run_cohort(Sizes(), logs, results)
    assert states(run_cohort(Sizes(setting=1.0), logs, results)) == ["done"] * 4


def test_other_code_has_results_of_its_own(logs, results, monkeypatch):
    run_cohort(Sizes(), logs, results)
    for module in ("cinegate.cohort.run", "cinegate.cohort.batch"):
        monkeypatch.setattr(f"{module}.code_version", lambda: "another")
    assert states(run_cohort(Sizes(), logs, results)) == ["done"] * 4


def test_a_result_that_was_cut_is_computed_again(logs, results):
    run = run_cohort(Sizes(), logs, results)
    kept = next(results.rglob(f"{run.done[2].key}.json"))
    kept.write_bytes(kept.read_bytes()[:-1])
    assert states(run_cohort(Sizes(), logs, results)) == ["kept", "kept", "done", "kept"]


def test_a_log_that_cannot_be_used_costs_itself_alone(logs, results, tmp_path):
    Path(logs[1]).write_bytes(NOT_USABLE)
    run = run_cohort(Sizes(), logs, results)
    assert states(run) == ["done", "failed", "done", "done"]
    assert lines(run, tmp_path)[1] == {"log": logs[1], "failed": "001.mcap cannot be used"}
    assert states(run_cohort(Sizes(), logs, results)) == ["kept", "failed", "kept", "kept"]


def test_a_fault_in_the_code_is_listed_and_not_kept(logs, results):
    faulty = Path(logs[0]).rename(Path(logs[0]).with_name("faulty.mcap"))
    (done,) = run_cohort(Sizes(), [str(faulty)], results).done
    assert (done.state, done.key, done.sentence) == ("failed", "", "KeyError: 'a fault'")


def test_a_log_that_vanished_is_listed_and_not_kept(logs, results):
    Path(logs[0]).unlink()
    first, *_ = run_cohort(Sizes(), logs, results).done
    assert (first.state, first.key, first.sentence) == ("failed", "", f"{logs[0]}: No such file or directory")


def test_a_log_that_changes_while_it_is_read_is_listed_and_not_kept(logs, results, monkeypatch):
    def write_on(self, path):
        path.write_bytes(b"and on")
        return {"bytes": 0}

    monkeypatch.setattr("tests.cohort_work.Sizes.__call__", write_on)
    (done,) = run_cohort(Sizes(), logs[3:], results).done
    assert (done.state, done.key) == ("failed", "")
    assert "003.mcap changed while it was read" in done.sentence


def test_what_is_to_be_listed_of_a_result_is_told_when_it_is_kept_too(logs, results):
    for _ in range(2):
        assert run_cohort(Sizes(), logs, results).done[0].sentence == "empty"


def test_nothing_of_a_run_but_its_results_stays(logs, results):
    run = run_cohort(Sizes(), logs, results)
    assert {path.stem for path in results.rglob("*") if path.is_file()} == {one.key for one in run.done}


def test_a_worker_with_other_code_is_refused(logs, results, monkeypatch):
    monkeypatch.setattr("cinegate.cohort.run.code_version", lambda: "cinegate 9.9")
    with pytest.raises(CohortError, match=r"a worker runs cinegate .*, and this command cinegate 9\.9"):
        run_cohort(Sizes(), logs, results)


def test_a_worker_that_does_not_see_the_results_is_refused(logs, results, monkeypatch):
    monkeypatch.setattr("cinegate.cohort.store.ResultStore.is_seen", lambda _: False)
    with pytest.raises(CohortError, match="a worker does not see"):
        run_cohort(Sizes(), logs, results)


def test_a_process_that_works_uses_one_thread(logs, results):
    import cv2

    before = cv2.getNumThreads()
    run_cohort(Sizes(), logs, results)
    assert cv2.getNumThreads() == 1
    cv2.setNumThreads(before)


def test_logs_are_found_in_folders_at_any_depth_once_each(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    deep, flat = write_files(tmp_path / "a" / "b", 1), write_files(tmp_path, 2)
    (tmp_path / "notes.txt").touch()
    assert find_logs([str(tmp_path), flat[0]]) == [*flat, *deep]


def test_a_folder_without_logs_is_named(tmp_path):
    with pytest.raises(CohortError, match="there is no session log"):
        find_logs([str(tmp_path)])
    with pytest.raises(CohortError, match="nothing: there is no such file or folder"):
        find_logs(["nothing"])


@pytest.mark.parametrize("wild", ["", "/*.mcap"])
def test_logs_behind_a_url_are_found_and_read(logs, results, wild):
    found = find_logs([f"file://{Path(logs[0]).parent}{wild}"])
    assert found == [f"file://{log}" for log in logs]
    assert [result["bytes"] for _, result in run_cohort(Sizes(), found, results).results()] == [0, 1, 2, 3]


def test_logs_inside_an_archive_are_found_and_read(logs, results, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for log in logs:
            archive.write(log, Path(log).name)
    found = find_logs([f"zip://*.mcap::file://{tmp_path}/all.zip"])
    assert found[1] == f"zip://001.mcap::file://{tmp_path}/all.zip"
    assert [result["bytes"] for _, result in run_cohort(Sizes(), found, results).results()] == [0, 1, 2, 3]


@pytest.mark.parametrize("url", ["nothing://a/b", "s3://bucket/logs"])
def test_a_store_that_cannot_be_used_is_named(url):
    with pytest.raises(CohortError, match=f"^{url}: "):
        find_logs([url])


def test_the_hash_of_a_case_covers_its_truth_beside_it(tmp_path):
    (tmp_path / "one.npz").write_bytes(b"frames")
    before = content_hash(tmp_path / "one.npz")
    (tmp_path / "one_reference_track.csv").write_text("truth")
    assert content_hash(tmp_path / "one.npz") != before


def test_a_report_beside_a_log_does_not_change_its_hash(logs):
    before = content_hash(Path(logs[0]))
    Path(logs[0]).with_suffix(".html").touch()
    assert content_hash(Path(logs[0])) == before


@pytest.mark.parametrize(("sessions", "workers", "size"), [(4, 2, 1), (100, 2, 7), (100_000, 10, 16), (0, 0, 1)])
def test_every_worker_gets_several_batches(sessions, workers, size):
    assert batch_size(sessions, workers) == size


def test_peak_memory_is_told(logs, results):
    assert all(one.peak_mb > 1 for one in run_cohort(Sizes(), logs, results).done)
