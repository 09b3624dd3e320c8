"""The pump publishes one `CineSource`. It binds the frames endpoint, and neither blocks nor waits for a slow reader.

Frames are sent with `copy=True`. Up to 512 KB a copy costs no more than the bookkeeping of a zero-copy send (68 against
79 us for 128 KB), and the one buffer can be filled again at once.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from drivers.dating import FrameDating
from drivers.errors import SourceFault, Unavailable
from drivers.ports import CineSource, CountingSource, EndOfStream, FrameStamp, ReportingSource, WarningSource
from gating.clocks.clock import Clock
from gating.clocks.image_moment import ImageMoment
from gating.clocks.offset import OffsetEstimator
from gating.messages import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    CineFrame,
    Event,
    FrameHeader,
    GateCommand,
    Heartbeat,
    Pacing,
    StampMeaning,
    StreamEnd,
    StreamInfo,
    as_dict,
)
from gating.service.real_time import prepare_process
from gating.settings.host import HostSettings
from gating.wire.codec import MAX_HEADER_BYTES, Part, WireError, decode, encode, encode_frame
from gating.wire.pixels import content_hash
from gating.wire.session_end import ends_session
from gating.wire.sockets import Socket, bind, is_waiting, message_threads, receive, send, subscribe

INFO_EVERY_NS: Final = 500_000_000
HEARTBEAT_EVERY_NS: Final = 200_000_000
POLL_MS: Final = 10
UNANSWERED_FRAMES: Final = {Pacing.STEPPED: 1, Pacing.UNPACED: 8}
"""Frames that may wait for the engine's answer, in a stream without a pace of its own."""
QUEUED_FRAMES: Final = 200
QUEUED_BYTES: Final = 256 * 2**20
LINGER_MS: Final = 500
"""Longest time for the last frames and the stream's end to leave, even if a subscriber has stopped reading."""

_log: Final = logging.getLogger("cinegate.source")


@dataclass(slots=True)
class PumpStatistics:
    """What was published, and how the stream ended."""

    frames: int = 0
    subscriber_stalls: int = 0
    """How often a subscriber's queue was full. That subscriber misses frames and sees gaps in their sequence."""
    messages_refused: int = 0
    why: str = ""
    faulty: bool = False


@dataclass(slots=True)
class Pump:
    """One source and its socket. `publish` runs it; a benchmark may drive several in turns."""

    source: CineSource
    session_id: str
    simulated_by: str
    clock: Clock
    offset: OffsetEstimator
    moment: ImageMoment = field(default_factory=ImageMoment)
    statistics: PumpStatistics = field(default_factory=PumpStatistics)
    publisher_id: str = field(default_factory=lambda: secrets.token_hex(4))
    context: zmq.Context[zmq.Socket[bytes]] | None = None
    frames: Socket = field(init=False)
    gate: Socket | None = None
    info: StreamInfo = field(init=False)
    dating: FrameDating = field(init=False)
    subscriptions: int = 0
    answered_sequence: int = -1
    session_ended: bool = False
    state: str = "waiting"
    info_due_ns: int = 0
    heartbeat_due_ns: int = 0

    def open(self, endpoint: str, gate_endpoint: str | None) -> None:
        """Open the source and bind its endpoint. Raises `Unavailable`."""
        self.info = msgspec.structs.replace(self.source.open(), session_id=self.session_id)
        try:
            msgspec.convert(as_dict(self.info), StreamInfo)
        except msgspec.ValidationError as error:
            raise Unavailable(f"{self.info.source}: its description of the stream is out of bounds: {error}") from None
        if self.info.pacing in UNANSWERED_FRAMES and gate_endpoint is None:
            raise Unavailable(
                f"{self.info.source}: pacing {self.info.pacing} waits for the engine; gate_endpoint is None"
            )
        self.dating = FrameDating(self.info, self.offset, self.moment, self._report)
        self.context = zmq.Context()
        frame_bytes = self.info.shape[0] * self.info.shape[1] * np.dtype(self.info.dtype).itemsize
        queue = max(8, min(QUEUED_FRAMES, QUEUED_BYTES // frame_bytes))
        try:
            self.frames = bind(self.context, zmq.XPUB, endpoint, queue=queue)
            if gate_endpoint is not None:
                self.gate = subscribe(self.context, gate_endpoint, max_bytes=MAX_HEADER_BYTES)
        except (zmq.ZMQError, OSError) as error:
            raise Unavailable(f"frames endpoint {endpoint} or gate endpoint {gate_endpoint}: {error}") from None
        _log.info("session %s: %s (%s, %s)", self.session_id, self.info.source, self.info.source_kind,
                  self.info.description)  # fmt: skip
        _log.info("frames go to %s", endpoint)
        self.frames.set(zmq.LINGER, LINGER_MS)
        self.frames.set(zmq.XPUB_VERBOSER, 1)
        self.frames.set(zmq.XPUB_NODROP, 1)

    def apply_host_settings(self, settings: HostSettings) -> None:
        """Request priority and locked memory; report what had no effect."""
        for sentence in prepare_process(settings, message_threads=message_threads()):
            self._report("warning", "host", sentence)

    def run(self, subscribers: int, stop: Callable[[], bool]) -> None:
        """Wait for the subscribers, then publish every frame. The end is announced, whatever its reason."""
        try:
            while self.info.frame_count is not None and self.subscriptions < subscribers:
                if stop() or self.session_ended:
                    self.end("stopped before the first frame")
                    return
                self.frames.poll(POLL_MS)
                self.serve_subscribers()
            self.state = "streaming"
            self._pump(stop)
        except EndOfStream:
            self.end("the recording ended")
        except SourceFault as error:
            self._fault("source_fault", str(error))
        except Exception as error:  # published, so that the engine holds at once, then raised again
            self._fault("internal_error", f"{type(error).__name__}: {error}")
            raise

    def _pump(self, stop: Callable[[], bool]) -> None:
        pixels = np.zeros(self.info.shape, self.info.dtype)
        most_unanswered = UNANSWERED_FRAMES.get(self.info.pacing)
        while not (stop() or self.session_ended):
            self.serve_subscribers()
            if most_unanswered is not None and self.statistics.frames - 1 - self.answered_sequence >= most_unanswered:
                self.read_answers(POLL_MS)
                continue
            stamp = self.source.read_into(pixels, POLL_MS)
            if stamp is not None:
                self.send_frame(pixels, stamp)
            self._forward_notices()
        self.end("the session has ended" if self.session_ended else "stopped")

    def send_frame(self, pixels: NDArray[Any], stamp: FrameStamp) -> FrameHeader:
        """Publish one frame now; return its header."""
        self._follow_origin(stamp)
        digest = content_hash(pixels)
        published_ns = self.clock.now_ns()
        acquired_ns, uncertainty_ns, moment_uncertainty_ns = self.dating.acquired(stamp, published_ns)
        header = FrameHeader(
            session_id=self.session_id,
            source=self.info.source,
            publisher_id=self.publisher_id,
            source_kind=self.info.source_kind,
            pacing=self.info.pacing,
            speed=self.info.speed,
            sequence=self.statistics.frames,
            plane=stamp.plane,
            acquired_ns=stamp.acquired_ns,
            acquired_clock=self.info.acquired_clock,
            acquired_meaning=stamp.meaning,
            acquired_on_publish_clock_ns=acquired_ns,
            acquired_uncertainty_ns=uncertainty_ns,
            moment_uncertainty_ns=moment_uncertainty_ns,
            published_ns=published_ns,
            publish_clock=self.clock.name,
            dtype=self.info.dtype,
            shape=self.info.shape,
            pixel_spacing_mm=self.info.pixel_spacing_mm,
            image_orientation=stamp.image_orientation or self.info.image_orientation,
            image_position_mm=stamp.image_position_mm or self.info.image_position_mm,
            content_hash=digest,
            simulated_by=self.simulated_by,
        )
        self._send(encode_frame(CineFrame(header, pixels)))
        self.statistics.frames += 1
        return header

    def _follow_origin(self, stamp: FrameStamp) -> None:
        """Become another publisher when frames come from another peer or series, so that no armed engine goes on.

        The clock of another peer is another clock, whatever its name.
        """
        before = self.info
        peer = before.peer if stamp.peer is None else stamp.peer
        series = before.series if stamp.series is None else stamp.series
        if (peer, series) == (before.peer, before.series):
            return
        self.info = msgspec.structs.replace(before, peer=peer, series=series)
        self.publisher_id = secrets.token_hex(4)
        if peer != before.peer:
            self.dating.forget_clock()
        text = f"frames came from {before.origin}, and now come from {self.info.origin}"
        self._report("fault", "origin_changed", text)
        self._send(encode(self.info))

    def _forward_notices(self) -> None:
        """Report refused frames at once, so that the engine holds without waiting for the stream to go stale."""
        if isinstance(self.source, ReportingSource):
            for sentence in self.source.take_notices():
                self._report("fault", "refused", sentence)

    def serve_subscribers(self) -> None:
        """Register new subscribers, and repeat the stream's description and the heartbeat when they are due."""
        now_ns = self.clock.now_ns()
        while is_waiting(self.frames):
            request = self.frames.recv()
            if b"frame".startswith(request[1:]):
                came = request[:1] == b"\x01"
                self.subscriptions += 1 if came else -1
                _log.info("a subscriber %s, %d in all", "came" if came else "left", self.subscriptions)
                self.info_due_ns = now_ns
                self._warn()
        if now_ns >= self.info_due_ns:
            self._send(encode(self.info))
            self.info_due_ns = now_ns + INFO_EVERY_NS
        if now_ns >= self.heartbeat_due_ns:
            self._send(encode(self._heartbeat(now_ns)))
            self.heartbeat_due_ns = now_ns + HEARTBEAT_EVERY_NS
            self._look_for_end()

    def _warn(self) -> None:
        """Tell every new subscriber what to know of the stream as a whole."""
        if self.info.acquired_meaning is StampMeaning.ARRIVAL:
            self._report("warning", ARRIVAL_TIME, f"{self.info.source}: {ARRIVAL_TIME_MEANS}")
        if self.dating.warning:
            self._report("warning", "moment_uncertain", self.dating.warning)
        for sentence in self.source.warnings if isinstance(self.source, WarningSource) else ():
            self._report("warning", "source_warning", f"{self.info.source}: {sentence}")

    def _heartbeat(self, now_ns: int) -> Heartbeat:
        own = self.source.counters if isinstance(self.source, CountingSource) else {}
        return Heartbeat(
            session_id=self.session_id,
            role="source",
            process_id=os.getpid(),
            state=self.state,
            sent_ns=now_ns,
            counters={
                "frames_published": self.statistics.frames,
                "subscribers": self.subscriptions,
                "subscriber_stalls": self.statistics.subscriber_stalls,
                "messages_refused": self.statistics.messages_refused,
                **own,
            },
        )

    def read_answers(self, timeout_ms: int) -> None:
        """Read the engine's commands; each names the newest frame that the engine has decided."""
        assert self.gate is not None
        if not self.gate.poll(timeout_ms):
            return
        while (parts := receive(self.gate)) is not None:
            self.session_ended |= ends_session(parts, self.session_id)
            try:
                command = decode(parts)
            except WireError:
                self.statistics.messages_refused += 1
                continue
            if isinstance(command, GateCommand) and command.session_id == self.session_id:
                self.answered_sequence = max(self.answered_sequence, command.frame_sequence)

    def _look_for_end(self) -> None:
        """Read the commands since the last heartbeat, where nobody waits for them, for the last one of the session."""
        if self.gate is not None and self.info.pacing not in UNANSWERED_FRAMES:
            while (parts := receive(self.gate)) is not None:
                self.session_ended |= ends_session(parts, self.session_id)

    def _send(self, parts: Sequence[Part]) -> None:
        """Send without waiting. A full queue must not keep the frame from the other subscribers."""
        try:
            send(self.frames, parts)
        except zmq.Again:
            self.statistics.subscriber_stalls += 1
            self.frames.set(zmq.XPUB_NODROP, 0)
            send(self.frames, parts)
            self.frames.set(zmq.XPUB_NODROP, 1)

    def _fault(self, code: str, text: str) -> None:
        self.statistics.faulty = True
        self._report("fault", code, text)
        self.end(text)

    def _report(self, severity: Literal["warning", "fault"], code: str, text: str) -> None:
        event = Event(
            session_id=self.session_id,
            role="source",
            severity=severity,
            code=code,
            text=text[:400],
            at_ns=self.clock.now_ns(),
        )
        self._send(encode(event))
        _log.warning("%s", text, extra={"code": code})

    def end(self, why: str) -> None:
        """Announce the end of the stream, and why it ended."""
        self.statistics.why, self.state = why[:400], "ended"
        end = StreamEnd(
            session_id=self.session_id,
            source=self.info.source,
            frames_published=self.statistics.frames,
            why=self.statistics.why,
        )
        self._send(encode(self._heartbeat(self.clock.now_ns())))
        self._send(encode(end))
        _log.info("%d frames published; %s", self.statistics.frames, self.statistics.why)

    def close(self) -> None:
        """Close the source; queued messages still leave."""
        self.source.close()
        if self.context is not None:
            self.context.destroy(linger=None)
