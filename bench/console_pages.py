"""The console beside a session: how late its pages paint a frame, and what console and browsers cost the engine.

The engine's cost is paired: in one run, console and browsers are stopped and continued in turns (SIGSTOP, SIGCONT), so
that both halves see the same machine.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq
from msgspec import to_builtins

from bench.browser import Browser
from bench.loop import bench_config, pictures
from gating.latency.stages import stage_ms, summarise
from gating.messages import GateCommand
from gating.service.pipeline import PipelineError, Session
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe

RATES_HZ: Final = (8.0, 60.0)
SIZE_PX: Final = 256
BROWSERS: Final = 3
SECONDS: Final = 60.0
"""Of painting, and of each half of the pair."""
TURNS: Final = 12
"""Turns of console and browsers, half of them stopped."""
SETTLE_S: Final = 0.5
"""Beginning of each turn that does not count."""
START_S: Final = 120.0


class ConsoleProcess:
    """A `cinegate console` of a running session, and the address that it printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "cinegate", "console", "--attach", "--json", *arguments]
        self.process = subprocess.Popen(
            [*command, "--config", str(folder / "config.toml")], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise PipelineError("the console ended before it listened")
        self.url: str = json.loads(line)["url"]

    def latency(self) -> dict[str, Any]:
        """Return published to drawn, and its stages, ms, of the pictures that pages painted in the newest 30 s."""
        origin, _, token = self.url.partition("/treat?token=")
        cookie = f"cinegate-{origin.rpartition(':')[2]}={token}"
        request = urllib.request.Request(f"{origin}/latency", headers={"Cookie": cookie})  # noqa: S310 - our own
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
            return dict(json.load(answer))

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def looped_session(rate_hz: float) -> Iterator[Session]:
    """Run a looped recording of 256x256 at a rate through source, engine, beam interface and recorder."""
    frames, spacing_mm, contour_px = pictures(SIZE_PX, "uint16")
    with tempfile.TemporaryDirectory(prefix="cinegate-") as name:
        folder = Path(name)
        np.savez(
            folder / "loop.npz",
            frames=frames,
            t_s=np.arange(len(frames)) / rate_hz,
            pixel_spacing_mm=np.array(spacing_mm),
            image_position_patient=np.zeros(3),
            image_orientation_patient=np.array([0.0, 1, 0, 0, 0, -1]),
        )
        write_targets(folder / "targets.json", [TargetSpec("target", contour_px)])
        session = Session(bench_config(), "console", folder)
        try:
            session.start("beam")
            session.start("record", str(folder / "console.mcap"))
            session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
            session.start("source", str(folder / "loop.npz"), "--loop", "--subscribers", "2")
            yield session
        finally:
            session.stop()


def measure(rate_hz: float, seconds: float = SECONDS) -> dict[str, Any]:
    """Return what one rate came to: painting with one page, and the engine with and without console and browsers."""
    with ExitStack() as stack:
        session = stack.enter_context(looped_session(rate_hz))
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.destroy, linger=0)
        gate = subscribe(context, session.config.endpoints.gate, queue=100_000)
        console = ConsoleProcess(session.folder)
        stack.callback(console.close)
        browsers: list[Browser] = []

        def open_browser() -> None:
            browsers.append(Browser(console.url, session.folder / f"profile{len(browsers)}"))
            stack.callback(browsers[-1].close)

        open_browser()
        wait_for_paint(console, session)
        time.sleep(seconds)
        painted = console.latency()
        while len(browsers) < BROWSERS:
            open_browser()
        time.sleep(SETTLE_S * 10)
        halves = _engine_in_turns(gate, browsers, console, seconds)
    return {
        "rate_hz": rate_hz,
        "size_px": SIZE_PX,
        "published_to_drawn_ms": painted["published_to_drawn_ms"],
        "stages_ms": painted["stages_ms"],
        "browsers": BROWSERS,
        **{f"engine_{name}_ms": to_builtins(summarise(samples)) for name, samples in halves.items()},
    }


def wait_for_paint(console: ConsoleProcess, session: Session) -> None:
    """Return once a page has painted a frame. Raises `PipelineError` if none does, or a process has ended."""
    until_s = time.monotonic() + START_S
    while not console.latency()["published_to_drawn_ms"]["n"]:
        session.check()
        if time.monotonic() > until_s:
            raise PipelineError(f"no page painted a frame within {START_S:g} s")
        time.sleep(0.2)


def _engine_in_turns(
    gate: zmq.Socket[bytes], browsers: list[Browser], console: ConsoleProcess, seconds: float
) -> dict[str, list[float]]:
    """Return the engine's latencies with console and browsers running, and with them stopped."""
    halves: dict[str, list[float]] = {"with": [], "without": []}
    for turn in range(TURNS):
        half = ("with", "without")[turn % 2]
        number = signal.SIGCONT if half == "with" else signal.SIGSTOP
        for browser in browsers:
            browser.signal(number)
        console.process.send_signal(number)
        time.sleep(SETTLE_S)
        _collect(gate)
        time.sleep(2 * seconds / TURNS)
        halves[half] += _collect(gate)
    for browser in browsers:
        browser.signal(signal.SIGCONT)
    console.process.send_signal(signal.SIGCONT)
    return halves


def _collect(gate: zmq.Socket[bytes]) -> list[float]:
    """Return frame received to command sent, ms, of the commands that have come."""
    samples: list[float] = []
    while (parts := receive(gate)) is not None:
        command = decode(parts)
        if isinstance(command, GateCommand) and not command.renewal and "engine" in (took := stage_ms(command.stamps)):
            samples.append(took["engine"])
    return samples
