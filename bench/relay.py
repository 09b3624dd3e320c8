"""The lower bound: only a relay and a sink, over the same sockets as the engine and the beam interface.

The relay answers every frame with a gate command packed beforehand; the sink stamps its arrival.

python -m bench.relay relay|sink CONFIG SESSION [STAMPS.npy]
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq

from gating.clocks.clock import MonotonicClock
from gating.messages import EngineState, GateCommand, GateState, Pacing, SourceKind, StageStamps
from gating.service.real_time import prepare_process
from gating.settings.config import Config, parse_config
from gating.wire.codec import encode
from gating.wire.sockets import ReconnectingSubscriber, bind, message_threads, receive, send, stop_on_signals

WAIT_MS: Final = 50
_MARK: Final = 0x7FFF_FF01
"""Placeholder for the frame sequence in the packed command: four bytes in msgpack."""


def packed_command(session_id: str) -> tuple[bytearray, int]:
    """Return a gate command of ordinary size, and the index of its frame sequence."""
    command = GateCommand(
        session_id=session_id,
        engine_id="relay",
        command_sequence=1,
        state=GateState.HOLD,
        reason="not_armed",
        engine_state=EngineState.READY,
        frame_sequence=_MARK,
        renewal=False,
        lease_ms=0.0,
        source_kind=SourceKind.REPLAY,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(**dict.fromkeys(StageStamps.__struct_fields__, 2**40)),
    )
    header = bytearray(encode(command)[1])
    return header, header.index(struct.pack(">I", _MARK))


def relay(config: Config, session_id: str, stop: Callable[[], bool]) -> None:
    """Answer each frame with a command."""
    context: zmq.Context[Any] = zmq.Context()
    header, place = packed_command(session_id)
    gate = bind(context, zmq.PUB, config.endpoints.gate)
    frames = ReconnectingSubscriber(context, config.endpoints.frames)
    prepare_process(config.host, gating_loop=True, message_threads=message_threads())
    sequence = 0
    while not stop():
        if not frames.wait(WAIT_MS):
            continue
        while (parts := receive(frames.socket)) is not None:
            if parts[0] == b"frame":
                struct.pack_into(">I", header, place, sequence)
                send(gate, [b"gate", bytes(header)])
                sequence += 1
    context.destroy(linger=0)


def sink(config: Config, stamps_path: Path, stop: Callable[[], bool]) -> None:
    """Stamp each command, and write the stamps at the end."""
    context: zmq.Context[Any] = zmq.Context()
    clock = MonotonicClock()
    gate = ReconnectingSubscriber(context, config.endpoints.gate)
    prepare_process(config.host, watchdog=True, message_threads=message_threads())
    stamps_ns: list[int] = []
    while not stop():
        if not gate.wait(WAIT_MS):
            continue
        while receive(gate.socket) is not None:
            stamps_ns.append(clock.now_ns())
    np.save(stamps_path, np.array(stamps_ns, np.int64))
    context.destroy(linger=0)


def main(role: str, config: str, session_id: str, stamps: str = "") -> None:
    """Run one of the two processes until SIGTERM."""
    settings = parse_config(Path(config).read_text(encoding="utf-8"), config)
    stop = stop_on_signals()
    if role == "relay":
        relay(settings, session_id, stop)
    else:
        sink(settings, Path(stamps), stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
