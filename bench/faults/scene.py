"""One running pipeline: engine, beam interface and recorder as processes, our source and links between, and an ear."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq
from msgspec.structs import replace

from bench.faults.link import Link
from bench.faults.logs import Kept, Logs
from bench.faults.pictures import PictureBook, Shot
from bench.faults.processes import Processes
from bench.faults.scene_files import scene_config, write_files
from bench.faults.scripted_source import ScriptedSource, as_it_is
from drivers.beam.simulated import line_level, read_delivery_record
from gating.boundary import GatingBoundary
from gating.clock import MonotonicClock
from gating.limits import stale_limit_ns
from gating.messages import (
    BeamStatus,
    ControlReply,
    ControlRequest,
    EngineState,
    Event,
    FrameHeader,
    GateCommand,
    GateState,
    Heartbeat,
    Message,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamInfo,
)
from gating.plane import ImagePlane
from gating.sockets import receive, subscribe
from gating.wire import WireError, decode, encode

OPERATOR: Final = "fault_suite"
SETTLE_S: Final = 20.0
WARM_UP_S: Final = 240.0
"""A new installation compiles its kernels once."""
RECENT_NS: Final = 150_000_000
AFTER_DRAWING_MS: Final = 200.0
"""Nothing passes the links while a film is drawn, so the beam goes off; it must be on again when the film begins."""
RATES_PER_S: Final = (8.0, 16.0, 25.0, 12.0)
"""Frames per second, one after another from seed to seed."""


class NotSettled(Exception):
    """The pipeline does not come to a steady beam; one sentence."""


class Scene:
    """A pipeline that many faults are injected into, one after another.

    Parameters
    ----------
    folder : for sockets, settings, logs; must exist, with a short path.
    seed : chooses frame rate, anatomy and weather.
    dtype : of the pixels.
    engine_command : of the engine under test, with `{config}`, `{session}`, `{targets}`; ours if empty.
    faulty : start our engine and beam interface with a tracker and a switch that can be made to fail.
    log_folder : for session logs; inside `folder` by default.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        dtype: str = "uint16",
        engine_command: str = "",
        faulty: bool = False,
        log_folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.faulty = faulty
        self.engine_command = engine_command
        self.log_folder = log_folder or folder / "logs"
        self.log_folder.mkdir(mode=0o700, exist_ok=True)
        self.session = f"faults-{seed}"
        self.config = scene_config(folder)
        self.book = PictureBook(100 + seed, RATES_PER_S[seed % len(RATES_PER_S)], dtype)
        self.boundary = self._boundary()
        self.processes = Processes(folder)
        self.delivery = folder / "delivery.csv"
        self.line_falls_ns: list[int] = []
        self.commands: list[tuple[int, GateCommand]] = []
        self.statuses: list[tuple[int, BeamStatus]] = []
        self.events: list[Event] = []
        self.recorder_beats: list[tuple[int, Heartbeat]] = []
        self.seen_ns = 0
        self.played_ns = 0
        """When the newest film began."""
        self.logs = Logs(self.log_folder)
        self._log_number = 0
        self._warm = False
        self._replies: list[ControlReply] = []

    # ---- life ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything; returns before the pipeline is ready."""
        self.context: zmq.Context[Any] = zmq.Context()
        ends = self.config.endpoints
        write_files(folder=self.folder, config=self.config, contour_px=self.book.contour_px.tolist())
        stream = self.stream()
        self.source = ScriptedSource(stream, self._calm, MonotonicClock().name)
        self.source.open(self.context, ends.frames)
        self.gate = Link(self.context, ends.gate, f"ipc://{self.folder}/gate.b", self.seed, self._hear)
        self.beam = Link(self.context, f"ipc://{self.folder}/beam.b", ends.beam, self.seed + 1, self._hear)
        recorder = f"ipc://{self.folder}/recorder.r"
        self.recorder = Link(self.context, recorder, ends.recorder, self.seed + 2, self._hear)
        self._telemetry = subscribe(self.context, ends.telemetry)
        self._control = self.context.socket(zmq.DEALER)
        self._control.setsockopt(zmq.LINGER, 0)
        self._control.connect(ends.control)
        self._poller = zmq.Poller()
        for link in (self.gate, self.beam, self.recorder):
            self._poller.register(link.socket, zmq.POLLIN)
        self._poller.register(self._telemetry, zmq.POLLIN)
        self._poller.register(self._control, zmq.POLLIN)
        self.start_beam()
        self.start_recorder()
        self.start_engine()

    def close(self) -> None:
        """End everything."""
        try:
            self.processes.stop()
        finally:
            self.context.destroy(linger=0)

    def start_engine(self) -> None:
        """Start the engine under test."""
        targets, config = str(self.folder / "targets.json"), str(self.folder / "engine.toml")
        if self.engine_command:
            words = shlex.split(self.engine_command)
            command = [word.format(config=config, session=self.session, targets=targets) for word in words]
        else:
            module = ["bench.faults.faulty_engine", str(self.fault_file)] if self.faulty else ["gating.cli", "engine"]
            command = [sys.executable, "-m", *module, "--target", targets, "--config", config]
            command += ["--session", self.session]
        self.processes.start("engine", command)

    def start_beam(self) -> None:
        """Start the beam interface with a simulated linac that records what it delivers, without delay."""
        module = ["bench.faults.faulty_beam", str(self.switch_file)] if self.faulty else ["gating.cli", "beam"]
        command = [sys.executable, "-m", *module, "--config", str(self.folder / "beam.toml")]
        self.processes.start("beam", [*command, "--session", self.session, "--delivery-record", str(self.delivery)])

    def start_recorder(self, folder: Path | None = None) -> Path:
        """Start a recorder on a new log and return its path."""
        self._log_number += 1
        log = (folder or self.log_folder) / f"{self._log_number}.mcap"
        command = [sys.executable, "-m", "gating.cli", "record", str(log), "--session", self.session]
        self.processes.start("recorder", [*command, "--config", str(self.folder / "recorder.toml")])
        return log

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a process while everything else goes on; return its exit code."""
        self.processes.send(name, number)
        return self.ended(name)

    def ended(self, name: str) -> int:
        """Let a process that was asked to end do so while everything else goes on; return its exit code."""
        process = self.processes.running[name]
        self.wait(lambda: process.poll() is not None, 10.0)
        return self.processes.end(name, signal.SIGKILL)

    def kill_beam(self) -> None:
        """SIGKILL the beam interface and note when its line fell, which is when the kernel dropped its hold on it."""
        self.end("beam", signal.SIGKILL)
        deadline = time.monotonic() + 5
        while line_level(self.delivery) is GateState.ON and time.monotonic() < deadline:
            time.sleep(0.001)
        if line_level(self.delivery) is GateState.HOLD:
            self.line_falls_ns.append(time.monotonic_ns())

    @property
    def fault_file(self) -> Path:
        """What is written here happens in our engine's tracker."""
        return self.folder / "tracker.fault"

    @property
    def switch_file(self) -> Path:
        """What is written here happens in our beam interface's switch."""
        return self.folder / "switch.fault"

    # ---- time ---------------------------------------------------------------------------------------------------

    @property
    def interval_ms(self) -> float:
        """Between two frames."""
        return 1e3 / self.book.rate_per_s

    @property
    def lease_ms(self) -> float:
        """The smaller of the lease and the stale limit."""
        return min(self.config.safety.lease_ms, self.stale_ms)

    @property
    def stale_ms(self) -> float:
        """The age at which a frame no longer permits beam."""
        return stale_limit_ns(round(1e9 / self.book.rate_per_s), 1, 1.0, self.config.safety) / 1e6

    def pump(self, until_ns: int) -> None:
        """Keep source, links and ears going until a moment."""
        while (now_ns := time.monotonic_ns()) < until_ns:
            self.source.tick()
            wait_ns = min(until_ns - now_ns, self.source.wait_ns(), 2_000_000)
            self._poller.poll(max(0, wait_ns // 1_000_000))
            for link in (self.gate, self.beam, self.recorder):
                link.pump()
            self._listen()

    def pass_ms(self, milliseconds: float) -> None:
        """Let time pass."""
        self.pump(time.monotonic_ns() + round(milliseconds * 1e6))

    def next_frame(self, count: int = 1) -> int:
        """Let the source's next slots pass; return when the last one was due."""
        target = self.source.slot + count
        while self.source.slot < target:
            self.pass_ms(1)
        return self.source.slot_ns

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until a condition holds; return whether it came to."""
        deadline_ns = time.monotonic_ns() + round(seconds * 1e9)
        while not condition():
            if time.monotonic_ns() > deadline_ns:
                return False
            self.pass_ms(5)
        return True

    def seen(self, moment_ns: int | None = None) -> None:
        """Say from when on the fault is there to be seen; now by default."""
        self.seen_ns = time.monotonic_ns() if moment_ns is None else moment_ns

    # ---- the beam -------------------------------------------------------------------------------------------------

    def on_intervals(self) -> list[tuple[int, int]]:
        """Return when the beam was on, from the linac's own record; an interval that lasts ends now."""
        changes = [(change.t_ns, change.beam_on) for change in read_delivery_record(self.delivery)]
        changes = sorted([*changes, *((fall_ns, False) for fall_ns in self.line_falls_ns)])
        intervals: list[tuple[int, int]] = []
        since_ns: int | None = None
        for at_ns, beam_on in changes:
            if beam_on and since_ns is None:
                since_ns = at_ns
            elif not beam_on and since_ns is not None:
                intervals.append((since_ns, at_ns))
                since_ns = None
        return intervals if since_ns is None else [*intervals, (since_ns, time.monotonic_ns())]

    def is_on(self) -> bool:
        """Whether the beam is on now, as its interface has just confirmed."""
        if not self.statuses:
            return False
        heard_ns, status = self.statuses[-1]
        return status.confirmed is GateState.ON and time.monotonic_ns() - heard_ns < RECENT_NS

    def settle(self, steady_ms: float, *, by_operator: bool = True) -> None:
        """Come to a steady beam: acknowledge and arm as an operator would.

        Raises
        ------
        NotSettled
            If it does not come.
        """
        limit_s = SETTLE_S if self._warm else WARM_UP_S
        deadline, asked = time.monotonic() + limit_s, 0.0
        on_since: float | None = None
        while time.monotonic() < deadline:
            self.pass_ms(5)
            if self.processes.died():
                break
            on_since = (on_since or time.monotonic()) if self.is_on() else None
            if on_since is not None and time.monotonic() - on_since >= steady_ms / 1e3:
                self._warm = True
                return
            if by_operator and self.commands and time.monotonic() - asked > 0.15:
                asked = time.monotonic()
                self._operate(self.commands[-1][1].engine_state)
        last = self.commands[-1][1] if self.commands else None
        why = "no gate command was heard" if last is None else f"{last.engine_state}, {last.reason}: {last.detail}"
        raise NotSettled(f"no steady beam within {limit_s:g} s; {why}; {' '.join(self.processes.died())}")

    def ask(self, action: str, why: str = "") -> ControlReply | None:
        """Ask the engine as the operator; None if it does not answer within a second."""
        self._replies.clear()
        request = ControlRequest(session_id=self.session, action=action, operator=OPERATOR, why=why)  # type: ignore[arg-type]
        self._control.send_multipart(encode(request), zmq.NOBLOCK)
        self.wait(lambda: bool(self._replies), 1.0)
        return self._replies[-1] if self._replies else None

    def sent(self, since_ns: int) -> dict[Kept, int]:
        """Return the gate commands and unharmed frames that left since a moment, and when each did."""
        every: list[tuple[int, GateCommand | FrameHeader]] = [*self.commands, *self.source.published]
        return {Kept.of(message): at_ns for at_ns, message in every if at_ns >= since_ns}

    def send_control(self, parts: list[bytes]) -> None:
        """Send any bytes at all to the control socket."""
        self._control.send_multipart(parts, zmq.NOBLOCK)

    def _operate(self, state: EngineState) -> None:
        if state is EngineState.LATCHED:
            self.ask("acknowledge", "the fault suite goes on")
        elif state is EngineState.READY:
            self.ask("arm")

    # ---- pictures -------------------------------------------------------------------------------------------------

    def play(self, shots: list[Shot]) -> None:
        """Show these from the next slot on, then the last one's place with changing noise; `calm` ends it."""
        self.played_ns = time.monotonic_ns()
        first = self.source.slot + 1
        self.source.show = lambda slot: self._played(shots, slot - first)

    def calm(self) -> None:
        """Show the calm patient again, and send frames as they are."""
        self.source.show = self._calm
        self.source.transform = as_it_is

    def outside(self, shot: Shot) -> float:
        """Return how much of the target is truly outside the boundary, 0 to 1; 1 where it is not in the slice."""
        return self.boundary.out_fraction(shot.contour_px) if shot.visible else 1.0

    def _calm(self, slot: int) -> Any:
        return self.book.calm[slot % len(self.book.calm)].pixels

    def _played(self, shots: list[Shot], index: int) -> Any:
        if index < len(shots):
            return shots[index].pixels
        return shots[-1 - (index - len(shots)) % min(4, len(shots))].pixels

    def stream(self, **changes: Any) -> StreamInfo:
        """Return what the source declares."""
        shot = self.book.calm[0].pixels
        declared = StreamInfo(
            session_id=self.session,
            source="fault suite phantom",
            source_kind=SourceKind.PHANTOM,
            pacing=Pacing.REAL_TIME,
            planes=("sagittal",),
            dtype=str(shot.dtype),  # type: ignore[arg-type]
            shape=shot.shape,
            pixel_spacing_mm=self.book.settings.pixel_spacing_mm,
            image_orientation=self.book.orientation,
            image_position_mm=self.book.position_mm,
            nominal_interval_ns=round(1e9 / self.book.rate_per_s),
            acquired_clock="fault suite",
            acquired_meaning=StampMeaning.START,
            description=f"phantom, seed {100 + self.seed}, {self.book.rate_per_s:g} frames/s",
        )
        return replace(declared, **changes)

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while (parts := receive(self._telemetry)) is not None:
            self._hear(parts, time.monotonic_ns())
        while (parts := receive(self._control)) is not None:
            message = _readable(parts)
            if isinstance(message, ControlReply):
                self._replies.append(message)

    def _hear(self, parts: list[bytes], at_ns: int) -> None:
        match _readable(parts):
            case GateCommand() as command:
                self.commands.append((at_ns, command))
            case BeamStatus() as status:
                self.statuses.append((at_ns, status))
            case Event() as event:
                self.events.append(event)
            case Heartbeat(role="recorder") as beat:
                self.recorder_beats.append((at_ns, beat))
            case _:
                pass

    def _boundary(self) -> GatingBoundary:
        margins = self.config.gating.margins
        margins_px = ImagePlane.of(self.stream()).margins_px(
            left=margins.left_mm,
            right=margins.right_mm,
            posterior=margins.posterior_mm,
            anterior=margins.anterior_mm,
            superior=margins.superior_mm,
            inferior=margins.inferior_mm,
        )
        return GatingBoundary(self.book.contour_px, margins_px)


def _readable(parts: list[bytes]) -> Message | None:
    try:
        message = decode(parts)
    except WireError:
        return None
    return message if isinstance(message, Message) else None
