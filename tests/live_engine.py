"""What an engine sends, sent in real time by a thread: a target that breathes, 25 frames/s, without any image."""

from __future__ import annotations

import threading
import time

import zmq
from msgspec.structs import replace

from gating.clocks.clock import MonotonicClock
from gating.messages import StageStamps
from gating.settings.config import Config
from gating.wire.codec import encode
from gating.wire.sockets import bind, send
from tests.position_bench import SAGITTAL, PositionBench, breathing, reference, session_header

FRAME_S = 0.04


class LiveEngine:
    """Commands and estimates of a session on the configured endpoints, from `start` to `stop`."""

    def __init__(self, config: Config) -> None:
        self._config, self._messages = config, PositionBench(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            gate = bind(context, zmq.PUB, self._config.endpoints.gate)
            telemetry = bind(context, zmq.PUB, self._config.endpoints.telemetry)
            sequence = 0
            while not self._ended.wait(FRAME_S / 2):
                acquired_ns = time.monotonic_ns() - 30_000_000
                made = self._messages.command(sequence // 2, renewal=bool(sequence % 2), command_sequence=sequence)
                stamps = StageStamps(acquired_ns=acquired_ns, sent_ns=time.monotonic_ns())
                send(gate, encode(replace(made, stamps=stamps)))
                if sequence % 20 == 0:
                    send(telemetry, encode(session_header("e1", MonotonicClock().name)))
                    send(telemetry, encode(reference("target", "sagittal", SAGITTAL)))
                if sequence % 2 == 0:
                    position_mm = tuple(breathing(acquired_ns / 1e9).tolist())
                    seen = self._messages.estimate(sequence // 2, position_mm=position_mm, acquired_ns=acquired_ns)
                    send(telemetry, encode(seen))
                sequence += 1
        finally:
            context.destroy(linger=0)
