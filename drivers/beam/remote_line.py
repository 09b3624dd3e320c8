"""The process at a remote beam line: drives any local switch under the lease of one `ZeromqSwitch`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import zmq

from drivers.beam.watchdog import QUIET_NS, highest_possible
from drivers.beam.zeromq_switch import BEGIN, HOLD, MAGIC, MAX_MESSAGE_BYTES, MESSAGE, RENEW
from drivers.errors import Unavailable
from drivers.ports import BeamSwitch
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import GateState
from gating.wire.sockets import Socket, bind, receive, send

LEASE_NS: Final = 100_000_000
STOOD_STILL_NS: Final = 50_000_000
SAY_EVERY_NS: Final = 1_000_000_000


class RemoteLease:
    """Fold orders into a lease: which state the line may have now. Pure; time is an argument.

    Whatever cannot be trusted (a second peer, an old or impossible number, garbage) ends the lease at once. A peer that
    has given no good order for a second is forgotten: whoever orders next is taken as the peer, with a new token, so
    that nothing that was sent before can bring the beam on. So no damaged number holds the line for longer than that.
    """

    def __init__(self) -> None:
        self._master: tuple[bytes, int, int] | None = None
        """Who orders, its newest number, and when that came."""
        self._ends_ns: int | None = None
        self.token = secrets.randbits(63)
        """What an order has to carry to permit beam."""
        self.refused = 0
        self.refusal = ""
        """What was refused last, and why."""

    def state(self, now_ns: int) -> GateState:
        """Return what the line may be at `now_ns`; a lease that is over ends here."""
        if self._ends_ns is None or not now_ns < self._ends_ns:
            self._ends_ns = None
            return GateState.HOLD
        return GateState.ON

    def stood_still(self) -> None:
        """Hold, and believe nothing that was sent before now."""
        self._ends_ns, self.token = None, secrets.randbits(63)

    def obey(self, peer: bytes, order: bytes, now_ns: int) -> bool:
        """Take what a peer sent; return whether it was accepted, which is not yet a permission."""
        if self._master is not None and not now_ns - self._master[2] < QUIET_NS:
            self._master = None
            self.stood_still()
        offence = self._offence(peer, order, now_ns)
        if offence:
            self.refuse(offence)
            return False
        _, wanted, token, sequence = MESSAGE.unpack(order)
        running = self.state(now_ns) is GateState.ON
        self._master = (peer, sequence, now_ns)
        on = token == self.token and (wanted == BEGIN or (wanted == RENEW and running))
        self._ends_ns = now_ns + LEASE_NS if on else None
        return True

    def refuse(self, sentence: str) -> None:
        """Hold because of something that cannot be trusted."""
        self._ends_ns, self.refused, self.refusal = None, self.refused + 1, sentence

    def _offence(self, peer: bytes, order: bytes, now_ns: int) -> str:
        if len(order) != MESSAGE.size or order[:4] != MAGIC:
            return f"an order of {len(order)} bytes that begins with {order[:4]!r}; {MESSAGE.size} and {MAGIC!r} are it"
        _, wanted, _, sequence = MESSAGE.unpack(order)
        if wanted not in (HOLD, RENEW, BEGIN):
            return f"order is {wanted}; {HOLD} to {BEGIN} are known"
        if self._master is None:
            return ""
        master, newest, heard_ns = self._master
        if peer != master:
            return "a second peer orders beside the first"
        if not sequence > newest:
            return f"order {sequence} came after {newest}"
        possible = highest_possible(newest, now_ns - heard_ns)
        if not sequence <= possible:
            return f"order {sequence} came after {newest}; it cannot be above {possible}, so it is damaged"
        return ""


class RemoteLine:
    """Serves one `ZeromqSwitch` at a time.

    Parameters
    ----------
    switch
        The line.
    endpoint
        To bind; beyond this host only where `gating.wire.sockets.secure` allows an open network.
    clock
        Of the lease, counted from receipt.
    say
        Takes a sentence about what was refused, one a second at most.
    """

    def __init__(
        self,
        switch: BeamSwitch,
        endpoint: str,
        *,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._switch, self._endpoint, self._clock, self._say = switch, endpoint, clock or MonotonicClock(), say
        self._lease = RemoteLease()
        self._driven = GateState.HOLD
        self._said, self._said_ns = 0, -SAY_EVERY_NS

    @property
    def refused(self) -> int:
        """How many orders were refused."""
        return self._lease.refused

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` says so; the line is held before this returns or raises.

        Raises
        ------
        Unavailable
            If the switch cannot be opened, or the endpoint cannot be bound.
        """
        context: zmq.Context[Any] = zmq.Context()
        try:
            try:
                socket = bind(context, zmq.ROUTER, self._endpoint, max_bytes=MAX_MESSAGE_BYTES)
            except (zmq.ZMQError, OSError) as error:
                raise Unavailable(f"remote line {self._endpoint}: {error}") from None
            self._switch.open()
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
            if now_ns - awake_ns > STOOD_STILL_NS:
                self._lease.stood_still()
                self._apply()
            awake_ns = now_ns
            while (parts := receive(socket)) is not None:
                self._lease.obey(parts[0], parts[1] if len(parts) == 2 else b"", self._clock.now_ns())
                self._apply()
                self._answer(socket, parts)
            self._apply()
            self._tell_refusals(now_ns)

    def _apply(self) -> None:
        state = self._lease.state(self._clock.now_ns())
        if state is not self._driven:
            self._switch.set_beam(state)
            self._driven = state

    def _answer(self, socket: Socket, parts: list[bytes]) -> None:
        confirmed = self._switch.read_back() is GateState.ON
        asked = parts[1] if len(parts) == 2 and len(parts[1]) == MESSAGE.size else bytes(MESSAGE.size)
        *_, sequence = MESSAGE.unpack(asked)
        answer = MESSAGE.pack(MAGIC, int(confirmed), self._lease.token, sequence)
        try:
            send(socket, [parts[0], answer])
        except zmq.ZMQError as error:
            self._lease.refuse(f"the peer takes no answer: {error}")

    def _tell_refusals(self, now_ns: int) -> None:
        if self.refused > self._said and now_ns - self._said_ns >= SAY_EVERY_NS:
            self._say(f"remote line {self._endpoint}: {self._lease.refusal}; {self.refused} refused so far, line held")
            self._said, self._said_ns = self.refused, now_ns
