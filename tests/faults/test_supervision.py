"""A verb that starts processes ends them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gating.service.pipeline import PipelineError, Session
from gating.settings.config import Config
from replay_data import session_path


def children(process_id: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()}


@pytest.fixture(autouse=True)
def _signals_are_not_ignored() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would the processes that these tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "cinegate", "run", str(session_path("free_breathing")), "--log", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while len(started := children(run.pid)) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        run.send_signal(number)
        assert run.wait(30) != 0
    assert len(started) == 4
    assert not [child for child in started if Path(f"/proc/{child}").exists()]


def lives(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


STARTER = """
import sys, time
from pathlib import Path
from gating.service.pipeline import Session
from gating.settings.config import Config

session = Session(Config(), "s1", Path(sys.argv[1]))
session.start("beam")
session.start("record", str(session.folder / "log.mcap"))
print(*(process.pid for process in session.processes.values()), flush=True)
time.sleep(60)
"""


def test_a_session_whose_starter_is_killed_ends_by_itself(tmp_path: Path) -> None:
    """Nobody would see or end it any more, and its beam would go on."""
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        started = [int(process_id) for process_id in starter.stdout.readline().split()]
        deadline = time.monotonic() + 60
        while not (tmp_path / "log.mcap").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        starter.kill()
    deadline = time.monotonic() + 20
    while any(map(lives, started)) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [process_id for process_id in started if lives(process_id)]
    for process_id in left:
        os.kill(process_id, signal.SIGKILL)
    assert len(started) == 2
    assert not left


class InterruptedPopen(subprocess.Popen):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        signal.raise_signal(signal.SIGINT)


def test_a_signal_while_a_process_starts_does_not_lose_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    session = Session(Config(), "s1", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        session.start("record", str(tmp_path / "log.mcap"))
    (started,) = session.processes.values()
    session.stop()
    assert started.poll() is not None


INTERRUPTED_WHILE_A_SOCKET_IS_MADE = """
import signal, sys, zmq
from pathlib import Path
from gating.service.pipeline import Session
from gating.settings.config import Config

add_socket = zmq.Context._add_socket

def interrupted(context, socket):
    signal.raise_signal(signal.SIGINT)
    add_socket(context, socket)

zmq.Context._add_socket = interrupted
next(Session(Config(), "s1", Path(sys.argv[1])).messages(until="source"))
"""


def test_a_signal_while_a_socket_is_made_is_not_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED_WHILE_A_SOCKET_IS_MADE, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "KeyboardInterrupt" in ended.stderr


def test_the_end_of_a_console_changes_nothing(tmp_path: Path) -> None:
    session = Session(Config(), "s1", tmp_path)
    session.start_console("--no-such-option")
    assert session.processes["console"].wait(60) == 2
    session.check()
    session.stop()
    assert any("--no-such-option" in line for line in session.new_lines())


def test_the_early_end_of_any_other_process_is_told_with_its_last_line(tmp_path: Path) -> None:
    session = Session(Config(), "s1", tmp_path)
    session.start("beam", "--switch", "none")
    session.processes["beam"].wait(60)
    with pytest.raises(PipelineError, match="beam ended with code 2: cinegate: beam switch 'none' is unknown"):
        session.check()
    session.stop()
