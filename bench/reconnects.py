"""Subscribers and operators that come and go: `python -m bench.reconnects [TIMES]`.

Each round connects anew to every endpoint of a running session, waits for a message, and leaves. Threads and
descriptors of the processes must not grow.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import zmq

from bench.soak import entries, resident_mb
from cinegate.verbs.options import load_targets
from gating.messages import ControlRequest
from gating.service.pipeline import PipelineError, Session, ask_engine
from gating.settings.config import Config
from gating.targets.target_file import write_targets
from gating.wire.sockets import receive, subscribe
from replay_data import demo_recording

HEARD: Final = ("frames", "gate", "telemetry", "beam", "recorder")
START_S: Final = 120.0
WARM_ROUNDS: Final = 5
"""Rounds that do not count: libzmq takes its first descriptors."""


def run_reconnects(times: int) -> dict[str, Any]:
    """Connect `times` times to every endpoint of a session; return what each process held before and after.

    Raises
    ------
    PipelineError
        If a process ends, or an endpoint gives no message within two seconds.
    """
    from drivers.recordings import open_recording

    with tempfile.TemporaryDirectory(prefix="cgr-") as name, ExitStack() as stack:
        folder = Path(name)
        session = Session(Config(), "reconnects", folder)
        write_targets(folder / "targets.json", load_targets(open_recording(demo_recording()), None, None))
        stack.callback(session.stop)
        session.start("beam")
        session.start("record", str(folder / "log.mcap"))
        session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        session.start("source", str(demo_recording()), "--speed", "4", "--loop", "--subscribers", "2")
        _round(session, START_S)
        for _ in range(WARM_ROUNDS):
            _round(session)
        before, began_s = held(session), time.monotonic()
        for _ in range(times):
            _round(session)
        took_s = time.monotonic() - began_s
        time.sleep(1.0)  # libzmq closes what was left a little later
        after = held(session)
        session.check()
    grown = [
        role for role, now in after.items() for kind in ("threads", "descriptors") if now[kind] > before[role][kind]
    ]
    return {"times": times, "took_s": round(took_s, 1), "before": before, "after": after, "passed": not grown}


def _round(session: Session, wait_s: float = 2.0) -> None:
    """Hear one message of every endpoint, each with a context of its own, and ask the engine for its state."""
    for endpoint in HEARD:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            heard = subscribe(context, getattr(session.config.endpoints, endpoint))
            if not heard.poll(round(wait_s * 1e3)) or receive(heard) is None:
                session.check()
                raise PipelineError(f"{endpoint} gave no message within {wait_s:g} s")
        finally:
            context.destroy(linger=0)
    request = ControlRequest(session_id=session.session_id, action="status", operator="reconnects", why="")
    ask_engine(session.config.endpoints.control, request)


def held(session: Session) -> dict[str, dict[str, float]]:
    """Return memory (MB), threads and descriptors of each process."""
    return {
        role: {
            "memory_mb": round(resident_mb(process.pid), 1),
            "threads": entries(process.pid, "task"),
            "descriptors": entries(process.pid, "fd"),
        }
        for role, process in session.processes.items()
    }


if __name__ == "__main__":
    result = run_reconnects(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["passed"] else 1)
