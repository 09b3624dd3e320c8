"""The recorder process: everything that crosses the wire into one session log, never in anyone's way.

It only listens, so a slow disk can hold up nothing but itself; its heartbeat says whether it keeps up, and an engine
that requires a recording holds the beam when it does not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq

from gating.clocks.clock import MonotonicClock
from gating.messages import TOPICS, CineFrame, Event, FrameHeader, Heartbeat, Message, StreamEnd
from gating.service.real_time import become
from gating.session.log_writer import SessionWriter, session_log_name
from gating.settings.config import Config
from gating.wire.codec import WireError, decode, encode
from gating.wire.sockets import ReconnectingSubscriber, bind, receive, send, stop_on_signals

HEARTBEAT_NS: Final = 100_000_000
BATCH: Final = 256
QUEUE_MESSAGES: Final = 2000
LATE_NS: Final = 250_000_000
"""A frame that waited longer than this before it was read shows that the recorder does not keep up."""
BEHIND_NS: Final = 1_000_000_000
"""The recorder says so for this long after the last sign of it."""
REMEMBERED_GAP: Final = 1000
"""Of so many missing frames a late one still counts as found."""
POLL_MS: Final = 20
DRAIN_MS: Final = 50
STOP_LINGER_MS: Final = 200

_FRAME: Final = TOPICS[FrameHeader]
_END: Final = TOPICS[StreamEnd]
_TOPICS: Final = frozenset(TOPICS.values())


class Recorder:
    """Write what four sockets hear to one log; say every 100 ms how that goes.

    Parameters
    ----------
    config
        Endpoints.
    session_id
        Goes into the log's metadata and every heartbeat.
    path
        The log, or a folder, in which it is named after the session and its start.
    end_after_ms
        Stop by itself so long after the stream's end; None: only when asked to.
    """

    def __init__(self, config: Config, session_id: str, path: Path, *, end_after_ms: float | None = None) -> None:
        self._config = config
        self._session_id = session_id
        self._clock = MonotonicClock()
        log = path if path.suffix == ".mcap" else path / session_log_name(session_id)
        self._writer = SessionWriter(log, session_id, self._clock.name)
        self._end_after_ns = None if end_after_ms is None else round(end_after_ms * 1e6)
        self._ends_ns: int | None = None
        self._failure = ""
        self._messages = self._frames = self._frames_lost = self._refused = 0
        self._next_sequence: dict[str, int] = {}
        self._missing: set[int] = set()
        self._refused_since_frame = 0
        self._behind_until_ns = 0
        self._behind = False
        self._heartbeat_due_ns = 0

    @property
    def path(self) -> Path:
        """The log."""
        return self._writer.path

    def run(self, stop: Callable[[], bool]) -> None:
        """Record until `stop` says so or the stream has ended; then drain, and close the log.

        Raises
        ------
        zmq.ZMQError
            If an endpoint cannot be used. A disk that refuses raises nothing: the heartbeat says so.
        PermissionError
            If `host.run_as` names a user that this process cannot become.
        """
        context: zmq.Context[Any] = zmq.Context()
        try:
            self._publisher = bind(context, zmq.PUB, self._config.endpoints.recorder)
            if self._config.host.run_as:
                become(self._config.host.run_as)
            self._guard(self._writer.open)
            endpoints = self._config.endpoints
            heard = (endpoints.frames, endpoints.gate, endpoints.telemetry, endpoints.beam)
            self._sockets = [ReconnectingSubscriber(context, endpoint, queue=QUEUE_MESSAGES) for endpoint in heard]
            try:
                self._serve(stop)
            finally:
                self._close()
        finally:
            context.destroy(linger=STOP_LINGER_MS)

    def _serve(self, stop: Callable[[], bool]) -> None:
        while not (stop() or self._is_over()):
            poller = zmq.Poller()
            for ear in self._sockets:
                poller.register(ear.socket, zmq.POLLIN)
            poller.poll(POLL_MS)
            self._drain()
            for ear in self._sockets:
                ear.reopen_if_silent(self._clock.now_ns())
            self._guard(self._writer.flush_if_due)
            self._beat()

    def _is_over(self) -> bool:
        return self._ends_ns is not None and self._clock.now_ns() >= self._ends_ns

    def _drain(self) -> bool:
        """Take what waits, a bounded batch from each socket; return whether anything did."""
        taken = 0
        for ear in self._sockets:
            of_this = self._drain_one(ear)
            taken += of_this
            if of_this == BATCH:
                self._fell_behind()
        return taken > 0

    def _drain_one(self, ear: ReconnectingSubscriber) -> int:
        for count in range(BATCH):
            parts = receive(ear.socket)
            if parts is None:
                return count
            received_ns = ear.last_message_ns = self._clock.now_ns()
            self._messages += 1
            self._guard(self._writer.write, parts, received_ns)
            self._look_at(parts, received_ns)
        return BATCH

    def _look_at(self, parts: list[bytes], received_ns: int) -> None:
        """Count frames and gaps, but for what is in the log as refused; everything else is written unread."""
        if parts[0] not in (_FRAME, _END):
            self._refused_since_frame += parts[0] not in _TOPICS
            return
        try:
            message = decode(parts)
        except WireError:
            self._refused += 1
            self._refused_since_frame += 1
            return
        if isinstance(message, CineFrame):
            self._count(message.header, received_ns)
        elif self._end_after_ns is not None:
            self._ends_ns = received_ns + self._end_after_ns

    def _count(self, header: FrameHeader, received_ns: int) -> None:
        self._frames += 1
        expected = self._next_sequence.get(header.publisher_id)
        if expected is None:
            expected = header.sequence
            self._missing.clear()
        if header.sequence in self._missing:
            self._missing.discard(header.sequence)
            self._frames_lost = max(0, self._frames_lost - 1)
        self._frames_lost += max(0, header.sequence - expected - self._refused_since_frame)
        self._refused_since_frame = 0
        self._missing.update(range(max(expected, header.sequence - REMEMBERED_GAP), header.sequence))
        self._next_sequence = {header.publisher_id: max(expected, header.sequence + 1)}
        if header.publish_clock == self._clock.name and received_ns - header.published_ns > LATE_NS:
            self._fell_behind()

    def _fell_behind(self) -> None:
        self._behind_until_ns = self._clock.now_ns() + BEHIND_NS

    def _guard(self, action: Callable[..., None], *arguments: object) -> None:
        """Do something with the disk; the first refusal ends the recording, never the recorder."""
        if self._failure:
            return
        try:
            action(*arguments)
        except OSError as error:
            self._failure = f"session log {self.path.name} cannot be written: {error.strerror or error}"[:300]
            self._writer.abandon()
            self._report("fault", "recording_failed", self._failure)
            self._heartbeat_due_ns = 0

    def _beat(self) -> None:
        now_ns = self._clock.now_ns()
        behind = now_ns < self._behind_until_ns
        if behind and not self._behind:
            self._report("warning", "recorder_behind", "the recorder does not keep up with the wire")
        self._behind = behind
        if now_ns < self._heartbeat_due_ns:
            return
        self._heartbeat_due_ns = now_ns + HEARTBEAT_NS
        counters = {
            "messages": self._messages,
            "bytes": self._writer.bytes_written,
            "frames": self._frames,
            "frames_lost": self._frames_lost,
            "refused": self._refused,
            "behind": int(behind),
        }
        self._send(
            Heartbeat(
                session_id=self._session_id,
                role="recorder",
                process_id=os.getpid(),
                state="failed" if self._failure else "recording",
                detail=self._failure,
                sent_ns=now_ns,
                counters=counters,
            )
        )

    def _report(self, severity: Any, code: str, sentence: str) -> None:
        at_ns = self._clock.now_ns()
        event = Event(
            session_id=self._session_id, role="recorder", severity=severity, code=code, text=sentence, at_ns=at_ns
        )
        self._send(event)
        self._guard(self._writer.write, encode(event), at_ns)

    def _send(self, message: Message) -> None:
        send(self._publisher, encode(message))

    def _close(self) -> None:
        """Take what is still on its way, then close the log, so that the last words of the others are in it."""
        deadline_ns = self._clock.now_ns() + DRAIN_MS * 1_000_000
        while self._clock.now_ns() < deadline_ns:
            if not self._drain():
                time.sleep(0.005)
        self._guard(self._writer.close)


def run_recorder(
    config: Config,
    session_id: str,
    path: Path,
    *,
    end_after_ms: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Record one session until SIGTERM, SIGINT, `stop` or the stream's end, see `Recorder`; return the log's path.

    Raises
    ------
    zmq.ZMQError
        If an endpoint cannot be used.
    """
    recorder = Recorder(config, session_id, path, end_after_ms=end_after_ms)
    signalled = stop_on_signals()
    recorder.run(lambda: signalled() or (stop is not None and stop()))
    return recorder.path
