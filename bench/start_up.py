"""Time from the start of the engine process to READY, with compiled kernels in the cache and with an empty cache.

python -m bench.start_up
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Final

import zmq

from bench.loop import bench_config, pictures
from gating.messages import EngineState, GateCommand
from gating.service.pipeline import PipelineError, Session
from gating.targets.target_file import write_targets
from gating.targets.targets import TargetSpec
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe

LIMIT_S: Final = 180.0


def ready_s(*, cold: bool, tracker: str = "template") -> float:
    """Start an engine and return the time until it is READY, s.

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


def _wait(session: Session, gate: zmq.Socket[bytes], began: float) -> float:
    while time.monotonic() - began < LIMIT_S:
        session.check()
        gate.poll(50)
        while (parts := receive(gate)) is not None:
            command = decode(parts)
            if isinstance(command, GateCommand) and command.engine_state is EngineState.READY:
                return time.monotonic() - began
    raise PipelineError(f"the engine was not READY within {LIMIT_S:g} s")


if __name__ == "__main__":
    for state in (False, True, False):
        print(f"{'cold' if state else 'warm'}: READY after {ready_s(cold=state):.2f} s")
