"""Real processes around the beam interface: a fake engine that renews leases, and the interface itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import zmq

from gating.messages import (
    BeamStatus,
    EngineState,
    Event,
    GateCommand,
    GateState,
    Message,
    Pacing,
    SourceKind,
    StageStamps,
)
from gating.settings.config import Config, EndpointSettings, LinacSettings
from gating.wire.codec import decode, encode
from gating.wire.sockets import bind, receive, subscribe
from tests.patience import PATIENCE_S

SESSION = "s1"
ROOT = Path(__file__).parents[2]
M = TypeVar("M", bound=Message)

BEAM = """
import sys
from pathlib import Path
import msgspec
from gating.settings.config import Config
from drivers.beam.interface import run_beam
from drivers.beam.simulated import SimulatedLinac

config = msgspec.json.decode(sys.argv[1], type=Config)
linac = SimulatedLinac(config.linac, record_path=Path(sys.argv[2]))
run_beam(config, "s1", linac, interface_id="b1")
"""

ENGINE = """
import sys, time
import msgspec, zmq
from gating.settings.config import Config
from gating.messages import GateState
from gating.wire.sockets import bind
from gating.wire.codec import encode
from tests.faults.beam_bench import gate_command

config = msgspec.json.decode(sys.argv[1], type=Config)
socket = bind(zmq.Context(), zmq.XPUB, config.endpoints.gate)
socket.recv()
print("subscribed", flush=True)
sys.stdin.readline()
for sequence in range(100_000):
    state = GateState.HOLD if sequence < 8 else GateState.ON
    command = gate_command(sequence, state, frame=sequence // 8, renewal=sequence % 8 != 0, engine=sys.argv[2])
    socket.send_multipart(encode(command))
    time.sleep(0.015)
"""


def gate_command(
    sequence: int,
    state: GateState = GateState.ON,
    *,
    frame: int = 0,
    renewal: bool = False,
    engine: str = "e1",
    session: str = SESSION,
    sent_ns: int | None = None,
    interface_id: str = "b1",
) -> GateCommand:
    return GateCommand(
        session_id=session,
        engine_id=engine,
        command_sequence=sequence,
        state=state,
        reason="in_window" if state is GateState.ON else "out_of_window",
        engine_state=EngineState.ARMED,
        frame_sequence=frame,
        renewal=renewal,
        lease_ms=100.0 if state is GateState.ON else 0.0,
        source_kind=SourceKind.REPLAY,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(sent_ns=time.monotonic_ns() if sent_ns is None else sent_ns),
        interface_id=interface_id,
    )


def bench_config(folder: Path) -> Config:
    endpoints = {name: f"ipc://{folder}/{name}" for name in EndpointSettings.__struct_fields__}
    return Config(
        endpoints=EndpointSettings(**endpoints),
        linac=LinacSettings(beam_on_delay_ms=5, beam_off_delay_ms=5, jitter_ms=0),
    )


class ReconnectingSubscriber:
    """Hears everything the beam interface publishes."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self._socket = subscribe(context, endpoint)
        self.heard: list[Message] = []

    def close(self) -> None:
        self._socket.close()

    def drain(self) -> None:
        """Forget what came before now."""
        while receive(self._socket) is not None:
            pass

    def wait_for(self, kind: type[M], good: Callable[[M], bool], seconds: float = PATIENCE_S) -> M:
        """Return the next message of this kind that is `good`; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._socket.poll(50):
                continue
            parts = receive(self._socket)
            assert parts is not None
            message = decode(parts)
            assert isinstance(message, Message)
            self.heard.append(message)
            if isinstance(message, kind) and good(message):
                return message
        last = [message for message in self.heard if isinstance(message, BeamStatus | Event)][-3:]
        raise AssertionError(f"no such {kind.__name__} within {seconds} s; last heard: {last}")

    def wait_for_status(self, state: GateState, seconds: float = PATIENCE_S, reason: str = "") -> BeamStatus:
        return self.wait_for(
            BeamStatus,
            lambda status: status.commanded is state and status.confirmed is state and status.reason.startswith(reason),
            seconds,
        )


@contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, and kill it afterwards."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script, *arguments]
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()


class Commander:
    """A fake engine in the test's own process, command by command."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self._socket = bind(context, zmq.PUB, endpoint)
        self.sequence = 0

    def send(self, state: GateState = GateState.ON, **changes: Any) -> None:
        self.sequence += 1
        command = gate_command(changes.pop("sequence", self.sequence), state, **changes)
        self._socket.send_multipart(encode(command))

    def send_raw(self, parts: list[bytes]) -> None:
        self._socket.send_multipart(parts)

    def close(self) -> None:
        self._socket.close()
