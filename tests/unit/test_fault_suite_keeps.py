"""The fault suite keeps what a failed fault left, and nothing of the others."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.faults.catalogue import read_catalogue
from bench.faults.injections.registry import NotPossible
from bench.faults.suite import run_suite

FAULT = read_catalogue()[0]


@pytest.fixture
def folders(monkeypatch):
    """The folders of pipelines without processes, each of which leaves a log and a socket, and is not to settle."""
    made: list[Path] = []

    class Scene:
        ending: Exception = RuntimeError("the beam stays off")

        def __init__(self, folder, seed, **_):
            made.append(folder)
            self.logs = SimpleNamespace(mark=self.fail)

        def open(self):
            (made[-1] / "logs").mkdir()
            (made[-1] / "logs" / "1.mcap").write_bytes(b"log")
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(made[-1] / "gate"))

        def fail(self):
            time.sleep(0.01)
            raise Scene.ending

        def close(self):
            (made[-1] / "engine.out").write_text("ended")

    monkeypatch.setattr("bench.faults.suite.Scene", Scene)
    return SimpleNamespace(made=made, scene=Scene)


def test_a_failed_fault_leaves_its_log_and_outputs(folders, tmp_path):
    (result,) = run_suite([FAULT], kept=tmp_path / "kept")
    left = {str(one.relative_to(result.kept)) for one in Path(result.kept).rglob("*")}
    assert left == {"logs", "logs/1.mcap", "engine.out"}
    assert Path(result.kept).parent == tmp_path / "kept"
    assert not folders.made[0].exists()


def test_a_fault_that_did_not_fail_leaves_nothing(folders, tmp_path):
    folders.scene.ending = NotPossible("no namespace here")
    (result,) = run_suite([FAULT], kept=tmp_path / "kept")
    assert (result.skipped, result.kept) == (True, "")
    assert [*tmp_path.iterdir()] == []
    assert not folders.made[0].exists()


def test_what_cannot_be_kept_is_told_and_ends_no_suite(folders, tmp_path):
    (tmp_path / "kept").write_text("a file")
    results = run_suite([FAULT, FAULT], kept=tmp_path / "kept")
    assert [one.kept for one in results] == ["", ""]
    assert "the beam stays off; what it left is not kept" in results[0].why


def test_the_longest_pause_of_the_machine_stands_beside_a_fault(folders, monkeypatch):
    """A thread that should have slept 5 ms was not run for 60; the fault failed all the same."""
    sleep = time.sleep
    monkeypatch.setattr("bench.pauses.time.sleep", lambda seconds: sleep(seconds + 0.06))
    (result,) = run_suite([FAULT])
    assert result.pause_ms >= 55
    assert not result.passed
