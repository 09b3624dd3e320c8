"""Machines that follow: the simulated collimator and the documented consumers beside the process of the stream."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.mlc_live import judge
from bench.mlc_scene import Disturbance
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.settings.positions import PositionSettings
from tests.live_engine import LiveEngine
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines
EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = ("zmq.h", "msgpack.hpp")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The example in C++; None where it cannot be compiled."""
    if shutil.which("g++") is None or any(not Path("/usr/include", name).exists() for name in NEEDED):
        return None
    program = tmp_path_factory.mktemp("follow") / "follow"
    source = EXAMPLES / "follow_target.cpp"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-DMSGPACK_NO_BOOST", source, "-lzmq", "-o", program]
    subprocess.run(command, check=True)
    return program


class Stage:
    """A session in which an engine's messages are published, and three machines that follow them."""

    def __init__(self, folder: Path, compiled: Path | None) -> None:
        positions = PositionSettings(consumer_latency_ms=50, max_horizon_ms=300)
        self.session = Session(Config(positions=positions), "s1", folder)
        self.engine = LiveEngine(self.session.config)
        self.record = folder / "followed.csv"
        self.disturbances: list[Disturbance] = []
        self.session.start("positions")
        self.session.start("follow", str(self.record))
        endpoint = self.session.config.endpoints.positions
        programs: dict[str, list[Any]] = {"python": [sys.executable, EXAMPLES / "follow_target.py"]}
        programs |= {} if compiled is None else {"c++": [compiled]}
        self.printed = {name: folder / f"{name}.out" for name in programs}
        self.consumers = []
        for name, command in programs.items():
            with self.printed[name].open("w") as printed:
                self.consumers.append(subprocess.Popen([*command, endpoint, "s1", "target"], stdout=printed))

    def rows(self) -> list[dict[str, str]]:
        text = self.record.read_text("utf-8") if self.record.exists() else ""
        return [*csv.DictReader(text[: text.rfind("\n") + 1].splitlines())]

    def said(self, name: str) -> list[str]:
        return self.printed[name].read_text("utf-8").splitlines()

    def follow(self) -> None:
        """Wait until every machine follows."""
        wait_until(lambda: all(line["following"] == "1" for line in self.rows()[-20:]) and len(self.rows()) > 20)
        for name in self.printed:
            wait_until(lambda name=name: self.said(name)[-1:] != ["hold"] and len(self.said(name)) > 5)

    def disturb(self, kind: str, undo: Callable[[], None]) -> None:
        """Silence the publisher for a time after which everybody must hold."""
        from_ns = time.monotonic_ns()
        self.session.processes["positions"].send_signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        time.sleep(0.3)
        for name in self.printed:
            wait_until(lambda name=name: self.said(name)[-1:] == ["hold"])
        self.disturbances.append(Disturbance(kind, "positions", from_ns, time.monotonic_ns()))
        undo()

    def restart(self) -> None:
        self.session.processes["positions"].wait()
        self.session.start("positions")

    def resume(self) -> None:
        self.session.processes["positions"].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.kill()
            consumer.wait()
        self.engine.stop()
        self.session.stop()


@pytest.fixture(scope="module")
def stage(compiled: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The publisher is stopped, then killed and started anew; at last the engine falls silent."""
    made = Stage(tmp_path_factory.mktemp("positions"), compiled)
    try:
        made.follow()
        made.disturb("stop", made.resume)
        made.follow()
        made.disturb("kill", made.restart)
        made.follow()
        made.engine.stop()
        wait_until(lambda: made.rows()[-1]["following"] == "0")
        yield made
    finally:
        made.close()


def test_nothing_is_followed_once_its_lease_has_run_out(stage: Stage) -> None:
    found = judge(stage.rows(), stage.disturbances, stage.session.config)
    assert found["unsafe_ms"] == 0.0
    assert found["disturbances"] == {"stop": 1, "kill": 1}
    assert found["followed_s"] > 0.5


def test_a_silent_engine_ends_the_following(stage: Stage) -> None:
    assert wait_until(lambda: stage.rows()[-1]["reason"].startswith("commanded_hold: engine_silent"))


@pytest.mark.parametrize("name", ["python", "c++"])
def test_a_documented_consumer_follows_and_holds_with_the_lease(stage: Stage, name: str) -> None:
    if name not in stage.printed:
        pytest.skip("g++, libzmq3-dev or libmsgpack-cxx-dev is not installed")
    said = stage.said(name)
    assert said[-1] == "hold"
    assert said.count("hold") >= 3
    assert sum(line.startswith("follow ") for line in said) > 20
