"""A network source as its own process, and what the engine's checks make of its stamps and its refusals."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from gating.clock_offset import MIN_SAMPLES, UNKNOWN_NS
from gating.config import Config, HealthSettings
from gating.decision import GateReason
from gating.health import StreamMemory, check_frame, remember
from gating.messages import CineFrame, Event, GateState, StampMeaning, StreamInfo
from gating.service import EngineService
from gating.sockets import receive, subscribe
from gating.targets import TargetSpec
from gating.wire import decode, encode

pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")

from tests.mrd_client import connect, image, packed, preamble, synthetic_cine

ROOT = Path(__file__).parents[2]
INTERVAL_S = 0.025
TICKS = 14_400_000


class Live:
    """`cinegate source mrd` in a process, an MRD client, and a subscriber."""

    def __init__(self, folder: Path, clocks: str, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        config = folder / "session.toml"
        config.write_text(f'[endpoints]\nframes = "ipc://{folder}/frames"\ngate = "ipc://{folder}/gate"\n{clocks}')
        command = [sys.executable, "-m", "gating.cli", "source", "mrd", "-o", f"port={self.port}"]
        self.process = subprocess.Popen(
            [*command, "-o", "frames_per_s=40", "--config", str(config), *options], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        self._context: zmq.Context[Any] = zmq.Context()
        self._feed = subscribe(self._context, f"ipc://{folder}/frames")
        self.cine = synthetic_cine(64)
        self.client = connect(self.port, 20)
        self.client.sendall(preamble())
        self.heard: list[tuple[Any, int]] = []
        self.details: list[str] = []

    def send(self, index: int, **overrides: Any) -> None:
        ticks = overrides.pop("ticks", TICKS + round(index * INTERVAL_S * 400))
        self.client.sendall(packed(image(self.cine, index % 64, acquisition_time_stamp=ticks, **overrides)))

    def run(self, indices: range, **overrides: Any) -> None:
        """Send a frame every 25 ms, on an absolute schedule, and hear what is published."""
        begin = time.monotonic()
        for count, index in enumerate(indices):
            time.sleep(max(0.0, begin + count * INTERVAL_S - time.monotonic()))
            self.send(index, **overrides)
            self.hear(0)
        self.hear(300)

    def hear(self, timeout_ms: int) -> None:
        while self._feed.poll(timeout_ms):
            parts = receive(self._feed)
            assert parts is not None
            self.heard.append((decode(parts), time.monotonic_ns()))
            if time.monotonic_ns() - self.heard[0][1] > 20e9:
                break
            timeout_ms = 100 if isinstance(self.heard[-1][0], CineFrame) else 0

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message, _ in self.heard if isinstance(message, kind)]

    def reasons(self, max_uncertainty_ms: float = 50) -> list[GateReason | None]:
        """What the engine's checks say of each frame."""
        limits = HealthSettings(max_stamp_uncertainty_ms=max_uncertainty_ms)
        stream, memory, reasons = self.of(StreamInfo)[0], None, []
        for message, received_ns in self.heard:
            if isinstance(message, CineFrame):
                held: StreamMemory | None = memory
                fault = check_frame(message.header, received_ns, held, stream, limits)
                memory = remember(held, message.header, received_ns)
                reasons.append(fault.reason if fault else None)
                self.details.append(fault.detail if fault else "")
        return reasons

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)
        self._context.destroy(linger=0)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def make(*arguments: str) -> Live:
        made.append(Live(tmp_path, *arguments))
        return made[0]

    yield make
    for each in made:
        each.close()


MEASURED = "[clocks]\nsource_delay_ms = 1.0\nsource_delay_uncertainty_ms = 2.0\n"


def test_a_measured_delay_makes_live_stamps_usable(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(60))
    frames = session.of(CineFrame)
    unknown = [frame.header.sequence for frame in frames if frame.header.acquired_uncertainty_ns == UNKNOWN_NS]
    assert unknown == [frame.header.sequence for frame in frames if frame.header.sequence < MIN_SAMPLES - 1]
    newest = [frame.header for frame in frames[-20:]]
    youngest = min(newest, key=lambda header: header.published_ns - header.acquired_on_publish_clock_ns)
    assert youngest.acquired_uncertainty_ns < 50_000_000
    age_ns = youngest.published_ns - youngest.acquired_on_publish_clock_ns
    assert abs(age_ns) < youngest.acquired_uncertainty_ns + 5_000_000
    reasons = session.reasons()
    assert reasons[: len(unknown)] == [GateReason.STAMP_UNCERTAIN] * len(unknown)
    assert GateReason.CLOCK_FAULT not in reasons, session.details
    assert None in reasons[-20:]


def test_without_a_measured_delay_no_frame_is_usable(live: Callable[..., Live]) -> None:
    session = live("")
    session.run(range(30))
    assert set(session.reasons()) == {GateReason.STAMP_UNCERTAIN}


def test_arrival_times_are_flagged_in_every_header_and_by_a_warning(live: Callable[..., Live]) -> None:
    session = live("", "--arrival-time")
    session.run(range(20), ticks=0)
    assert {frame.header.acquired_meaning for frame in session.of(CineFrame)} == {StampMeaning.ARRIVAL}
    assert session.of(StreamInfo)[0].acquired_meaning is StampMeaning.ARRIVAL
    assert any(event.code == "arrival_time" and event.severity == "warning" for event in session.of(Event))
    assert GateReason.STAMP_UNCERTAIN not in session.reasons()


def test_a_stamp_in_the_future_is_a_step_that_is_told_and_uncertain(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(40))
    session.run(range(40 + 4000, 45 + 4000))
    assert any(event.code == "clock_stepped" and event.severity == "fault" for event in session.of(Event))
    assert session.reasons()[-1] is not None


def test_a_repeated_image_with_a_new_stamp_is_a_frozen_image(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(40))
    session.cine["frames"][40 % 64] = session.cine["frames"][39 % 64]
    session.run(range(40, 41))
    assert session.reasons(5_000)[-1] is GateReason.FROZEN_IMAGE


def test_a_refused_frame_is_told_as_a_fault_that_holds_the_engine_at_once(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(20))
    session.send(20, position=(0.0, 0.0, 300.0))
    session.hear(500)
    refused = [event for event in session.of(Event) if event.code == "refused"]
    assert "image_position_mm" in refused[-1].text
    assert refused[-1].severity == "fault"

    square = [(30, 30), (60, 30), (60, 60), (30, 60)]
    service = EngineService(Config(), [TargetSpec("GTV", np.array(square, np.float32))], "session")
    published: list[Any] = []
    service._publish = published.append  # type: ignore[method-assign]
    service._handle(encode(refused[-1]), 0)
    assert (published[-1].command.state, published[-1].command.reason) == (GateState.HOLD, GateReason.MESSAGE_REFUSED)
    assert "image_position_mm" in published[-1].command.detail
