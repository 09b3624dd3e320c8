"""A network source as its own process, and what the engine's checks make of its stamps and its refusals."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from drivers.sources.live import SERIES_SILENCE_NS
from gating.clocks.clock import ManualClock
from gating.clocks.offset import MIN_SAMPLES, UNKNOWN_NS
from gating.clocks.suspension import SuspensionWatch
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.messages import (
    CineFrame,
    ControlRequest,
    EngineState,
    Event,
    GateCommand,
    GateState,
    StampMeaning,
    StreamInfo,
)
from gating.service.service import EngineService
from gating.settings.config import Config, EndpointSettings, HealthSettings, SafetySettings
from gating.settings.host import ANY_CORE, HostSettings
from gating.stream.stream import Stream
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import decode, encode
from gating.wire.sockets import bind, receive, subscribe

pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")

from tests.engine_bench import drawn_on
from tests.mrd_client import TICK_NS, connect, image, packed, preamble, synthetic_cine
from tests.patience import PATIENCE_S, reserved_ports, wait_until

pytestmark = pytest.mark.deadlines

ROOT = Path(__file__).parents[2]
INTERVAL_S = 0.025
TICKS = 14_400_000


class Live:
    """`cinegate source mrd` in a process, an MRD client that stamps what it sends, and a subscriber."""

    def __init__(self, folder: Path, clocks: str, *options: str) -> None:
        config = folder / "session.toml"
        config.write_text(f'[endpoints]\nframes = "ipc://{folder}/frames"\ngate = "ipc://{folder}/gate"\n{clocks}')
        self._undo = ExitStack()
        (port,) = self._undo.enter_context(reserved_ports())
        command = [sys.executable, "-m", "cinegate", "source", "mrd", "-o", f"port={port}"]
        self.process = subprocess.Popen(
            [*command, "-o", "frames_per_s=40", "--config", str(config), *options], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        self._undo.callback(self._end)
        self._context: zmq.Context[Any] = zmq.Context()
        self._undo.callback(self._context.destroy, linger=0)
        self._feed = subscribe(self._context, f"ipc://{folder}/frames")
        self.cine = synthetic_cine(64)
        self.heard: list[tuple[Any, int]] = []
        self.details: list[str] = []
        self._port = port
        self.connect()
        self._began_ns, self._published = time.monotonic_ns(), 0
        self.send(0)
        self.hear(lambda: self.of(StreamInfo))

    def connect(self) -> None:
        """Send as a new client from now on."""
        self.client = self._undo.enter_context(connect(self._port, 60))
        self.client.sendall(preamble())

    def send(self, index: int, *, ahead_s: float = 0.0, published: bool = True, **overrides: Any) -> None:
        """Send a frame stamped with the time since the session began, or with a later one."""
        elapsed_ns = time.monotonic_ns() - self._began_ns + round(ahead_s * 1e9)
        fields = {"acquisition_time_stamp": TICKS + round(elapsed_ns / TICK_NS)} | overrides
        self.client.sendall(packed(image(self.cine, index % 64, **fields)))
        self._published += published

    def sent_ns(self, frame: CineFrame) -> int:
        """When a frame was really acquired, on this host's clock."""
        return self._began_ns + frame.header.acquired_ns - TICKS * TICK_NS

    def run(self, indices: range, *, ahead_s: float = 0.0, **overrides: Any) -> None:
        """Send a frame every 25 ms, or later where the machine is busy, and receive all that is published of them."""
        for index in indices:
            time.sleep(INTERVAL_S)
            self.send(index, ahead_s=ahead_s, **overrides)
            self.hear(lambda: True)
        self.hear(lambda: self.of(CineFrame) and self.of(CineFrame)[-1].header.sequence == self._published - 1)

    def hear(self, wanted: Callable[[], object]) -> None:
        """Receive what is published until the wanted message is among it."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            while (parts := receive(self._feed)) is not None:
                self.heard.append((decode(parts), time.monotonic_ns()))
            if wanted():
                return
            assert time.monotonic() < until_s, f"{len(self.heard)} messages came, what was waited for did not"
            self._feed.poll(50)

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message, _ in self.heard if isinstance(message, kind)]

    def events(self, code: str) -> list[Event]:
        """The events with one code, once they have come."""
        self.hear(lambda: any(event.code == code for event in self.of(Event)))
        return [event for event in self.of(Event) if event.code == code]

    def reasons(self, **limits: float) -> list[GateReason | None]:
        """What the engine's checks say of each frame."""
        settings = HealthSettings(**{"max_stamp_uncertainty_ms": 50, **limits})
        declared, reasons = self.of(StreamInfo)[0], []
        stream = Stream(declared.session_id, settings)
        stream.declare(declared)
        for message, received_ns in self.heard:
            if isinstance(message, CineFrame):
                fault = stream.check(message, received_ns)
                stream.remember(message, received_ns)
                reasons.append(fault.reason if fault else None)
                self.details.append(fault.detail if fault else "")
        return reasons

    def close(self) -> None:
        self._undo.close()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def make(*arguments: str) -> Live:
        made.append(Live(tmp_path, *arguments))
        return made[0]

    yield make
    for each in made:
        each.close()


SQUARE = np.array([(8, 8), (20, 8), (20, 20), (8, 20)], np.float32)
MEASURED = "[clocks]\nsource_delay_ms = 1.0\nsource_delay_uncertainty_ms = 2.0\n"


def test_a_measured_delay_makes_live_stamps_usable(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(1, 60))
    frames = session.of(CineFrame)
    unknown = [frame.header.sequence for frame in frames if frame.header.acquired_uncertainty_ns == UNKNOWN_NS]
    assert unknown == [frame.header.sequence for frame in frames if frame.header.sequence < MIN_SAMPLES - 1]
    for frame in frames[-20:]:
        off_ns = frame.header.acquired_on_publish_clock_ns - session.sent_ns(frame)
        assert abs(off_ns) < frame.header.acquired_uncertainty_ns < 50_000_000
    reasons = session.reasons()
    assert reasons[: len(unknown)] == [GateReason.STAMP_UNCERTAIN] * len(unknown)
    assert GateReason.CLOCK_FAULT not in reasons, session.details
    assert None in reasons[-20:]


def test_without_a_measured_delay_no_frame_is_usable(live: Callable[..., Live]) -> None:
    session = live("")
    session.run(range(1, 30))
    assert set(session.reasons()) == {GateReason.STAMP_UNCERTAIN}


def test_arrival_times_are_flagged_in_every_header_and_by_a_warning(live: Callable[..., Live]) -> None:
    session = live("", "--arrival-time")
    session.run(range(1, 20), acquisition_time_stamp=0)
    assert {frame.header.acquired_meaning for frame in session.of(CineFrame)} == {StampMeaning.ARRIVAL}
    assert session.of(StreamInfo)[0].acquired_meaning is StampMeaning.ARRIVAL
    assert {event.severity for event in session.events("arrival_time")} == {"warning"}
    assert GateReason.STAMP_UNCERTAIN not in session.reasons()


def test_a_warning_of_the_whole_stream_is_told_without_a_fault(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    (warned,) = session.events("source_warning")
    assert (warned.severity, "are not square" in warned.text) == ("warning", True)


def test_a_stamp_in_the_future_is_reported_as_an_uncertain_clock_step(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.run(range(1, 40))
    session.run(range(40, 45), ahead_s=100)
    assert {event.severity for event in session.events("clock_stepped")} == {"fault"}
    assert session.reasons()[-1] is not None


def test_a_clock_set_back_is_reported_and_latches_the_engine(live: Callable[..., Live]) -> None:
    """One frame is dropped with a fault; the next goes out, and its stamp tells the engine what happened."""
    session = live(MEASURED)
    session.run(range(1, 40))
    session.send(40, ahead_s=-60, published=False)
    (refused,) = session.events("refused")
    assert "s before the newest; 10 s is the limit, so its clock was set back" in refused.text
    session.run(range(41, 75), ahead_s=-60)
    assert session.reasons()[-34] is GateReason.CLOCK_FAULT

    first = session.of(CineFrame)[0]
    clock = ManualClock(0, first.header.publish_clock)
    target, session_id = drawn_on(first, "GTV", SQUARE), session.of(StreamInfo)[0].session_id
    engine = Engine(Config(), [target], lambda: make_tracker(Config().tracker, Config().tracking), clock, session_id,
                    "e1", peers=OfflinePeers())  # fmt: skip
    engine.warm_up()
    engine.open_stream(session.of(StreamInfo)[0])
    for message, received_ns in session.heard:
        if isinstance(message, CineFrame):
            clock.advance_to(received_ns)
            command = engine.step(message, received_ns).command
            engine.finish_frame()
    assert (command.state, command.reason, engine.state) == (GateState.HOLD, "clock_fault", EngineState.LATCHED)


@pytest.mark.parametrize("hangs_up", [True, False], ids=["another client", "another series"])
def test_frames_of_another_origin_latch_an_armed_engine(live: Callable[..., Live], hangs_up: bool) -> None:
    session = live(MEASURED)
    session.run(range(1, 40))
    if hangs_up:
        session.client.close()
        session.events("refused")
        session.connect()
    else:
        time.sleep(SERIES_SILENCE_NS / 1e9 + 0.2)
    session.run(range(40, 60), image_series_index=0 if hangs_up else 7)
    (changed,) = session.events("origin_changed")
    assert ("connection 2" if hangs_up else "scan 1") in changed.text

    engine, clock = engine_for(session, session.of(CineFrame)[0])
    states: dict[int, EngineState] = {}
    for message, received_ns in session.heard:
        if isinstance(message, CineFrame):
            clock.advance_to(received_ns)
            command = engine.step(message, received_ns).command
            engine.finish_frame()
            states[message.header.sequence] = command.engine_state
            if message.header.sequence < 40:
                for action in ("confirm", "arm"):
                    engine.control(
                        ControlRequest(session_id=message.header.session_id, action=action, operator="dr_who")
                    )
    assert states[39] is EngineState.ARMED
    assert {state for sequence, state in states.items() if sequence >= 40} == {EngineState.LATCHED}


def engine_for(session: Live, drawn: CineFrame) -> tuple[Engine, ManualClock]:
    """An engine that has heard the stream's declaration, and is lenient with the timing of a busy machine."""
    info = session.of(StreamInfo)[0]
    clock = ManualClock(0, session.of(CineFrame)[0].header.publish_clock)
    health = HealthSettings(max_stamp_uncertainty_ms=5_000, max_interval_ratio=100)
    config = Config(health=health, safety=SafetySettings(arm_good_frames=1))
    engine = Engine(config, [drawn_on(drawn, "GTV", SQUARE)], lambda: make_tracker(config.tracker, config.tracking),
                    clock, info.session_id, "e1", peers=OfflinePeers())  # fmt: skip
    engine.warm_up()
    engine.open_stream(info)
    return engine, clock


def test_a_repeated_image_with_a_new_stamp_is_a_frozen_image(live: Callable[..., Live]) -> None:
    session = live(MEASURED)
    session.cine["frames"][40] = session.cine["frames"][39]
    session.run(range(1, 41))
    assert session.reasons(max_stamp_uncertainty_ms=5_000, max_interval_ratio=100)[-1] is GateReason.FROZEN_IMAGE


def test_a_refused_frame_is_a_fault_that_holds_the_engine_at_once(live: Callable[..., Live], tmp_path: Path) -> None:
    session = live(MEASURED)
    session.run(range(1, 20))
    session.send(20, position=(0.0, 0.0, 300.0), published=False)
    (refused,) = session.events("refused")
    assert "image_position_mm" in refused.text
    assert refused.severity == "fault"

    command = answer_to(refused, tmp_path)
    assert (command.state, command.reason) == (GateState.HOLD, GateReason.MESSAGE_REFUSED)
    assert "image_position_mm" in command.detail


def test_an_engine_whose_host_was_suspended_latches(tmp_path):
    told = Event(session_id="session", role="source", severity="info", code="none", text="was suspended for", at_ns=1)
    asleep_ns = itertools.chain([0] * 10, itertools.repeat(60_000_000_000))
    command = answer_to(told, tmp_path, SuspensionWatch(lambda: next(asleep_ns)))
    assert (command.state, command.reason) == (GateState.HOLD, GateReason.INTERNAL_ERROR)
    assert "this host was suspended for 60000 ms" in command.detail


def answer_to(event: Event, folder: Path, suspensions: SuspensionWatch | None = None) -> GateCommand:
    """What the engine commands, with this event's text, when its source sends this event."""
    roles = ("frames", "gate", "telemetry", "control", "beam", "recorder")
    endpoints = EndpointSettings(**{role: f"ipc://{folder}/engine-{role}" for role in roles})
    host = HostSettings(fifo_priority=0, engine_core=ANY_CORE, keep_cores_awake=False)
    square = np.array([(30, 30), (60, 30), (60, 60), (30, 60)], np.float32)
    service = EngineService(Config(endpoints=endpoints, host=host), [TargetSpec("GTV", square)], "session",
                            suspensions=suspensions)  # fmt: skip
    stop, answers = threading.Event(), []
    with zmq.Context() as context, bind(context, zmq.PUB, endpoints.frames) as source:
        gate = subscribe(context, endpoints.gate)
        loop = threading.Thread(target=service.run, args=(stop.is_set,))
        loop.start()

        def answered() -> bool:
            source.send_multipart(encode(event))
            while (parts := receive(gate)) is not None:
                command: Any = decode(parts)
                answers.extend([command] if event.text in command.detail else [])
            return bool(answers)

        came = wait_until(answered, 60)
        stop.set()
        loop.join()
        gate.close()
    assert came, "the engine does not answer"
    return answers[0]
