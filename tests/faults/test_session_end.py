"""The last command of a session ends source, beam interface and recorder, whoever started them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from msgspec.structs import replace

from drivers.beam.interface import BeamInterface
from drivers.beam.simulated import SimulatedLinac
from drivers.publisher import publish
from drivers.sources.phantom import PhantomSource
from gating.messages import SESSION_ENDED, GateCommand, GateState
from gating.service.recorder import Recorder
from gating.settings.config import Config, LinacSettings
from gating.wire.codec import encode
from gating.wire.session_end import ends_session
from gating.wire.sockets import bind
from tests.faults.beam_bench import SESSION, bench_config, gate_command
from tests.patience import wait_until

END = replace(gate_command(3, GateState.HOLD), reason=SESSION_ENDED)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return bench_config(tmp_path)


@pytest.fixture
def command(config: Config) -> Iterator[Callable[[GateCommand], None]]:
    """Send a command as the session's engine."""
    context: zmq.Context[Any] = zmq.Context()
    socket = bind(context, zmq.PUB, config.endpoints.gate)

    def send(sent: GateCommand) -> None:
        socket.send_multipart(encode(sent))

    yield send
    context.destroy(linger=0)


def beam(config: Config, _: Path, stop: Callable[[], bool]) -> None:
    BeamInterface(config, SESSION, SimulatedLinac(LinacSettings())).run(stop)


def record(config: Config, folder: Path, stop: Callable[[], bool]) -> None:
    Recorder(config, SESSION, folder / "log.mcap").run(stop)


def source(config: Config, _: Path, stop: Callable[[], bool]) -> None:
    endpoints = config.endpoints
    publish(PhantomSource(), endpoints.frames, SESSION, gate_endpoint=endpoints.gate, subscribers=0, stop=stop)


@pytest.mark.parametrize("process", [beam, record, source])
def test_the_last_command_ends_each_process(
    process: Callable[..., None], config: Config, command: Callable[[GateCommand], None], tmp_path: Path
) -> None:
    given_up = threading.Event()
    runs = threading.Thread(target=process, args=(config, tmp_path, given_up.is_set))
    runs.start()
    sent = iter(range(4, 10_000))

    def ended() -> bool:
        command(replace(END, command_sequence=next(sent)))
        runs.join(0.02)
        return not runs.is_alive()

    try:
        assert wait_until(ended)
    finally:
        given_up.set()
        runs.join()


@pytest.mark.parametrize(
    "other",
    [
        replace(END, session_id="another"),
        replace(END, reason="stopping"),
        replace(END, reason="out_of_window", detail=SESSION_ENDED),
        replace(END, state=GateState.ON, lease_ms=100.0),
    ],
    ids=["other_session", "restart", "in_a_detail", "beam_on"],
)
def test_no_other_command_ends_a_process(other: GateCommand) -> None:
    assert not ends_session(encode(other), SESSION)
    assert ends_session(encode(END), SESSION)
