"""A beam line on another host: the switch here renews a lease, and a small process there drives the line under it.

Messages are 24 bytes, little-endian: `cgl2`, the order (u32: 0 hold, 1 renew, 2 begin), a token (u64), a sequence
number (u64). The answer has the confirmed state in the order's place, the token that the line takes now, and the
order's own number: it is as old as the order that it answers, however late it is read. Only `begin` starts a lease,
`renew` prolongs one that runs. The line draws a new token when it starts and whenever it stood still, and obeys no
order with another one: what was sent before cannot know it. So nothing old ever brings the beam on, or confirms that it
is.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import zmq
from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from drivers.ports import BeamSwitch
from gating.clock import Clock, MonotonicClock
from gating.messages import GateState
from gating.sockets import Socket, receive

HOLD, RENEW, BEGIN = range(3)
LEASE_NS: Final = 100_000_000
QUIET_NS: Final = 1_000_000_000
STOOD_STILL_NS: Final = 50_000_000
MAX_UNANSWERED: Final = 256
FIRST_ANSWER_MS: Final = 1000
_MESSAGE: Final = struct.Struct("<4sIQQ")
_MAGIC: Final = b"cgl2"


class ZeromqSwitchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the remote line is."""

    endpoint: Annotated[str, Meta(min_length=6, max_length=512, description="Of the remote line, to connect to.")]
    settle_ms: Annotated[float, Meta(gt=0, le=1000, description="The remote line must agree after this time.")] = 100.0
    silence_ms: Annotated[float, Meta(ge=20, le=1000, description="An older answer confirms nothing.")] = 200.0


class ZeromqSwitch:
    """A `BeamSwitch` whose line is driven by `RemoteLine` in another process.

    Parameters
    ----------
    settings : see `ZeromqSwitchSettings`.
    clock : of the answers' age.
    """

    Settings = ZeromqSwitchSettings
    kind: Literal["simulated", "hardware"] = "hardware"

    def __init__(self, settings: ZeromqSwitchSettings, *, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or MonotonicClock()
        self._context: zmq.Context[Any] | None = None
        self._socket: Socket | None = None
        self._state = GateState.HOLD
        self._sequence = self._answered_sequence = self._token = 0
        self._sent_ns: dict[int, int] = {}
        """When each order left that has no answer yet."""
        self._answer, self._answered_ns = GateState.HOLD, 0

    @property
    def settle_ms(self) -> float:
        """Time after which the remote line must agree."""
        return self._settings.settle_ms

    def open(self) -> None:
        """Connect, and wait a second at most for the line's first answer; the line is held. Raises `Unavailable`."""
        if self._socket is not None:
            return
        self._context = zmq.Context()
        socket: Socket = self._context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 0), (zmq.SNDHWM, 20), (zmq.RCVHWM, 1000), (zmq.MAXMSGSIZE, 64)):
            socket.setsockopt(option, value)
        try:
            socket.connect(self._settings.endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise Unavailable(f"remote line {self._settings.endpoint}: {error}") from None
        self._socket, self._state, self._answered_ns = socket, GateState.HOLD, self._clock.now_ns()
        self._answer, self._sent_ns = GateState.HOLD, {}
        self._tell(HOLD)
        socket.poll(FIRST_ANSWER_MS)
        self._take_answers()

    def set_beam(self, state: GateState) -> None:
        """Tell the remote line. Raises `BeamFault`."""
        self._opened()
        self._state = GateState.ON if state is GateState.ON else GateState.HOLD
        self._tell(BEGIN if self._state is GateState.ON else HOLD)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Renew, and return what the remote line confirmed last. Raises `BeamFault` when it is silent."""
        self._tell(RENEW if self._state is GateState.ON else HOLD)
        self._take_answers()
        silent_ms = (self._clock.now_ns() - self._answered_ns) / 1e6
        if not silent_ms <= self._settings.silence_ms:
            raise BeamFault(
                f"remote line {self._settings.endpoint} is silent for {silent_ms:.0f} ms; "
                f"the limit is {self._settings.silence_ms:g} ms"
            )
        return self._answer

    def close(self) -> None:
        """Tell the remote line to hold, and leave."""
        if self._socket is None or self._context is None:
            return
        with contextlib.suppress(BeamFault):
            self._tell(HOLD)
        self._context.destroy(linger=50)
        self._socket = self._context = None

    def _take_answers(self) -> None:
        socket = self._opened()
        while True:
            try:
                answer = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(answer) != _MESSAGE.size or answer[:4] != _MAGIC:
                continue
            _, confirmed, self._token, sequence = _MESSAGE.unpack(answer)
            sent_ns = self._sent_ns.get(sequence)
            if sent_ns is not None:
                self._answer = GateState.ON if confirmed else GateState.HOLD
                self._answered_sequence, self._answered_ns = sequence, sent_ns
                self._sent_ns = {later: at_ns for later, at_ns in self._sent_ns.items() if later > sequence}

    def _tell(self, order: int) -> None:
        socket = self._opened()
        self._sequence += 1
        self._sent_ns[self._sequence] = self._clock.now_ns()
        self._sent_ns.pop(self._sequence - MAX_UNANSWERED, None)
        try:
            socket.send(_MESSAGE.pack(_MAGIC, order, self._token, self._sequence), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise BeamFault(f"remote line {self._settings.endpoint} takes no order: {error}") from None

    def _opened(self) -> Socket:
        if self._socket is None:
            raise BeamFault(f"remote line {self._settings.endpoint} is not open")
        return self._socket


class RemoteLine:
    """The process at the line: drives any local switch under the lease of one `ZeromqSwitch`.

    Parameters
    ----------
    switch : the line.
    endpoint : to bind.
    clock : of the lease, counted from receipt.
    """

    def __init__(self, switch: BeamSwitch, endpoint: str, *, clock: Clock | None = None) -> None:
        self._switch, self._endpoint, self._clock = switch, endpoint, clock or MonotonicClock()
        self._lease_ends_ns: int | None = None
        self._master: tuple[bytes, int, int] | None = None
        self._driven = GateState.HOLD
        self._token = secrets.randbits(63)
        self.refused = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` says so; the line is held before this returns or raises.

        Raises
        ------
        Unavailable, zmq.ZMQError
            If the switch cannot be opened, or the endpoint cannot be bound.
        """
        context: zmq.Context[Any] = zmq.Context()
        try:
            socket: Socket = context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.MAXMSGSIZE, 64)
            socket.bind(self._endpoint)
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
            stood_still = now_ns - awake_ns > STOOD_STILL_NS
            awake_ns = now_ns
            if stood_still:
                self._lease_ends_ns, self._token = None, secrets.randbits(63)
                self._apply()
            while (parts := receive(socket)) is not None:
                self._obey(parts)
                self._apply()
                self._answer(socket, parts)
            self._apply()

    def _obey(self, parts: list[bytes]) -> None:
        now_ns = self._clock.now_ns()
        if len(parts) != 2 or len(parts[1]) != _MESSAGE.size or parts[1][:4] != _MAGIC:
            self.refused += 1
            self._lease_ends_ns = None
            return
        peer = parts[0]
        _, order, token, sequence = _MESSAGE.unpack(parts[1])
        if self._master is not None and self._master[0] != peer and now_ns - self._master[2] < QUIET_NS:
            self.refused += 1
            self._lease_ends_ns = None
            return
        if self._master is not None and self._master[0] == peer and sequence <= self._master[1]:
            self.refused += 1
            self._lease_ends_ns = None
            return
        self._master = (peer, sequence, now_ns)
        running = self._lease_ends_ns is not None and now_ns < self._lease_ends_ns
        on = token == self._token and (order == BEGIN or (order == RENEW and running))
        self._lease_ends_ns = now_ns + LEASE_NS if on else None

    def _apply(self) -> None:
        on = self._lease_ends_ns is not None and self._clock.now_ns() < self._lease_ends_ns
        state = GateState.ON if on else GateState.HOLD
        if state is not self._driven:
            self._switch.set_beam(state)
            self._driven = state
        if not on:
            self._lease_ends_ns = None

    def _answer(self, socket: Socket, parts: list[bytes]) -> None:
        confirmed = self._switch.read_back() is GateState.ON
        asked = parts[1] if len(parts) == 2 and len(parts[1]) == _MESSAGE.size else bytes(_MESSAGE.size)
        *_, sequence = _MESSAGE.unpack(asked)
        try:
            socket.send_multipart([parts[0], _MESSAGE.pack(_MAGIC, int(confirmed), self._token, sequence)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.refused += 1
