"""The file by which operators and consoles find a running session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gating.service.pipeline import PipelineError, local_endpoints
from gating.service.running import RunningSession, announce, find_session, running_sessions
from gating.settings.config import Config


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "cinegate"


@pytest.fixture
def process() -> Iterator[int]:
    """A process whose command line names the sessions s1 and s2."""
    with subprocess.Popen([sys.executable, "-c", "input()", "s1", "s2"], stdin=subprocess.PIPE) as alive:
        yield alive.pid


def session(name: str, pid: int) -> RunningSession:
    return RunningSession(
        session_id=name,
        source="phantom",
        started_at=f"2026-01-01T00:00:0{name[-1]}.000+00:00",
        log="s.mcap",
        supervisor=os.getpid(),
        processes={"engine": pid},
        config=Config(endpoints=local_endpoints(Path("/tmp/x"))),
    )


def test_what_was_announced_is_found_without_a_name(process: int) -> None:
    announced = session("s1", process)
    announce(announced)
    assert find_session() == announced


def test_only_its_owner_can_read_the_file(process: int) -> None:
    path = announce(session("s1", process))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_session_without_a_process_is_forgotten() -> None:
    path = announce(session("s1", os.getpid()))  # this process lives, but it is not of the session
    assert find_session() is None
    assert not path.exists()


def test_of_several_sessions_one_must_be_named(process: int) -> None:
    for name in ("s2", "s1"):
        announce(session(name, process))
    with pytest.raises(PipelineError, match=r"2 sessions run on this host: s1, s2; name one with --session"):
        find_session()
    found = find_session("s2")
    assert found is not None
    assert found.session_id == "s2"


@pytest.mark.parametrize(
    "text", ["", "{}", '{"session_id": 3}', "\x00"], ids=["empty", "no_fields", "number", "binary"]
)
def test_a_file_that_holds_something_else_is_named(process: int, text: str) -> None:
    path = announce(session("s1", process))
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"s1\.json is no file of a running session"):
        running_sessions()


def test_a_folder_that_others_may_write_to_is_refused(process: int) -> None:
    announce(session("s1", process)).parent.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write to folder"):
        running_sessions()
