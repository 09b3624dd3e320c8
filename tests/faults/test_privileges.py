"""Processes that root starts and that then give up root: a whole session, as the kernel sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from msgspec.structs import replace

from cinegate.verbs.options import load_targets
from gating.messages import GateState, Heartbeat
from gating.service.host import examine
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.settings.host import HostSettings
from gating.targets.target_file import write_targets
from gating.wire.security import secure
from replay_data import demo_recording
from tests.faults.beam_bench import ReconnectingSubscriber

USER = "nobody"
ROLES = ("beam", "record", "engine", "source")


def status_of(process_id: int) -> dict[str, str]:
    """What the kernel says of a process: its user ids, its capabilities, and whether it may gain any."""
    rows = Path(f"/proc/{process_id}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cgp-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, USER)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up root needs root")
def test_a_session_that_root_starts_runs_without_root_and_gates(folder: Path) -> None:
    from drivers.recordings import open_recording

    recording = open_recording(demo_recording())
    session = Session(Config(host=HostSettings(run_as=USER)), "drop", folder)
    write_targets(folder / "targets.json", load_targets(recording, None, None))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    secure(None, owner=USER)
    try:
        ear = ReconnectingSubscriber(context, session.config.endpoints.beam)
        recorder = ReconnectingSubscriber(context, session.config.endpoints.recorder)
        session.start("beam")
        session.start("record", str(folder / "log.mcap"))
        session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        session.start("source", str(demo_recording()), "--loop", "--subscribers", "2")
        ear.wait_for_status(GateState.ON, seconds=120)
        recorder.wait_for(Heartbeat, lambda beat: beat.state == "recording" and beat.counters["frames"] > 0, seconds=20)
        assert set(session.processes) == set(ROLES)
        for role in ROLES:
            status = status_of(session.processes[role].pid)
            assert set(status["Uid"].split()) == {"65534"}, role
            assert int(status["CapEff"], 16) == 0, role
            assert int(status["CapPrm"], 16) == 0, role
            assert status["NoNewPrivs"] == "1", role
        assert (folder / "log.mcap").owner() == USER
    finally:
        session.stop()
        secure(None)
        context.destroy(linger=0)
    assert [process.returncode for process in session.processes.values()] == [0, 0, 0, 0]


BECOME = "from gating.service.real_time import become; become({user!r}); import os; os.setuid(0)"


def becomes(user: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BECOME.format(user=user)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up root needs root")
def test_root_cannot_be_regained() -> None:
    assert becomes(USER) == "PermissionError: [Errno 1] Operation not permitted"


def test_an_unknown_user_is_refused() -> None:
    assert becomes("no-such-user") == "PermissionError: host.run_as is 'no-such-user'; there is no such user"


def test_becoming_root_is_refused() -> None:
    assert "only one that is not root" in becomes("root")


def test_a_process_that_cannot_become_the_user_does_not_serve(folder: Path) -> None:
    session = Session(replace(Config(), host=HostSettings(run_as="no-such-user")), "drop", folder)
    try:
        session.start("beam")
        deadline = time.monotonic() + 30
        while session.processes["beam"].poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert session.processes["beam"].returncode not in (0, None)
        assert "host.run_as is 'no-such-user'; there is no such user" in session.output("beam")
    finally:
        session.stop()


def test_doctor_says_whether_this_is_root() -> None:
    (finding,) = [one for one in examine() if one.subject == "privileges"]
    if os.geteuid() == 0:
        assert (finding.verdict, finding.found) == ("could be better", "this is root")
        assert "run_as" in finding.advice
    else:
        assert finding.verdict == "good"
