"""One running pipeline: engine, beam interface and recorder as processes, our source, links between, a message log."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import zmq

from bench.faults.link import Link
from bench.faults.logs import Logs, MessageKey
from bench.faults.message_log import MessageLog
from bench.faults.mrd_client import MrdClient
from bench.faults.pictures import PictureBook, Shot
from bench.faults.processes import Processes
from bench.faults.scene_files import scene_config, scene_stream, scene_target, write_files
from bench.faults.scripted_source import ScriptedSource, unchanged
from drivers.beam.simulated import line_level, read_delivery_record
from drivers.formats.pixels import WireDtype
from gating.clocks.clock import MonotonicClock
from gating.decision.limits import stale_limit_ns
from gating.geometry.plane import ImagePlane
from gating.messages import ControlReply, ControlRequest, EngineState, FrameHeader, GateCommand, GateState
from gating.settings.host import LAST_CORE
from gating.targets.from_settings import structure_boundary
from gating.wire.codec import encode
from gating.wire.sockets import receive, subscribe

OPERATOR: Final = "fault_suite"
SETTLE_S: Final = 20.0
WARM_UP_S: Final = 240.0
"""Includes the compilation of the kernels in a new installation."""
AFTER_DRAWING_MS: Final = 200.0
"""While a film is drawn nothing passes the links, so the beam goes off; it must be on again when the film begins."""
FAR_AHEAD_NS: Final = 86_400_000_000_000
"""How far the clock of a source on another host is ahead of ours: a day, which nobody could take for a delay."""
RATES_PER_S: Final = (8.0, 16.0, 25.0, 12.0)
"""Frames per second, chosen in turn by the seed."""


class NotSettled(Exception):
    """The pipeline does not reach a steady beam; one sentence."""


class Scene:
    """A pipeline that many faults are injected into, one after another.

    Parameters
    ----------
    folder
        Folder of sockets, settings and logs. It must exist, with a short path.
    seed
        Seed of frame rate, anatomy and links.
    dtype
        Dtype of the pixels.
    engine_command
        Command of the engine under test, with `{config}`, `{session}` and `{targets}`; empty for ours.
    faulty
        Start our engine and beam interface with a tracker and a switch that fail on order.
    far
        Let the source have the clock of another host.
    sites
        Let the session have two sites, whose targets lie at the same place.
    engine_core
        Core of the gating loop; two pipelines side by side must not share one.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        dtype: WireDtype = "uint16",
        engine_command: str = "",
        faulty: bool = False,
        far: bool = False,
        sites: bool = False,
        engine_core: int = LAST_CORE,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.session = f"faults-{seed}"
        self.config = scene_config(folder, sites=sites, engine_core=engine_core)
        self.book = PictureBook(100 + seed, RATES_PER_S[seed % len(RATES_PER_S)], dtype)
        self.processes = Processes(folder, self.session, engine_command, faulty=faulty, sites=sites)
        self.processes.log_folder.mkdir(mode=0o700, exist_ok=True)
        self.messages = MessageLog()
        self.line_falls_ns: list[int] = []
        self.visible_ns = 0
        self.played_ns = 0
        """When the newest film began."""
        self.logs = Logs(self.processes.log_folder)
        self.scanner: MrdClient | None = None
        """Who sends the images, if a source process receives them by MRD."""
        self._clock = ("monotonic:far", FAR_AHEAD_NS) if far else (MonotonicClock().name, 0)
        self._warm = False

    # ---- life ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything. This returns before the pipeline is ready."""
        self.context: zmq.Context[Any] = zmq.Context()
        ends = self.config.endpoints
        write_files(self.folder, self.config, scene_target(self.book))
        stream = scene_stream(self.session, self.book)
        plane = ImagePlane.of(stream)
        self.boundary = structure_boundary("target", self.book.contour_px, plane, self.config.gating)
        name, ahead_ns = self._clock
        self.source = ScriptedSource(stream, self._calm, name, ahead_ns=ahead_ns)
        self.source.open(self.context, ends.frames)
        self.gate = Link(self.context, ends.gate, f"ipc://{self.folder}/gate.b", self.seed, self.messages.add)
        self.beam = Link(self.context, f"ipc://{self.folder}/beam.b", ends.beam, self.seed + 1, self.messages.add)
        recorder = f"ipc://{self.folder}/recorder.r"
        self.recorder = Link(self.context, recorder, ends.recorder, self.seed + 2, self.messages.add)
        self._telemetry = subscribe(self.context, ends.telemetry)
        self._control = self.context.socket(zmq.DEALER)
        self._control.setsockopt(zmq.LINGER, 0)
        self._control.connect(ends.control)
        self._poller = zmq.Poller()
        for link in (self.gate, self.beam, self.recorder):
            self._poller.register(link.socket, zmq.POLLIN)
        self._poller.register(self._telemetry, zmq.POLLIN)
        self._poller.register(self._control, zmq.POLLIN)
        self.processes.start_beam()
        self.processes.start_recorder()
        self.processes.start_engine()

    def close(self) -> None:
        """End everything."""
        try:
            self.processes.stop()
        finally:
            if self.scanner is not None:
                self.scanner.close()
            self.context.destroy(linger=0)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a process while everything else runs on; return its exit code."""
        self.processes.send(name, number)
        return self.await_end(name)

    def await_end(self, name: str) -> int:
        """Wait for a process that was told to end, while everything else runs on; return its exit code."""
        process = self.processes.running[name]
        self.wait(lambda: process.poll() is not None, 10.0)
        return self.processes.end(name, signal.SIGKILL)

    def kill_beam(self) -> None:
        """Kill the beam interface with SIGKILL and note when its line fell: when the kernel released its lock."""
        self.end("beam", signal.SIGKILL)
        deadline = time.monotonic() + 5
        while line_level(self.processes.delivery) is GateState.ON and time.monotonic() < deadline:
            time.sleep(0.001)
        if line_level(self.processes.delivery) is GateState.HOLD:
            self.line_falls_ns.append(time.monotonic_ns())

    # ---- time ---------------------------------------------------------------------------------------------------

    @property
    def interval_ms(self) -> float:
        """Interval between two frames, ms."""
        return 1e3 / self.book.rate_per_s

    @property
    def lease_ms(self) -> float:
        """Smaller of the lease and the stale limit, ms."""
        return min(self.config.safety.lease_ms, self.stale_ms)

    @property
    def stale_ms(self) -> float:
        """Age at which a frame no longer permits the beam, ms."""
        return stale_limit_ns(round(1e9 / self.book.rate_per_s), 1, 1.0, self.config.safety) / 1e6

    def pump(self, until_ns: int) -> None:
        """Run source, links and message log until `until_ns`."""
        while (now_ns := time.monotonic_ns()) < until_ns:
            self.source.tick()
            wait_ns = min(until_ns - now_ns, self.source.wait_ns(), 2_000_000)
            self._poller.poll(max(0, wait_ns // 1_000_000))
            for link in (self.gate, self.beam, self.recorder):
                link.pump()
            self._listen()

    def pass_ms(self, milliseconds: float) -> None:
        """Run for a time."""
        self.pump(time.monotonic_ns() + round(milliseconds * 1e6))

    def next_frame(self, count: int = 1) -> int:
        """Run until the source has reached its next slots; return when the last one was due."""
        target = self.source.slot + count
        while self.source.slot < target:
            self.pass_ms(1)
        return self.source.slot_ns

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Run until a condition holds; return False if it does not within the time."""
        deadline_ns = time.monotonic_ns() + round(seconds * 1e9)
        while not condition():
            if time.monotonic_ns() > deadline_ns:
                return False
            self.pass_ms(5)
        return True

    def mark_visible(self, moment_ns: int | None = None) -> None:
        """Note when the fault can first be noticed; now by default."""
        self.visible_ns = time.monotonic_ns() if moment_ns is None else moment_ns

    # ---- the beam -------------------------------------------------------------------------------------------------

    def on_intervals(self) -> list[tuple[int, int]]:
        """Return when the beam was on, from the linac's own record. An interval that has not ended ends now."""
        changes = [(change.t_ns, change.beam_on) for change in read_delivery_record(self.processes.delivery)]
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

    def settle(self, steady_ms: float, *, by_operator: bool = True) -> None:
        """Reach a steady beam, acknowledging and arming as an operator would.

        Raises
        ------
        NotSettled
            If the beam does not become steady in time.
        """
        limit_s = SETTLE_S if self._warm else WARM_UP_S
        deadline, asked = time.monotonic() + limit_s, 0.0
        on_since: float | None = None
        while time.monotonic() < deadline:
            self.pass_ms(5)
            if self.processes.died():
                break
            on_since = (on_since or time.monotonic()) if self.messages.beam_is_on() else None
            if on_since is not None and time.monotonic() - on_since >= steady_ms / 1e3:
                self._warm = True
                return
            if by_operator and self.messages.newest and time.monotonic() - asked > 0.15:
                asked = time.monotonic()
                self._operate(self.messages.newest.engine_state)
        last = self.messages.newest
        why = "no gate command was received" if last is None else f"{last.engine_state}, {last.reason}: {last.detail}"
        raise NotSettled(f"no steady beam within {limit_s:g} s; {why}; {' '.join(self.processes.died())}")

    def ask(self, action: str, why: str = "", *, session: str = "", site: str = "") -> ControlReply | None:
        """Send a control request as the operator; return the reply, or None if none comes within a second."""
        self.messages.replies.clear()
        request = ControlRequest(
            session_id=session or self.session,
            action=action,  # type: ignore[arg-type]  # one of the literal actions, as text
            operator=OPERATOR,
            why=why,
            site=site,
        )
        self._control.send_multipart(encode(request), zmq.NOBLOCK)
        self.wait(lambda: bool(self.messages.replies), 1.0)
        return self.messages.replies[-1] if self.messages.replies else None

    def sent(self, since_ns: int) -> dict[MessageKey, int]:
        """Return the gate commands and intact frames sent since `since_ns`, and when each was sent."""
        every: list[tuple[int, GateCommand | FrameHeader]] = [*self.messages.commands, *self.source.published]
        return {MessageKey.of(message): at_ns for at_ns, message in every if at_ns >= since_ns}

    def send_control(self, parts: list[bytes]) -> None:
        """Send arbitrary bytes to the control socket."""
        self._control.send_multipart(parts, zmq.NOBLOCK)

    def _operate(self, state: EngineState) -> None:
        if state is EngineState.LATCHED:
            self.ask("acknowledge", "the fault suite goes on")
        elif state is EngineState.READY:
            self.arm()

    def arm(self) -> ControlReply | None:
        """Confirm the contour and arm, as an operator would who has looked at it; return the reply to the second."""
        self.ask("confirm")
        return self.ask("arm")

    # ---- pictures -------------------------------------------------------------------------------------------------

    def play(self, shots: list[Shot]) -> None:
        """Show these from the next slot on, then the last few in turn, until `calm`."""
        self.played_ns = time.monotonic_ns()
        self.show(shots)

    def show(self, shots: list[Shot]) -> None:
        """Show these as `play` does, but as a part of a fault that has begun before."""
        first = self.source.slot + 1
        self.source.show = lambda slot: self._played(shots, slot, first)

    def play_in_turn(self, shots: Sequence[Shot]) -> None:
        """Show these in turn from the next slot on, until `calm`."""
        self.played_ns = time.monotonic_ns()
        self.source.show = lambda slot: self._in_turn(shots, slot)

    def calm(self) -> None:
        """Show the calm patient again, and send frames unchanged."""
        self.source.show = self._calm
        self.source.transform = unchanged

    def outside(self, shot: Shot) -> float:
        """Return the true target-out fraction, 0 to 1; 1 if the target is not in the slice."""
        return self.boundary.out_fraction(shot.contour_px) if shot.visible else 1.0

    def _calm(self, slot: int) -> Any:
        return self._in_turn(self.book.calm, slot)

    def _in_turn(self, shots: Sequence[Shot], slot: int) -> Any:
        return self.book.alive(shots[slot % len(shots)].pixels, slot)

    def _played(self, shots: list[Shot], slot: int, first: int) -> Any:
        index = slot - first
        if index >= len(shots):
            index = -1 - (index - len(shots)) % min(4, len(shots))
        return self.book.alive(shots[index].pixels, slot)

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for socket in (self._telemetry, self._control):
            while (parts := receive(socket)) is not None:
                self.messages.add(parts, time.monotonic_ns())
