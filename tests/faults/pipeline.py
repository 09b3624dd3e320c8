"""A whole session in real processes, and a stopwatch on the beam: what the fault tests and `--tries` runs use.

python -m tests.faults.pipeline RECORDING X,Y,W,H TRIES
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import zmq

from cinegate.verbs.options import load_targets
from drivers.recordings import open_recording
from gating.decision.limits import stale_limit_ns
from gating.messages import BeamStatus, GateState
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.targets.target_file import write_targets
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe
from tests.factories import anatomy

LEASE_MS = 100.0
STILL_BOX = "36,36,24,24"
TOLERANCE_MS = 20.0


class AlreadyOffError(Exception):
    """The target left its window just before the signal: the try says nothing."""


def write_still_recording(path: Path, frames: int = 400) -> Path:
    """Write a recording at 8 frames/s in which nothing moves: the beam stays on until something goes wrong."""
    np.savez(
        path,
        frames=np.stack([anatomy(seed=i) for i in range(frames)]),
        t_s=np.arange(frames) / 8,
        pixel_spacing_mm=np.array([2.0, 2.0]),
        image_position_patient=np.array([0.0, -96.0, 96.0]),
        image_orientation_patient=np.array([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]),
    )
    return path


class LivePipeline:
    """Source, engine and beam interface of one looped replay, and a subscriber to the beam's status."""

    def __init__(self, recording: Path, box: str, folder: Path, config: Config | None = None) -> None:
        opened = open_recording(recording)
        config = config or Config()
        self.stale_ms = stale_limit_ns(opened.nominal_interval_ns, 1, 1.0, config.safety) / 1e6
        self.session = Session(config, "kill", folder)
        write_targets(folder / "targets.json", load_targets(opened, box, None))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ear = subscribe(self._context, self.session.config.endpoints.beam)
        self.session.start("beam")
        self.session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        self.session.start("source", str(recording.resolve()), "--loop")

    def wait_for(self, state: GateState, timeout_s: float = 60.0) -> BeamStatus:
        """Return the first status heard from now on whose line confirms `state`."""
        self._discard()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for status in self._statuses(100):
                if status.confirmed is state and status.commanded is state:
                    return status
        raise TimeoutError(f"no confirmed {state} within {timeout_s:g} s: {self.outputs()}")

    def off_after_ms(self, role: str, number: int, *, steady_ms: float = 400.0) -> float:
        """Signal a process while the beam is on; return how long the line stayed driven to on, ms.

        The beam must have been on for a while and be on at the signal, so that the fault is what ends it.
        """
        while True:
            self.wait_for(GateState.ON)
            time.sleep(steady_ms / 1e3)
            if all(status.commanded is GateState.ON for status in self._statuses(60)):
                break
        self._discard()
        signalled_ns = time.monotonic_ns()
        os.kill(self.session.processes[role].pid, number)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for status in self._statuses(50):
                if status.commanded is GateState.HOLD:
                    if status.applied_ns < signalled_ns:
                        raise AlreadyOffError(f"the beam was off before {role} got signal {number}")
                    return (status.applied_ns - signalled_ns) / 1e6
        raise AssertionError(f"{role} got signal {number}, and the beam is still on after 5 s")

    def outputs(self) -> dict[str, str]:
        """Return what each process printed."""
        return {role: self.session.output(role)[-400:] for role in self.session.processes}

    def stop(self) -> None:
        """End every process that is left, stopped or not."""
        for process in self.session.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        self.session.stop()
        self._context.destroy(linger=0)

    def _statuses(self, timeout_ms: int) -> Iterator[BeamStatus]:
        if not self._ear.poll(timeout_ms):
            return
        while (parts := receive(self._ear)) is not None:
            message = decode(parts)
            if isinstance(message, BeamStatus):
                yield message

    def _discard(self) -> None:
        while receive(self._ear) is not None:
            pass


@contextmanager
def live_pipeline(recording: Path, box: str, config: Config | None = None) -> Iterator[LivePipeline]:
    """Start a pipeline in a folder of its own; it ends whatever happens."""
    with tempfile.TemporaryDirectory(prefix="cinegate-") as folder:
        pipeline = LivePipeline(recording, box, Path(folder), config)
        try:
            yield pipeline
        finally:
            pipeline.stop()


def off_after_ms(recording: Path, box: str, role: str, number: int) -> tuple[float, float]:
    """Return how long the beam stayed on after the signal, and the stale limit, ms; a try without beam is repeated."""
    while True:
        with live_pipeline(recording, box) as pipeline, suppress(AlreadyOffError):
            return pipeline.off_after_ms(role, number), pipeline.stale_ms


def main(recording: Path, box: str, tries: int) -> None:
    """Print, for each process and signal, the longest and every time to beam off."""
    for role in ("engine", "source"):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            times: list[float] = []
            for _ in range(tries):
                off_ms, stale_ms = off_after_ms(recording, box, role, number)
                times.append(off_ms)
            limit = LEASE_MS if role == "engine" else stale_ms
            listed = " ".join(f"{t:.0f}" for t in times)
            bound = limit + TOLERANCE_MS
            print(f"{signal.Signals(number).name} {role}: max {max(times):.1f} ms, bound {bound:.1f} ms: {listed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
