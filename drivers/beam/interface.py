"""The beam interface: gate commands in, one line driven, the confirmed beam state out. Its own small process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import zmq

from drivers.beam.watchdog import BeamReason, LeaseWatchdog, Permission
from drivers.ports import BeamSwitch
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import BeamStatus, Event, GateCommand, GateState, Heartbeat, Message
from gating.service.real_time import prepare_process
from gating.settings.config import Config
from gating.wire.codec import WireError, decode, encode
from gating.wire.sockets import ReconnectingSubscriber, bind, message_threads, receive, send, stop_on_signals

STATUS_NS: Final = 20_000_000
"""A status at least this often; the engine holds after five missing ones."""
HEARTBEAT_NS: Final = 1_000_000_000
LONGEST_WAIT_MS: Final = 20
UNSETTLED_WAIT_MS: Final = 1
MAX_COMMAND_BYTES: Final = 16 * 1024
MAX_GATE_BYTES: Final = 1024 * 1024
"""Beyond this the socket drops the peer; between the two limits a message is refused and counted."""
BATCH: Final = 64
STOP_LINGER_MS: Final = 200

_REFUSALS: Final = frozenset(BeamReason) - {
    BeamReason.STARTING,
    BeamReason.COMMANDED_ON,
    BeamReason.COMMANDED_HOLD,
    BeamReason.STOPPING,
}


class Line:
    """One switch, driven to what is permitted and compared with what it reads back."""

    def __init__(self, switch: BeamSwitch) -> None:
        self._switch = switch
        self._driven: GateState | None = None
        self._settled_by_ns = 0
        self.confirmed = GateState.HOLD
        self.applied_ns = 0

    def settling(self) -> bool:
        """Whether the line was driven and has not confirmed it yet."""
        return self._driven is not None and self._driven is not self.confirmed

    def drive(self, state: GateState, clock: Clock) -> None:
        """Drive the line if it is not there yet. Raises whatever the switch raises, with the level then unknown."""
        if state is self._driven:
            return
        self._driven = None
        self._switch.set_beam(state)
        self._driven = state
        self.applied_ns = clock.now_ns()
        self._settled_by_ns = self.applied_ns + round(self._switch.settle_ms * 1e6)

    def compare(self, now_ns: int) -> str:
        """Read the line back; return a sentence if it contradicts what it was driven to for too long, else ''."""
        self.confirmed = self._switch.read_back()
        if self._driven is None or self.confirmed is self._driven or now_ns < self._settled_by_ns:
            return ""
        return (
            f"line was driven to {self._driven} and reads back {self.confirmed} after {self._switch.settle_ms:.0f} ms"
        )


class BeamInterface:
    """Subscribe to the gate, ask the watchdog, drive the line, publish what it confirms.

    Parameters
    ----------
    config
        Endpoints and the longest lease.
    session_id
        The only session whose commands count.
    switch
        The line; closed, and so held, whatever happens.
    name
        Of this beam interface, in every status.
    allow_simulated_source
        Let commands that derive from a replay or a phantom switch a hardware beam.
    clock
        The interface's own; leases are counted on it.
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
    ) -> None:
        self._config = config
        self._session_id = session_id
        self._switch = switch
        self._name = name
        self._clock = clock or MonotonicClock()
        self._allow_simulated = allow_simulated_source or switch.kind == "simulated"
        self._explicitly_allowed = allow_simulated_source and switch.kind == "hardware"
        self._watchdog = LeaseWatchdog(
            session_id, max_lease_ms=config.safety.lease_ms, allow_simulated=self._allow_simulated
        )
        self._line = Line(switch)
        self._shown: tuple[Permission, GateState] | None = None
        self._command: GateCommand | None = None
        self._command_received_ns = 0
        self._status_sequence = 0
        self._status_due_ns = 0
        self._heartbeat_due_ns = 0
        self._counters: Counter[str] = Counter(commands=0, refused=0, lapses=0)
        self._publisher: zmq.Socket[bytes]

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` says so; the line is held before this returns or raises.

        Raises
        ------
        Unavailable
            If the switch cannot be opened.
        zmq.ZMQError
            If an endpoint cannot be used.
        """
        context: zmq.Context[Any] = zmq.Context()
        try:
            self._publisher = bind(context, zmq.PUB, self._config.endpoints.beam)
            gate = ReconnectingSubscriber(context, self._config.endpoints.gate, max_bytes=MAX_GATE_BYTES)
            self._switch.open()
            try:
                self._serve(gate, stop)
            finally:
                self._stop()
        finally:
            context.destroy(linger=STOP_LINGER_MS)

    def _serve(self, gate: ReconnectingSubscriber, stop: Callable[[], bool]) -> None:
        for said in prepare_process(self._config.host, watchdog=True, message_threads=message_threads()):
            self._report("warning", "host", said)
        if self._explicitly_allowed:
            self._report("warning", BeamReason.SIMULATED_SOURCE, "simulated sources may switch this hardware beam")
        while not stop():
            if gate.wait(self._wait_ms()):
                self._drain(gate)
            gate.reopen_if_silent(self._clock.now_ns())
            self._watchdog.attend(self._clock.now_ns())
            self._apply()
            if self._clock.now_ns() >= self._heartbeat_due_ns:
                self._send_heartbeat()

    def _wait_ms(self) -> int:
        """Wait no longer than the lease lasts; its last millisecond is polled, so that it ends on time."""
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
            self._watchdog.attend(received_ns)
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
                self._command, self._command_received_ns = command, received_ns
            self._apply(announces=accepted and not command.renewal)

    def _apply(self, *, announces: bool = False) -> None:
        """Drive the line to what the watchdog permits now, compare, and show it.

        What is permitted is read once: a lease that ended between two readings would be shown as held and not driven.
        """
        permission = self._watchdog.permission(self._clock.now_ns())
        try:
            self._line.drive(permission.state, self._clock)
            contradiction = self._line.compare(self._clock.now_ns())
            if contradiction:
                self._watchdog.latch(BeamReason.READ_BACK_MISMATCH, contradiction)
                self._line.drive(GateState.HOLD, self._clock)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the beam is held and stays held
            self._watchdog.latch(BeamReason.SWITCH_FAULT, f"{type(error).__name__}: {error}"[:300])
            self._hold_anyway()
        if self._watchdog.latched:
            permission = self._watchdog.permission(self._clock.now_ns())
        self._show(permission, announces=announces)

    def _hold_anyway(self) -> None:
        try:
            self._line.drive(GateState.HOLD, self._clock)
        except Exception:  # noqa: BLE001 - tried again on the next turn; the fault is latched and published
            self._counters["failed_holds"] += 1

    def _show(self, permission: Permission, *, announces: bool = False) -> None:
        """Publish a status where something changed, a frame was announced, or it is time."""
        now_ns = self._clock.now_ns()
        shown = (permission, self._line.confirmed)
        if shown != self._shown:
            before = self._shown[0].reason if self._shown else None
            if permission.reason in _REFUSALS and permission.reason is not before:
                self._counters["lapses"] += permission.reason is BeamReason.LEASE_EXPIRED
                severity = "fault" if self._watchdog.latched else "warning"
                self._report(severity, permission.reason, f"beam held: {permission.detail}")
        elif not announces and now_ns < self._status_due_ns:
            return
        self._shown = shown
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
            )
        )
        self._status_sequence += 1
        self._status_due_ns = now_ns + STATUS_NS

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

    def _report(self, severity: Any, code: str, sentence: str) -> None:
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
    stop: Callable[[], bool] | None = None,
) -> None:
    """Serve one beam line until SIGTERM, SIGINT or `stop` says so; the line is held first, whatever ends this.

    Raises
    ------
    Unavailable
        If the switch cannot be opened.
    zmq.ZMQError
        If an endpoint cannot be used.
    """
    interface = BeamInterface(
        config, session_id, switch, name=name, allow_simulated_source=allow_simulated_source, clock=clock
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
