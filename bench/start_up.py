"""Time from the start of the engine process to READY, with compiled kernels in the cache and with an empty cache.

python -m bench.start_up
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq

from bench.loop import bench_config, pictures
from gating.messages import EngineState, GateCommand
from gating.service.pipeline import PipelineError, Session
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe

LIMIT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class StartUp:
    """What the start of an engine took, to READY."""

    wall_s: float
    cpu_s: float
    """Of the engine and the process that compiles beside it: the same on a busy computer."""


def start_up(*, cold: bool, tracker: str = "template") -> StartUp:
    """Start an engine and measure what it takes to READY.

    Parameters
    ----------
    cold
        Whether the cache of compiled kernels is empty.

    Raises
    ------
    PipelineError
        If the engine ends, or is not READY within three minutes.
    """
    with tempfile.TemporaryDirectory(prefix="cinegate-start-") as name:
        folder = Path(name)
        session = Session(bench_config(tracker), "start", folder)
        _, _, contour = pictures(128, "uint16")
        write_targets(folder / "targets.json", [TargetSpec("target", contour)])
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        before = os.environ.get("NUMBA_CACHE_DIR")
        if cold:
            os.environ["NUMBA_CACHE_DIR"] = str(folder / "kernels")
        try:
            gate = subscribe(context, session.config.endpoints.gate)
            began = time.monotonic()
            session.start("engine", "--target", str(folder / "targets.json"))
            return _wait(session, gate, began)
        finally:
            if before is not None:
                os.environ["NUMBA_CACHE_DIR"] = before
            session.stop()
            context.destroy(linger=0)


def _wait(session: Session, gate: zmq.Socket[bytes], began: float) -> StartUp:
    while time.monotonic() - began < LIMIT_S:
        session.check()
        gate.poll(50)
        while (parts := receive(gate)) is not None:
            command = decode(parts)
            if isinstance(command, GateCommand) and command.engine_state is EngineState.READY:
                return StartUp(time.monotonic() - began, _cpu_s(session.processes["engine"].pid))
    raise PipelineError(f"the engine was not READY within {LIMIT_S:g} s")


def _cpu_s(process_id: int) -> float:
    """Return what a process has used, with those that it started and that have ended (proc(5), stat 14 to 17)."""
    times = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    for state in (False, True, False):
        took = start_up(cold=state)
        print(f"{'cold' if state else 'warm'}: READY after {took.wall_s:.2f} s, {took.cpu_s:.2f} s of computing")
