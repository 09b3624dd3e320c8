"""The beam interface, a small process of its own: gate commands in, one line driven, the confirmed beam state out."""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

import zmq

from drivers.beam.line import Line
from drivers.beam.watchdog import BeamReason, LeaseWatchdog, Permission
from drivers.ports import BeamSwitch
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import BeamStatus, Event, GateCommand, GateState, Heartbeat, Message
from gating.service.real_time import prepare_process
from gating.settings.config import Config, require_overrides
from gating.wire.codec import WireError, decode, encode
from gating.wire.session_end import is_last
from gating.wire.sockets import ReconnectingSubscriber, bind, message_threads, receive, send, stop_on_signals

STATUS_NS: Final = 20_000_000
"""Longest interval between two statuses; the engine holds after five missing ones."""
HEARTBEAT_NS: Final = 1_000_000_000
LONGEST_WAIT_MS: Final = 20
UNSETTLED_WAIT_MS: Final = 1
MAX_COMMAND_BYTES: Final = 16 * 1024
MAX_GATE_BYTES: Final = 1024 * 1024
"""A larger message makes the socket drop the peer; one between the two limits is refused and counted."""
BATCH: Final = 64
STOP_LINGER_MS: Final = 200

_log: Final = logging.getLogger("cinegate.beam")

_REFUSALS: Final = frozenset(BeamReason) - {
    BeamReason.STARTING,
    BeamReason.COMMANDED_ON,
    BeamReason.COMMANDED_HOLD,
    BeamReason.STOPPING,
}


class BeamInterface:
    """Read gate commands, ask the watchdog, drive the line, and publish the state that it confirms.

    Parameters
    ----------
    config
        Endpoints, and the longest lease.
    session_id
        The only session whose commands count.
    switch
        Switch of the line. It is closed, and so held, whatever happens.
    name
        Name of this beam interface, in every status.
    allow_simulated_source
        Let commands derived from a replay or a phantom switch a hardware beam.
    clock
        The interface's own clock; leases count on it.
    interface_id
        What every beam-on must repeat; drawn at random unless given.

    Raises
    ------
    ConfigError
        If a setting disarms a safeguard without an override.
    """

    def __init__(
        self,
        config: Config,
        session_id: str,
        switch: BeamSwitch,
        *,
        name: str = "beam",
        allow_simulated_source: bool = False,
        clock: Clock | None = None,
        interface_id: str = "",
    ) -> None:
        self._config = require_overrides(config)
        self._session_id = session_id
        self._switch = switch
        self._name = name
        self._clock = clock or MonotonicClock()
        self._allow_simulated = allow_simulated_source or switch.kind == "simulated"
        self._explicitly_allowed = allow_simulated_source and switch.kind == "hardware"
        self._interface_id = interface_id or secrets.token_hex(8)
        self._watchdog = LeaseWatchdog(
            session_id,
            max_lease_ms=config.safety.lease_ms,
            allow_simulated=self._allow_simulated,
            interface_id=self._interface_id,
        )
        self._line = Line(switch)
        self._published: tuple[Permission, GateState] | None = None
        self._told: tuple[str, ...] = ()
        self._command: GateCommand | None = None
        self._command_received_ns = 0
        self._status_sequence = 0
        self._status_due_ns = 0
        self._heartbeat_due_ns = 0
        self._counters: Counter[str] = Counter(commands=0, refused=0, lapses=0)
        self._publisher: zmq.Socket[bytes]

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` returns true or the session has ended. The line is held before this returns or raises.

        Raises
        ------
        Unavailable
            If the switch cannot be opened.
        zmq.ZMQError
            If an endpoint cannot be used.
        """
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._publisher = bind(context, zmq.PUB, self._config.endpoints.beam)
            gate = ReconnectingSubscriber(context, self._config.endpoints.gate, max_bytes=MAX_GATE_BYTES)
            _log.info("session %s: hears commands at %s, reports at %s", self._session_id,
                      self._config.endpoints.gate, self._config.endpoints.beam)  # fmt: skip
            self._switch.open()
            _log.info("beam line %s (%s) is open, and held", self._name, self._switch.kind)
            try:
                self._serve(gate, stop)
            finally:
                self._stop()
        finally:
            context.destroy(linger=STOP_LINGER_MS)

    def _serve(self, gate: ReconnectingSubscriber, stop: Callable[[], bool]) -> None:
        for sentence in prepare_process(self._config.host, watchdog=True, message_threads=message_threads()):
            self._report("warning", "host", sentence)
        if self._explicitly_allowed:
            self._report("warning", BeamReason.SIMULATED_SOURCE, "simulated sources may switch this hardware beam")
        while not (stop() or (self._command is not None and is_last(self._command))):
            if gate.wait(self._wait_ms()):
                self._drain(gate)
            gate.reopen_if_silent(self._clock.now_ns())
            self._watchdog.note_awake(self._clock.now_ns())
            self._apply()
            if self._clock.now_ns() >= self._heartbeat_due_ns:
                self._send_heartbeat()

    def _wait_ms(self) -> int:
        """Return how long to wait. The last millisecond of a lease is polled, so that the lease ends on time."""
        now_ns = self._clock.now_ns()
        wait_ns = max(0, self._status_due_ns - now_ns)
        wait_ms = min(LONGEST_WAIT_MS, -(-wait_ns // 1_000_000))
        if self._line.settling():
            wait_ms = min(wait_ms, UNSETTLED_WAIT_MS)
        deadline_ns = self._watchdog.deadline_ns
        if deadline_ns is not None:
            wait_ms = min(wait_ms, max(0, deadline_ns - now_ns) // 1_000_000)
        return wait_ms

    def _drain(self, gate: ReconnectingSubscriber) -> None:
        for _ in range(BATCH):
            parts = receive(gate.socket)
            if parts is None:
                return
            received_ns = gate.last_message_ns = self._clock.now_ns()
            self._watchdog.note_awake(received_ns)
            try:
                command = _command(parts)
            except WireError as error:
                self._counters["refused"] += 1
                self._watchdog.refuse(str(error), received_ns)
                self._apply()
                continue
            accepted = self._watchdog.receive(command, received_ns)
            self._counters["commands" if accepted else "refused"] += 1
            if accepted:
                if self._command is None or command.engine_id != self._command.engine_id:
                    _log.info("obeys engine %s", command.engine_id)
                self._command, self._command_received_ns = command, received_ns
            self._apply(announces=accepted and not command.renewal)

    def _apply(self, *, announces: bool = False) -> None:
        """Drive the line to what the watchdog permits now, read it back, and publish its state.

        After the line was driven to on, the permission is read again: this process may have stood still in between.
        """
        permission = self._permission()
        try:
            self._line.drive(permission.state, self._clock)
            if permission.state is GateState.ON:
                permission = self._permission()
                self._line.drive(permission.state, self._clock)
            contradiction = self._line.compare(self._clock.now_ns())
            if contradiction:
                self._watchdog.latch(BeamReason.READ_BACK_MISMATCH, contradiction)
                self._line.drive(GateState.HOLD, self._clock)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the beam is held and stays held
            self._watchdog.latch(BeamReason.SWITCH_FAULT, f"{type(error).__name__}: {error}"[:300])
            self._try_to_hold()
        if self._watchdog.latched:
            permission = self._watchdog.permission(self._clock.now_ns())
        self._publish_status(permission, announces=announces)

    def _permission(self) -> Permission:
        """Return what is permitted now, to a process that may have stood still, or slept, since it asked last."""
        now_ns = self._clock.now_ns()
        self._watchdog.note_awake(now_ns)
        return self._watchdog.permission(now_ns)

    def _try_to_hold(self) -> None:
        try:
            self._line.drive(GateState.HOLD, self._clock)
        except Exception:  # noqa: BLE001 - tried again on the next turn; the fault is latched and published
            self._counters["failed_holds"] += 1

    def _publish_status(self, permission: Permission, *, announces: bool = False) -> None:
        """Publish a status if something has changed, a frame was announced, or one is due."""
        now_ns = self._clock.now_ns()
        now, published = (permission, self._line.confirmed), self._published
        if now != published:
            before = published[0].reason if published else None
            if permission.reason in _REFUSALS and permission.reason is not before:
                self._counters["lapses"] += permission.reason is BeamReason.LEASE_EXPIRED
                severity: Literal["warning", "fault"] = "fault" if self._watchdog.latched else "warning"
                self._report(severity, permission.reason, f"beam held: {permission.detail}")
        elif not announces and now_ns < self._status_due_ns:
            return
        self._published = now
        command = self._command
        self._send(
            BeamStatus(
                session_id=self._session_id,
                beam=self._name,
                beam_kind=self._switch.kind,
                status_sequence=self._status_sequence,
                commanded=permission.state,
                confirmed=self._line.confirmed,
                reason=permission.reason.value,
                detail=permission.detail,
                engine_id=command.engine_id if command else "",
                command_sequence=command.command_sequence if command else -1,
                frame_sequence=command.frame_sequence if command else -1,
                renewal=not announces,
                command_sent_ns=command.stamps.sent_ns if command else 0,
                command_received_ns=self._command_received_ns,
                applied_ns=self._line.applied_ns,
                sent_ns=now_ns,
                clock=self._clock.name,
                latched=self._watchdog.latched,
                interface_id=self._interface_id,
            )
        )
        self._status_sequence += 1
        self._status_due_ns = now_ns + STATUS_NS
        if now != published:
            self._tell(permission, command.reason if command else "")

    def _tell(self, permission: Permission, commanded: str) -> None:
        """Say what the line does now: a change of it or of a reason to all, another detail to who wants to know."""
        state = (permission.state, self._line.confirmed, permission.reason, commanded)
        level, self._told = logging.DEBUG if state == self._told else logging.INFO, state
        _log.log(level, "beam commanded %s, line confirms %s: %s %s", permission.state, self._line.confirmed,
                 permission.reason, permission.detail)  # fmt: skip

    def _stop(self) -> None:
        try:
            self._watchdog.latch(BeamReason.STOPPING, "the beam interface stops")
            self._apply()
            self._send_heartbeat()
        finally:
            self._switch.close()

    def _send_heartbeat(self) -> None:
        now_ns = self._clock.now_ns()
        self._heartbeat_due_ns = now_ns + HEARTBEAT_NS
        state = "latched" if self._watchdog.latched else "serving"
        self._send(
            Heartbeat(
                session_id=self._session_id,
                role="beam",
                process_id=os.getpid(),
                state=state,
                sent_ns=now_ns,
                counters=dict(self._counters),
            )
        )

    def _report(self, severity: Literal["warning", "fault"], code: str, sentence: str) -> None:
        now_ns = self._clock.now_ns()
        self._send(
            Event(
                session_id=self._session_id,
                role="beam",
                severity=severity,
                code=str(code),
                text=sentence[:400],
                at_ns=now_ns,
            )
        )
        _log.warning("%s", sentence, extra={"code": str(code)})

    def _send(self, message: Message) -> None:
        send(self._publisher, encode(message))


def run_beam(
    config: Config,
    session_id: str,
    switch: BeamSwitch,
    *,
    name: str = "beam",
    allow_simulated_source: bool = False,
    clock: Clock | None = None,
    interface_id: str = "",
    stop: Callable[[], bool] | None = None,
) -> None:
    """Serve one beam line until SIGTERM, SIGINT or `stop` ends it. The line is held first, whatever ends it.

    Raises
    ------
    Unavailable
        If the switch cannot be opened.
    zmq.ZMQError
        If an endpoint cannot be used.
    """
    interface = BeamInterface(
        config,
        session_id,
        switch,
        name=name,
        allow_simulated_source=allow_simulated_source,
        clock=clock,
        interface_id=interface_id,
    )
    signalled = stop_on_signals()
    interface.run(lambda: signalled() or (stop is not None and stop()))


def _command(parts: list[bytes]) -> GateCommand:
    size = sum(map(len, parts))
    if size > MAX_COMMAND_BYTES:
        raise WireError(f"message on the gate is {size} bytes; the limit is {MAX_COMMAND_BYTES}")
    message = decode(parts)
    if not isinstance(message, GateCommand):
        raise WireError(f"message on the gate is a {type(message).__name__}; a GateCommand is needed")
    return message
