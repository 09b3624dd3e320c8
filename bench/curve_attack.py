"""The loop under attack: two pipelines with keys in turns, one of which strangers connect to.

`python -m bench.curve_attack [SECONDS]` prints `quiet_ms`, `attacked_ms` and the ratio of their p99.
`python -m bench.curve_attack strangers PORT...` is the attack: it holds 2,000 connections that never say anything, and
connects again and again with keys that nobody knows.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import zmq
from msgspec.structs import replace

from bench.loop import Case, bench_config, run_case
from bench.results import tail
from gating.service.pipeline import PipelineError, Session
from gating.settings.config import SecuritySettings
from gating.wire.keys import ROLES, new_key

SECONDS: Final = 30.0
RATE_HZ: Final = 60.0
SIZE_PX: Final = 256
HALF_OPEN: Final = 2000
HANDSHAKES_PER_S: Final = 20.0
BOUND_BY_ENGINE: Final = ("gate", "telemetry", "control")
READY: Final = b"connected\n"
NICE: Final = 19
"""Strangers are on the network: what their programs cost must not count."""


def attack_row(seconds: float = SECONDS) -> dict[str, Any]:
    """Return the tails of the loop with and without strangers at the engine's ports, ms, and the ratio of the p99.

    The two pipelines get each picture one after the other, so that both see the same machine.

    Raises
    ------
    PipelineError
        If a process ends before its time, or the strangers cannot connect.
    """
    case = Case("tcp", RATE_HZ, SIZE_PX, "uint16", max(80, round(seconds * RATE_HZ)))
    with tempfile.TemporaryDirectory(prefix="cinegate-keys-") as name:
        folder = Path(name) / "keys"
        for role in ROLES:
            new_key(folder, role)
        guarded = replace(bench_config(), security=SecuritySettings(keys=str(folder)))
        found = run_case(case, {"quiet": guarded, "attacked": guarded}, beside=_strangers_at_one)
    quiet, attacked = (tail(found[which].answered) for which in ("quiet", "attacked"))
    return {
        "half_open": HALF_OPEN,
        "handshakes_per_s": HANDSHAKES_PER_S,
        "n": min(len(one.answered) for one in found.values()),
        "quiet_ms": quiet,
        "attacked_ms": attacked,
        "p99_ratio": round((attacked["p99"] or 0.0) / (quiet["p99"] or float("nan")), 3),
    }


@contextmanager
def _strangers_at_one(sessions: Mapping[str, Session]) -> Iterator[None]:
    endpoints = sessions["attacked"].config.endpoints
    ports = [str(getattr(endpoints, name)).rpartition(":")[2] for name in BOUND_BY_ENGINE]
    command = [sys.executable, "-m", "bench.curve_attack", "strangers", *ports]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as attack:
        try:
            if attack.stdout is None or attack.stdout.readline() != READY:
                raise PipelineError("the strangers of the attack could not connect")
            yield
        finally:
            attack.terminate()


def attack(ports: Sequence[int]) -> None:
    """Hold silent connections to all ports in turn, and fail handshakes, until ended."""
    os.nice(NICE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [_patient_connection(ports[index % len(ports)]) for index in range(HALF_OPEN)]
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    public, secret = zmq.curve_keypair()
    server, _ = zmq.curve_keypair()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    while held:
        stranger = context.socket(zmq.DEALER)
        stranger.linger, stranger.curve_publickey, stranger.curve_secretkey = 0, public, secret
        stranger.curve_serverkey = server
        stranger.connect(f"tcp://127.0.0.1:{ports[0]}")
        time.sleep(1 / HANDSHAKES_PER_S)
        stranger.close()


def _patient_connection(port: int, patience_s: float = 60.0) -> socket.socket:
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    if sys.argv[1:2] == ["strangers"]:
        attack([int(port) for port in sys.argv[2:]])
    else:
        print(json.dumps(attack_row(float(sys.argv[1]) if sys.argv[1:] else SECONDS), indent=2))
