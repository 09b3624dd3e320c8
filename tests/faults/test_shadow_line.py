"""A shadow session drives no line: not one that listens where its commands would be, nor one that is sent its log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import zmq

from drivers.beam.simulated import read_delivery_record
from gating.messages import BeamStatus, GateState
from gating.service.pipeline import Session, local_endpoints
from gating.session.log import read_raw
from gating.settings.config import Config
from gating.wire.codec import decode
from gating.wire.sockets import bind, receive, subscribe
from replay_data import session_path
from tests.patience import PATIENCE_S, wait_until

pytestmark = pytest.mark.deadlines
START_S = 120.0
"""For so long the kernels may be compiled."""
REFUSED = "beam-on is for beam interface '', not for this one"


@dataclass
class Attacked:
    """A shadow session beside which a beam interface stood, on its endpoints and under its name."""

    log: Path
    session_id: str
    statuses: list[BeamStatus]
    sockets: set[str]
    record: Path


@contextmanager
def beam_interface(folder: Path, session_id: str, config: Path, record: Path) -> Iterator[None]:
    """A real beam interface with a simulated linac."""
    command = [sys.executable, "-m", "cinegate", "beam", "--session", session_id, "--config", str(config)]
    with (folder / "beam.out").open("wb") as out:
        child = subprocess.Popen([*command, "--delivery-record", str(record)], stdout=out, stderr=out)
    try:
        yield
    finally:
        child.terminate()
        child.wait(PATIENCE_S)


def drain(socket: zmq.Socket[bytes], statuses: list[BeamStatus]) -> int:
    while (parts := receive(socket)) is not None:
        message = decode(parts)
        if isinstance(message, BeamStatus):
            statuses.append(message)
    return len(statuses)


def source_of(shadow: subprocess.Popen[bytes]) -> list[str]:
    """The command line of the source's process, once there is one."""
    for child in psutil.Process(shadow.pid).children():
        words = child.cmdline()
        if "--config" in words and Path(words[words.index("--config") + 1]).exists():
            return words
    return []


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    folder = tmp_path_factory.mktemp("shadow")
    (folder / "vendor.csv").write_text("time_s,state\n1,on\n2,hold\n3,on\n")
    command = [sys.executable, "-m", "cinegate", "shadow", str(session_path("free_breathing")), "--offset-s", "0"]
    command += ["--vendor", str(folder / "vendor.csv"), "--out", str(folder), "--speed", "3"]
    shadow = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: source_of(shadow), START_S)
    words = source_of(shadow)
    session_id, config = words[words.index("--session") + 1], Path(words[words.index("--config") + 1])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    statuses: list[BeamStatus] = []
    sockets: set[str] = set()
    with beam_interface(folder, session_id, config, folder / "delivery.csv"):
        heard = subscribe(context, local_endpoints(config.parent).beam)
        while shadow.poll() is None:
            with suppress(FileNotFoundError):  # the session takes its folder with it as it ends
                sockets |= {path.name for path in config.parent.glob("*") if path.is_socket()}
            drain(heard, statuses)
            time.sleep(0.02)
        assert wait_until(lambda: drain(heard, statuses) > 0)
    context.destroy(linger=0)
    return Attacked(folder / f"{session_id}.mcap", session_id, statuses, sockets, folder / "delivery.csv")


def commands(log: Path) -> list[list[bytes]]:
    return [parts for topic, _, parts in read_raw(log) if topic == "gate"]


def test_a_beam_interface_beside_a_shadow_session_hears_no_command(attacked: Attacked) -> None:
    permitted = [one for one in map(decode, commands(attacked.log)) if one.state is GateState.ON]
    assert permitted  # or else nothing would be shown
    assert {(one.commanded, one.confirmed, one.command_sequence) for one in attacked.statuses} == {
        (GateState.HOLD, GateState.HOLD, -1)
    }
    assert attacked.sockets == {"frames", "beam"}  # that of the source, and that of the beam interface itself
    assert not any(change.beam_on for change in read_delivery_record(attacked.record))


def test_a_beam_interface_that_is_sent_a_shadow_log_refuses_it(attacked: Attacked, tmp_path: Path) -> None:
    session = Session(Config(), attacked.session_id, tmp_path, "ipc")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    statuses: list[BeamStatus] = []
    with beam_interface(tmp_path, attacked.session_id, tmp_path / "config.toml", tmp_path / "delivery.csv"):
        gate = bind(context, zmq.PUB, session.config.endpoints.gate)
        heard = subscribe(context, session.config.endpoints.beam)
        sent = commands(attacked.log)

        def is_heard() -> bool:
            gate.send_multipart(sent[0])  # a hold; again and again, until the subscription stands
            time.sleep(0.02)
            drain(heard, statuses)
            return bool(statuses) and statuses[-1].command_sequence >= 0

        assert wait_until(is_heard)
        for parts in sent[1:]:
            gate.send_multipart(parts)
            time.sleep(0.002)
            drain(heard, statuses)
        assert wait_until(lambda: drain(heard, statuses) and any(one.detail == REFUSED for one in statuses))
    context.destroy(linger=0)
    assert {one.commanded for one in statuses} == {one.confirmed for one in statuses} == {GateState.HOLD}
    assert not any(change.beam_on for change in read_delivery_record(tmp_path / "delivery.csv"))
