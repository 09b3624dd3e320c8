"""The engine's sockets: take the newest frame, step, publish the command, then the telemetry."""

from __future__ import annotations

import gc
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import zmq
from msgspec.structs import replace

from gating.clocks.clock import MonotonicClock
from gating.clocks.remap import ClockMap
from gating.clocks.suspension import SuspensionWatch
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.engine.header import session_header
from gating.latency.budgets import load_budgets
from gating.messages import (
    BeamStatus,
    CineFrame,
    ControlRequest,
    EngineState,
    Event,
    Heartbeat,
    StreamEnd,
    StreamInfo,
    TargetReference,
)
from gating.service.arrivals import Arrival, skip_older_frames
from gating.service.cache_warming import CacheWarmer
from gating.service.publishing import EnginePublisher
from gating.service.real_time import prepare_process
from gating.service.telling import EngineTeller
from gating.service.workers import Workers
from gating.settings.config import Config, require_overrides
from gating.targets.spec import TargetSpec
from gating.tracking.checked_tracker import TrackerFault
from gating.tracking.registry import make_tracker
from gating.wire.codec import WireError, decode, encode
from gating.wire.sockets import (
    ReconnectingSubscriber,
    Socket,
    bind,
    is_waiting,
    message_threads,
    receive,
    send,
    subscribe,
)

HEARTBEAT_NS: Final = 100_000_000
MAX_DRAIN: Final = 256
"""Most messages taken in one turn, so that a flood of frames cannot keep the loop from renewing or ending the lease."""
MAX_REQUESTS: Final = 2
"""Most requests of operators answered in one turn: a flood of them must not keep the loop from frames and leases."""
SILENCE_NS: Final = 1_200_000_000
"""A beam interface takes an engine that commands it within a second of another one for a second engine."""
RECORDER_POLL_MS: Final = 5
_NEVER: Final = 2**63


class EngineService:
    """The engine process: one loop, four kinds of sockets, and a second thread for nothing but targets.

    Each site of a session is treated by an engine of its own, which knows nothing of the one before: it holds, finds
    its targets, and is confirmed and armed anew.

    Parameters
    ----------
    config, session_id
        Settings and identifier of the session.
    targets
        Targets of the session, or of its first site.
    sites, site
        Targets of every site, by its name, and the name of the first one; empty for a session without sites.
    arm_by_itself
        Arm without an operator. Meant for recordings and phantoms, never for a live stream.
    end_with_stream
        Leave the loop when the source ends its stream.
    suspensions
        Tells when the host was suspended; this host's by default.

    Raises
    ------
    ConfigError
        If a setting disarms a safeguard without an override.
    """

    def __init__(
        self,
        config: Config,
        targets: Sequence[TargetSpec],
        session_id: str,
        *,
        sites: Mapping[str, Sequence[TargetSpec]] | None = None,
        site: str = "",
        arm_by_itself: bool = False,
        end_with_stream: bool = False,
        suspensions: SuspensionWatch | None = None,
    ) -> None:
        self._config = require_overrides(config)
        self._session_id = session_id
        self._sites = sites or {}
        self._end_with_stream = end_with_stream
        self._clock, self._suspensions = MonotonicClock(), suspensions or SuspensionWatch()
        self._workers = Workers()
        self._ended, self._ends_because = False, GateReason.STOPPING
        self._heartbeat_due_ns = 0
        self._renew_ns = round(config.safety.renew_ms * 1e6)
        self._teller = EngineTeller()
        self._publisher = EnginePublisher(self._clock, self._teller)
        self._begin(targets, site, arm_by_itself=arm_by_itself)

    def _begin(self, targets: Sequence[TargetSpec], site: str, *, arm_by_itself: bool = False) -> None:
        """Make a new engine."""
        config = self._config
        self._site, self._next_site = site, ""
        self._clock_map = ClockMap(self._clock.name, config.clocks)
        self._engine_id = uuid.uuid4().hex[:12]
        self._engine = Engine(
            config,
            targets,
            lambda: make_tracker(config.tracker, config.tracking),
            self._clock,
            self._session_id,
            self._engine_id,
            arm_by_itself=arm_by_itself,
            budget=load_budgets().decision,
            site=site,
            together=self._workers,
        )
        self._header = session_header(config, self._session_id, self._engine_id, self._clock.name, site=site)
        self._warmer = CacheWarmer(self._engine, self._clock, config.host.rehearse_before_ms)

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop()`, checked in each turn of the loop, is true; then hold and return.

        Raises
        ------
        zmq.ZMQError
            If an endpoint cannot be bound.
        """
        context: zmq.Context[Socket] = zmq.Context()
        endpoints = self._config.endpoints
        try:
            self._publisher.open(context, endpoints)
            self._peers = subscribe(context, endpoints.beam, endpoints.recorder)
            self._teller.opened(self._session_id, endpoints)
            self._publisher.publish(self._engine.tick())
            self._warm_up()
            self._control = bind(context, zmq.ROUTER, endpoints.control, queue=16)
            self._teller.serves(endpoints.control)
            self._workers.open()
            refused = prepare_process(
                self._config.host,
                gating_loop=True,
                message_threads=message_threads(),
                helper_threads=self._workers.helper_threads,
            )
            self._publisher.send_telemetry(map(self._host_warning, refused))
            gc.disable()
            self._wait_for_recorder(stop)
            self._frames = ReconnectingSubscriber(context, endpoints.frames)
            self._loop(stop)
            while self._next_site and not stop():
                self._frames.socket.close()
                self._change_site(stop)
                self._wait_for_recorder(stop)
                self._frames = ReconnectingSubscriber(context, endpoints.frames)
                self._loop(stop)
            self._publisher.send_command(self._engine.stop(self._ends_because))
            self._publisher.send_telemetry([self._heartbeat()])
        finally:
            self._workers.close()
            gc.enable()
            gc.unfreeze()
            context.destroy(linger=200)

    def _warm_up(self) -> None:
        """Warm up the engine. A tracker that fails has latched it, and the process lives on to say so."""
        try:
            self._engine.warm_up()
        except TrackerFault:
            self._publisher.publish(self._engine.tick())

    def _change_site(self, stop: Callable[[], bool]) -> None:
        """Hold for good, and begin with the next site once the beam interface takes a new engine for a successor."""
        self._publisher.send_command(self._engine.stop())
        self._publisher.send_telemetry([self._heartbeat()])
        self._begin(self._sites[self._next_site], self._next_site)
        self._publisher.send_telemetry([self._header])
        until_ns = self._publisher.sent_ns + SILENCE_NS
        while self._clock.now_ns() < until_ns and not stop():
            self._receive_peers()
            time.sleep(0.01)
        self._publisher.publish(self._engine.tick())
        self._warm_up()

    def _wait_for_recorder(self, stop: Callable[[], bool]) -> None:
        """Ask for no frame before a required recorder hears them all: the log must have each that was decided on."""
        while not (self._engine.is_recorded or self._is_over(stop)):
            self._peers.poll(RECORDER_POLL_MS)
            self._serve_others_in_time()

    def _loop(self, stop: Callable[[], bool]) -> None:
        while not self._is_over(stop):
            wait_ns = min(self._due_ns(), self._warmer.due_ns or _NEVER) - self._clock.now_ns()
            came = self._frames.wait(max(0, math.floor(wait_ns / 1e6)))
            self._look_for_suspension()
            if came:
                self._guarded(self._process_frames)
            renewed = self._serve_others_in_time()
            now_ns = self._clock.now_ns()
            self._frames.reopen_if_silent(now_ns)
            if not (came or renewed) and self._warmer.is_due(now_ns):
                self._guarded(self._warm_caches)

    def _look_for_suspension(self) -> None:
        """Latch if the host was suspended: ages of frames and of commands do not count that time."""
        asleep_ns = self._suspensions.new_ns()
        if asleep_ns:
            text = f"this host was suspended for {asleep_ns / 1e6:.0f} ms, which no age counts"
            self._publisher.publish(self._engine.latch_internal_error(text))

    def _is_over(self, stop: Callable[[], bool]) -> bool:
        return stop() or bool(self._next_site) or (self._ended and self._end_with_stream)

    def _serve_others_in_time(self) -> bool:
        """Serve the other processes, and send what is due. Return whether the last command was renewed."""
        self._guarded(self._serve_others)
        now_ns = self._clock.now_ns()
        due = now_ns >= self._due_ns()
        if due:
            self._publisher.publish(self._engine.tick())
        if now_ns >= self._heartbeat_due_ns:
            self._heartbeat_due_ns = now_ns + HEARTBEAT_NS
            self._publisher.send_telemetry([self._heartbeat()])
            self._teller.look_around(now_ns)
        return due

    def _warm_caches(self) -> None:
        self._warmer.warm(lambda: is_waiting(self._frames.socket))

    def _due_ns(self) -> int:
        """Return when the next command is due: to renew the last one, or because its frame becomes too old."""
        renewal_ns, stale_ns = self._publisher.sent_ns + self._renew_ns - 1_000_000, self._engine.stale_at_ns
        return renewal_ns if stale_ns is None else min(renewal_ns, stale_ns)

    def _serve_others(self) -> None:
        """Process messages of beam interface, recorder and operators, for which the loop does not wait."""
        self._receive_peers()
        self._answer_operators()
        self._greet_subscribers()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do some work. Any exception latches the engine and is reported, and the process continues."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the one place where anything at all becomes a hold
            self._publisher.publish(
                self._engine.latch_internal_error(f"{type(error).__name__} inside the engine: {error}")
            )

    def _process_frames(self) -> None:
        """Process all waiting messages, but only the newest of the frames."""
        for arrival in skip_older_frames(self._arrivals(), self._engine.skip):
            self._handle(*arrival)

    def _arrivals(self) -> Iterator[Arrival]:
        """Yield the messages that wait on the frames' socket.

        Only one message per turn if the source waits for replies, and before arming: the beam is held anyway, and at
        high rates learning the reference takes longer than a frame interval.
        """
        for _ in range(MAX_DRAIN):
            parts = receive(self._frames.socket)
            if parts is None:
                return
            received_ns = self._frames.last_message_ns = self._teller.heard_ns["source"] = self._clock.now_ns()
            yield Arrival(parts, received_ns)
            if not self._engine.is_timed or self._engine.state is not EngineState.ARMED:
                return

    def _handle(self, parts: list[bytes], received_ns: int) -> None:
        try:
            message = decode(parts)
        except WireError as error:
            self._publisher.publish(self._engine.refuse(str(error)))
            return
        if isinstance(message, CineFrame):
            frame = self._clock_map.frame(message, received_ns)
            outcome = self._engine.step(frame, received_ns)
            self._publisher.send_command(outcome.command)
            finished = self._engine.finish_frame()
            if any(isinstance(one, TargetReference) for one in finished):
                self._publisher.send_images(self._engine.images)
            self._publisher.send_telemetry(finished)
            self._publisher.send_telemetry(outcome.messages)
            self._warmer.expect(parts, frame, received_ns)
        elif isinstance(message, StreamInfo):
            self._publisher.send_telemetry(self._engine.open_stream(message))
        elif isinstance(message, StreamEnd):
            self._publisher.publish(self._engine.close_stream(message))
            self._ended |= message.session_id == self._session_id
        elif isinstance(message, Event) and message.severity == "fault":
            self._publisher.publish(self._engine.refuse(f"from the source: {message.text}"))

    def _receive_peers(self) -> None:
        for _ in range(MAX_DRAIN):
            parts = receive(self._peers)
            if parts is None:
                return
            try:
                message = decode(parts)
            except WireError as error:
                self._publisher.publish(self._engine.refuse(f"from beam interface or recorder: {error}"))
                continue
            if isinstance(message, BeamStatus):
                self._publisher.send_telemetry(self._engine.observe_beam(message))
            elif isinstance(message, Heartbeat) and message.role == "recorder":
                self._publisher.send_telemetry(self._engine.observe_recorder(message))
            else:
                continue
            if message.session_id == self._session_id:
                self._teller.heard(message, self._clock.now_ns())

    def _answer_operators(self) -> None:
        for _ in range(MAX_REQUESTS):
            parts = receive(self._control)
            if parts is None:
                return
            peer, *body = parts
            try:
                request = decode(body)
            except WireError as error:
                self._publisher.publish(self._engine.refuse(f"control: {error}"))
                continue
            if isinstance(request, ControlRequest):
                reply, events = self._engine.control(request)
                if reply.accepted and request.action == "status":
                    status = self._teller.status(self._engine.counters, self._clock.now_ns())
                    reply = replace(reply, status=status)
                send(self._control, [peer, *encode(reply)])
                if reply.accepted and request.action != "status":
                    self._publisher.publish(self._engine.tick())
                self._publisher.send_telemetry(events)
                if reply.accepted and request.action == "stop":
                    self._ended = self._end_with_stream = True
                    self._ends_because = GateReason.SESSION_ENDED
                elif reply.accepted and request.action == "site":
                    self._next_site = request.site

    def _greet_subscribers(self) -> None:
        """Send the session header, the references and their images again for each new subscriber of the telemetry."""
        while self._publisher.take_subscriber():
            self._publisher.send_telemetry([self._header])
            self._publisher.send_images(self._engine.images)
            self._publisher.send_telemetry(self._engine.references)

    def _host_warning(self, sentence: str) -> Event:
        return Event(
            session_id=self._session_id,
            role="engine",
            severity="warning",
            code="host",
            text=sentence,
            at_ns=self._clock.now_ns(),
        )

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            session_id=self._session_id,
            role="engine",
            process_id=os.getpid(),
            state=self._engine.state,
            sent_ns=self._clock.now_ns(),
            counters=self._engine.counters,
        )
