"""The recorder process: writes everything that crosses the wire to one session log.

It only listens, so a slow disk delays no other process. Its heartbeat says whether it keeps up. If it does not, an
engine that requires a recording holds the beam.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import zmq

from gating.clocks.clock import MonotonicClock
from gating.decision.reasons import GateReason
from gating.messages import TOPICS, CineFrame, Event, FrameHeader, Heartbeat, Message, StreamEnd
from gating.service.frame_tally import FrameTally
from gating.service.position_listener import PositionListener
from gating.service.presence import Presence
from gating.service.real_time import become
from gating.session.log import SessionError
from gating.session.log_writer import SessionWriter, session_log_name
from gating.session.signing import load_signer
from gating.settings.config import Config
from gating.wire.codec import WireError, decode, encode
from gating.wire.session_end import ends_session
from gating.wire.sockets import ReconnectingSubscriber, bind, receive, send, stop_on_signals

HEARTBEAT_NS: Final = 100_000_000
BATCH: Final = 256
QUEUE_MESSAGES: Final = 2000
LATE_NS: Final = 250_000_000
"""If a frame waits longer than this before it is read, the recorder does not keep up."""
BEHIND_NS: Final = 1_000_000_000
"""How long the recorder reports after the last late frame that it does not keep up."""
REOPEN_NS: Final = 1_500_000_000
"""Sooner than the engine, or else the log would lack what the engine hears between."""
ANNOUNCE_NS: Final = 1_000_000_000
POLL_MS: Final = 20
DRAIN_MS: Final = 50
LAST_WORDS_NS: Final = 500_000_000
"""After the last command of a session, the other processes have so long for what they still say."""
STOP_LINGER_MS: Final = 200

_PEERS: Final = ("source", "engine", "", "beam interface")
"""Which peer is heard on each channel; the engine's telemetry tells nothing new of it."""
NEEDED_CHANNELS: Final = frozenset({0, 1, 2})
"""Frames, commands and telemetry: without any of them, decisions cannot be repeated from the log."""
_log: Final = logging.getLogger("cinegate.record")

_FRAME: Final = TOPICS[FrameHeader]
_END: Final = TOPICS[StreamEnd]
_TOPICS: Final = frozenset(TOPICS.values())


class Recorder:
    """Writes the messages of four sockets, and positions, to one log, and reports its progress every 100 ms.

    Parameters
    ----------
    config
        Endpoints.
    session_id
        Written to the log's metadata and to every heartbeat.
    path
        The log, or its folder; the log is then named after the session and its start.
    end_after_ms
        Stop this long after the end of the stream; None: only on request.

    Raises
    ------
    SigningKeyProblem
        If the folder of the keys holds a key to sign logs with that cannot be used.
    """

    def __init__(self, config: Config, session_id: str, path: Path, *, end_after_ms: float | None = None) -> None:
        self._config = config
        self._session_id = session_id
        self._clock = MonotonicClock()
        log = path if path.suffix == ".mcap" else path / session_log_name(session_id)
        keys = config.security.keys
        signer = load_signer(Path(keys).expanduser()) if keys else None
        self._writer = SessionWriter(log, session_id, self._clock.name, signer=signer)
        self._end_after_ns = None if end_after_ms is None else round(end_after_ms * 1e6)
        self._ends_ns: int | None = None
        self._failure = ""
        self._messages = self._refused = 0
        self._tally = FrameTally()
        self._behind_until_ns = 0
        self._behind = False
        self._heartbeat_due_ns = 0
        self._presence = Presence(*filter(None, _PEERS))
        self._unheard = set(NEEDED_CHANNELS)

    @property
    def path(self) -> Path:
        """Path of the log."""
        return self._writer.path

    def run(self, stop: Callable[[], bool]) -> None:
        """Record until `stop` returns True or the session has ended; then receive what remains, and close the log.

        A disk that refuses later, or a log that is removed or changed by others, raises nothing; the heartbeat
        reports it.

        Raises
        ------
        SessionError
            If the log cannot be created, for example because the file exists. A running engine is told first.
        zmq.ZMQError
            If an endpoint cannot be used.
        PermissionError
            If this process cannot become the user `host.run_as`.
        """
        context: zmq.Context[Any] = zmq.Context()
        try:
            self._publisher = bind(context, zmq.PUB, self._config.endpoints.recorder)
            if self._config.host.run_as:
                become(self._config.host.run_as)
            self._guard(self._writer.open)
            if self._failure:
                self._announce_failure()
                raise SessionError(self._failure)
            endpoints = self._config.endpoints
            channels = (endpoints.frames, endpoints.gate, endpoints.telemetry, endpoints.beam)
            self._subscribers = [ReconnectingSubscriber(context, channel, queue=QUEUE_MESSAGES) for channel in channels]
            self._position_listener = PositionListener(context, endpoints.positions)
            _log.info("session %s: writes %s, hears %s", self._session_id, self.path, ", ".join(channels))
            try:
                self._serve(stop)
            finally:
                self._close()
        finally:
            context.destroy(linger=STOP_LINGER_MS)

    def _serve(self, stop: Callable[[], bool]) -> None:
        while not (stop() or self._is_over()):
            poller = zmq.Poller()
            for subscriber in self._subscribers:
                poller.register(subscriber.socket, zmq.POLLIN)
            poller.poll(POLL_MS)
            self._drain()
            for subscriber in self._subscribers:
                subscriber.reopen_if_silent(self._clock.now_ns(), REOPEN_NS)
            self._guard(self._writer.flush_if_due)
            self._report_progress()

    def _is_over(self) -> bool:
        return self._ends_ns is not None and self._clock.now_ns() >= self._ends_ns

    def _drain(self) -> bool:
        """Record waiting messages, a bounded batch from each socket. Return whether there were any."""
        recorded = 0
        for channel, (subscriber, peer) in enumerate(zip(self._subscribers, _PEERS, strict=True)):
            count = self._drain_one(subscriber)
            recorded += count
            if count and channel in self._unheard:
                self._unheard.discard(channel)
                self._heartbeat_due_ns = 0  # the engine waits for this
            if count and peer:
                self._presence.heard_ns[peer] = subscriber.last_message_ns
            if count == BATCH:
                self._fell_behind()
        now_ns = self._clock.now_ns()
        for parts in self._position_listener.positions(now_ns):
            self._messages += 1
            self._guard(self._writer.write, parts, now_ns)
        return recorded > 0

    def _drain_one(self, subscriber: ReconnectingSubscriber) -> int:
        for count in range(BATCH):
            parts = receive(subscriber.socket)
            if parts is None:
                return count
            received_ns = subscriber.last_message_ns = self._clock.now_ns()
            self._messages += 1
            self._guard(self._writer.write, parts, received_ns)
            self._examine(parts, received_ns)
        return BATCH

    def _examine(self, parts: list[bytes], received_ns: int) -> None:
        """Count frames and gaps, without those that the log holds as refused; notice the end of the session."""
        if parts[0] not in (_FRAME, _END):
            if parts[0] not in _TOPICS:
                self._tally.refuse()
            if self._ends_ns is None and ends_session(parts, self._session_id):
                self._ends_ns = received_ns + LAST_WORDS_NS
            return
        try:
            message = decode(parts)
        except WireError:
            self._refused += 1
            self._tally.refuse()
            return
        if isinstance(message, CineFrame):
            self._tally.count(message.header)
            self._look_for_delay(message.header, received_ns)
        elif self._end_after_ns is not None:
            self._ends_ns = received_ns + self._end_after_ns

    def _look_for_delay(self, header: FrameHeader, received_ns: int) -> None:
        if header.publish_clock == self._clock.name and received_ns - header.published_ns > LATE_NS:
            self._fell_behind()

    def _fell_behind(self) -> None:
        self._behind_until_ns = self._clock.now_ns() + BEHIND_NS

    def _guard(self, action: Callable[..., None], *arguments: object) -> None:
        """Do something with the disk. Its first refusal ends the recording, but not the recorder."""
        if self._failure:
            return
        try:
            action(*arguments)
        except OSError as error:
            self._failure = f"session log {self.path.name} cannot be written: {error.strerror or error}"[:300]
            self._writer.abandon()
            self._report("fault", "recording_failed", self._failure)
            self._heartbeat_due_ns = 0

    def _announce_failure(self) -> None:
        """Report the failure for as long as a running engine may need to connect to this recorder."""
        deadline_ns = self._clock.now_ns() + ANNOUNCE_NS
        while self._clock.now_ns() < deadline_ns:
            self._report_progress()
            time.sleep(POLL_MS / 1e3)

    def _report_progress(self) -> None:
        now_ns = self._clock.now_ns()
        behind = now_ns < self._behind_until_ns
        if behind and not self._behind:
            self._report("warning", GateReason.RECORDER_BEHIND, "the recorder does not keep up with the wire")
        self._behind = behind
        if now_ns < self._heartbeat_due_ns:
            return
        self._heartbeat_due_ns = now_ns + HEARTBEAT_NS
        for sentence in self._presence.changes(now_ns):
            _log.info("%s", sentence)
        counters = {
            "messages": self._messages,
            "bytes": self._writer.bytes_written,
            "frames": self._tally.frames,
            "frames_lost": self._tally.lost,
            "refused": self._refused,
            "behind": int(behind),
            "unheard_channels": len(self._unheard),
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

    def _report(self, severity: Literal["warning", "fault"], code: str, sentence: str) -> None:
        at_ns = self._clock.now_ns()
        _log.warning("%s", sentence, extra={"code": str(code)})
        event = Event(
            session_id=self._session_id, role="recorder", severity=severity, code=code, text=sentence, at_ns=at_ns
        )
        self._send(event)
        self._guard(self._writer.write, encode(event), at_ns)

    def _send(self, message: Message) -> None:
        send(self._publisher, encode(message))

    def _close(self) -> None:
        """Record what is still on its way, so that the log has the last messages of the others, and close the log."""
        deadline_ns = self._clock.now_ns() + DRAIN_MS * 1_000_000
        while self._clock.now_ns() < deadline_ns:
            if not self._drain():
                time.sleep(0.005)
        self._guard(self._writer.close)
        _log.info("%s holds %d messages, %d of them frames; %d frames are missing", self.path.name, self._messages,
                  self._tally.frames, self._tally.lost)  # fmt: skip


def run_recorder(
    config: Config,
    session_id: str,
    path: Path,
    *,
    end_after_ms: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Record one session until SIGTERM, SIGINT or `stop`, and return the path of the log.

    Parameters
    ----------
    config, session_id, path, end_after_ms
        As for `Recorder`.
    stop
        Called often; the recording ends when it returns True.

    Raises
    ------
    SessionError
        If the log cannot be created.
    SigningKeyProblem
        If the key to sign logs with cannot be used.
    zmq.ZMQError
        If an endpoint cannot be used.
    PermissionError
        If this process cannot become the user `host.run_as`.
    """
    recorder = Recorder(config, session_id, path, end_after_ms=end_after_ms)
    signalled = stop_on_signals()
    recorder.run(lambda: signalled() or (stop is not None and stop()))
    return recorder.path
