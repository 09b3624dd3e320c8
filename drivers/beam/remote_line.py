"""The process at a remote beam line. It drives a local switch under the lease of one `ZeromqSwitch`."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

import zmq

from drivers.beam.watchdog import QUIET_NS, highest_possible
from drivers.beam.zeromq_switch import BEGIN, HOLD, MAGIC, MAX_MESSAGE_BYTES, MESSAGE, RENEW
from drivers.errors import Unavailable
from drivers.ports import BeamSwitch
from gating.clocks.clock import Clock, MonotonicClock
from gating.clocks.suspension import SuspensionWatch
from gating.messages import GateState
from gating.wire.security import check_obeyed
from gating.wire.sockets import Socket, bind, receive, send

LEASE_NS: Final = 100_000_000
STOOD_STILL_NS: Final = 50_000_000
REPORT_EVERY_NS: Final = 1_000_000_000

_log: Final = logging.getLogger("cinegate.line")


class RemoteLease:
    """Fold orders into a lease: the state that the line may have now. Pure; time is an argument.

    An order that cannot be trusted (a second peer, an old or impossible number, garbage) ends the lease at once. A peer
    without a good order for a second is forgotten. The next one to order becomes the peer, with a new token, so that
    nothing sent before can bring the beam on. So a damaged number holds the line for a second at most.
    """

    def __init__(self) -> None:
        self._peer: tuple[bytes, int, int] | None = None
        """The peer that orders, its newest number, and when that arrived."""
        self._ends_ns: int | None = None
        self.token = secrets.randbits(63)
        """An order must carry it to permit the beam."""
        self.refused = 0
        self.refusal = ""
        """The newest refusal, as a sentence."""

    def state(self, now_ns: int) -> GateState:
        """Return the state that the line may have at `now_ns`. A lease that has expired ends here."""
        if self._ends_ns is None or not now_ns < self._ends_ns:
            self._ends_ns = None
            return GateState.HOLD
        return GateState.ON

    def peer(self, now_ns: int) -> bytes | None:
        """Return who orders now; None once nobody has for a second."""
        return None if self._peer is None or not now_ns - self._peer[2] < QUIET_NS else self._peer[0]

    def draw_token(self) -> None:
        """Hold, and draw a new token, so that no order sent before now permits the beam."""
        self._ends_ns, self.token = None, secrets.randbits(63)

    def receive(self, peer: bytes, order: bytes, now_ns: int) -> bool:
        """Take an order; return whether it was accepted. Acceptance is not yet permission."""
        if self._peer is not None and not now_ns - self._peer[2] < QUIET_NS:
            self._peer = None
            self.draw_token()
        violation = self._violation(peer, order, now_ns)
        if violation:
            self.refuse(violation)
            return False
        _, wanted, token, sequence = MESSAGE.unpack(order)
        running = self.state(now_ns) is GateState.ON
        self._peer = (peer, sequence, now_ns)
        on = token == self.token and (wanted == BEGIN or (wanted == RENEW and running))
        self._ends_ns = now_ns + LEASE_NS if on else None
        return True

    def refuse(self, sentence: str) -> None:
        """Hold because of an order that cannot be trusted."""
        self._ends_ns, self.refused, self.refusal = None, self.refused + 1, sentence

    def _violation(self, peer: bytes, order: bytes, now_ns: int) -> str:
        if len(order) != MESSAGE.size or order[:4] != MAGIC:
            return (
                f"order has {len(order)} bytes and begins with {order[:4]!r}; {MESSAGE.size} and {MAGIC!r} are needed"
            )
        _, wanted, _, sequence = MESSAGE.unpack(order)
        if wanted not in (HOLD, RENEW, BEGIN):
            return f"order is {wanted}; {HOLD} to {BEGIN} are known"
        if self._peer is None:
            return ""
        known, newest, received_ns = self._peer
        if peer != known:
            return "a second peer orders beside the first"
        if not sequence > newest:
            return f"order {sequence} came after {newest}"
        possible = highest_possible(newest, now_ns - received_ns)
        if not sequence <= possible:
            return f"order {sequence} came after {newest}; it cannot be above {possible}, so it is damaged"
        return ""


class RemoteLine:
    """Serve one `ZeromqSwitch` at a time.

    Parameters
    ----------
    switch
        The local line.
    endpoint
        Endpoint to bind. Without keys, only `ipc://` in a private folder is accepted.
    clock
        Clock of the lease, which counts from receipt.
    suspensions
        Tells when the host was suspended; this host's by default.
    """

    def __init__(
        self,
        switch: BeamSwitch,
        endpoint: str,
        *,
        clock: Clock | None = None,
        suspensions: SuspensionWatch | None = None,
    ) -> None:
        self._switch, self._endpoint, self._clock = switch, endpoint, clock or MonotonicClock()
        self._lease, self._suspensions = RemoteLease(), suspensions or SuspensionWatch()
        self._peer: bytes | None = None
        self._driven = GateState.HOLD
        self._reported, self._reported_ns = 0, -REPORT_EVERY_NS

    @property
    def refused(self) -> int:
        """Number of orders refused."""
        return self._lease.refused

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` returns true. The line is held before this returns or raises.

        Raises
        ------
        Unavailable
            If the switch cannot be opened, or the endpoint cannot be bound or would be open to others.
        """
        try:
            check_obeyed(self._endpoint, "remote line")
        except PermissionError as error:
            raise Unavailable(str(error)) from None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            try:
                socket = bind(context, zmq.ROUTER, self._endpoint, max_bytes=MAX_MESSAGE_BYTES, channel="line")
            except (zmq.ZMQError, OSError) as error:
                raise Unavailable(f"remote line {self._endpoint}: {error}") from None
            self._switch.open()
            _log.info("takes orders at %s; the line (%s) is open, and held", self._endpoint, self._switch.kind)
            try:
                self._serve(socket, stop)
            finally:
                self._switch.close()
        finally:
            context.destroy(linger=0)

    def _serve(self, socket: Socket, stop: Callable[[], bool]) -> None:
        awake_ns = self._clock.now_ns()
        while not stop():
            socket.poll(5)
            now_ns = self._clock.now_ns()
            if now_ns - awake_ns > STOOD_STILL_NS or self._suspensions.new_ns():
                self._lease.draw_token()
                self._apply()
            awake_ns = now_ns
            while (parts := receive(socket)) is not None:
                self._lease.receive(parts[0], parts[1] if len(parts) == 2 else b"", self._clock.now_ns())
                self._apply()
                self._answer(socket, parts)
            self._apply()
            self._report_peer(now_ns)
            self._report_refusals(now_ns)

    def _apply(self) -> None:
        state = self._lease.state(self._clock.now_ns())
        if state is not self._driven:
            self._switch.set_beam(state)
            self._driven = state
            _log.info("line %s", state)
            if state is GateState.ON and self._lease.state(self._clock.now_ns()) is not GateState.ON:
                self._apply()

    def _answer(self, socket: Socket, parts: list[bytes]) -> None:
        confirmed = self._switch.read_back() is GateState.ON
        order = parts[1] if len(parts) == 2 and len(parts[1]) == MESSAGE.size else bytes(MESSAGE.size)
        *_, sequence = MESSAGE.unpack(order)
        answer = MESSAGE.pack(MAGIC, int(confirmed), self._lease.token, sequence)
        try:
            send(socket, [parts[0], answer])
        except zmq.ZMQError as error:
            self._lease.refuse(f"the peer takes no answer: {error}")

    def _report_peer(self, now_ns: int) -> None:
        peer = self._lease.peer(now_ns)
        if peer != self._peer:
            _log.info("a peer orders" if peer is not None else "the peer has sent no good order for a second")
            self._peer = peer

    def _report_refusals(self, now_ns: int) -> None:
        if self.refused > self._reported and now_ns - self._reported_ns >= REPORT_EVERY_NS:
            _log.warning("%s; %d refused so far, line held", self._lease.refusal, self.refused)
            self._reported, self._reported_ns = self.refused, now_ns
