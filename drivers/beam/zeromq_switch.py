"""A beam line on another host: this switch renews a lease, and `drivers.beam.remote_line` drives the line there.

Messages are 24 bytes, little-endian: `cgl2`, the order (u32: 0 hold, 1 renew, 2 begin), a token (u64), a sequence
number (u64). The answer has the confirmed state in the order's place, the token that the line accepts now, and the
order's own number. So an answer is as old as the order that it answers, however late it is read. Only `begin` starts a
lease; `renew` prolongs a running one. The line draws a new token when it starts and whenever it stood still, and obeys
only orders that carry it; an order sent earlier cannot. So nothing old ever brings the beam on, or confirms that it is
on.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Annotated, Final, Literal

import zmq
from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import GateState
from gating.wire.keys import KeyProblem
from gating.wire.sockets import Socket, dial

HOLD, RENEW, BEGIN = range(3)
MAX_UNANSWERED: Final = 256
FIRST_ANSWER_MS: Final = 1000
MESSAGE: Final = struct.Struct("<4sIQQ")
MAGIC: Final = b"cgl2"
MAX_MESSAGE_BYTES: Final = 64


class ZeromqSwitchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The remote line, and how fast it must answer."""

    endpoint: Annotated[str, Meta(min_length=6, max_length=512, description="Endpoint of the remote line.")]
    settle_ms: Annotated[float, Meta(gt=0, le=1000, description="Time after which the remote line must agree.")] = 100.0
    silence_ms: Annotated[float, Meta(ge=20, le=1000, description="An older answer confirms nothing.")] = 200.0


class ZeromqSwitch:
    """A `BeamSwitch` whose line is driven by `drivers.beam.remote_line.RemoteLine` in another process.

    Parameters
    ----------
    settings
        See `ZeromqSwitchSettings`.
    clock
        Clock that dates orders and answers.
    """

    Settings = ZeromqSwitchSettings
    kind: Literal["simulated", "hardware"] = "hardware"

    def __init__(self, settings: ZeromqSwitchSettings, *, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or MonotonicClock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: Socket | None = None
        self._state = GateState.HOLD
        self._sequence = self._answered_sequence = self._token = 0
        self._sent_ns: dict[int, int] = {}
        """When each order without an answer was sent, by its number."""
        self._answer, self._answered_ns = GateState.HOLD, 0

    @property
    def settle_ms(self) -> float:
        """Time after which the remote line must agree, ms."""
        return self._settings.settle_ms

    def open(self) -> None:
        """Connect, hold, and wait at most a second for the line's first answer. Raises `Unavailable`."""
        if self._socket is not None:
            return
        self._context = zmq.Context()
        try:
            socket = dial(self._context, self._settings.endpoint, queue=1000, channel="line")
        except (zmq.ZMQError, OSError, KeyProblem) as error:
            self._context.destroy(linger=0)
            raise Unavailable(f"remote line {self._settings.endpoint}: {error}") from None
        self._socket, self._state, self._answered_ns = socket, GateState.HOLD, self._clock.now_ns()
        self._answer, self._sent_ns = GateState.HOLD, {}
        self._send_order(HOLD)
        socket.poll(FIRST_ANSWER_MS)
        self._take_answers()

    def set_beam(self, state: GateState) -> None:
        """Order the remote line to begin or to hold. Raises `BeamFault`."""
        self._require_open()
        self._state = GateState.ON if state is GateState.ON else GateState.HOLD
        self._send_order(BEGIN if self._state is GateState.ON else HOLD)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Renew, and return the state that the remote line confirmed last. Raises `BeamFault` if the line is silent."""
        self._send_order(RENEW if self._state is GateState.ON else HOLD)
        self._take_answers()
        silent_ms = (self._clock.now_ns() - self._answered_ns) / 1e6
        if not silent_ms <= self._settings.silence_ms:
            raise BeamFault(
                f"remote line {self._settings.endpoint} has been silent for {silent_ms:.0f} ms; "
                f"the limit is {self._settings.silence_ms:g} ms"
            )
        return self._answer

    def newest_answer(self) -> GateState | None:
        """Return what the remote line answered to the newest order; None until it has. Raises `BeamFault`."""
        self._take_answers()
        return self._answer if self._answered_sequence == self._sequence else None

    def close(self) -> None:
        """Order the remote line to hold, and disconnect."""
        if self._socket is None or self._context is None:
            return
        with contextlib.suppress(BeamFault):
            self._send_order(HOLD)
        self._context.destroy(linger=50)
        self._socket = self._context = None

    def _take_answers(self) -> None:
        socket = self._require_open()
        while True:
            try:
                answer = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(answer) != MESSAGE.size or answer[:4] != MAGIC:
                continue
            _, confirmed, token, sequence = MESSAGE.unpack(answer)
            sent_ns = self._sent_ns.get(sequence)
            if sent_ns is not None:
                self._answer, self._token = GateState.ON if confirmed else GateState.HOLD, token
                self._answered_sequence, self._answered_ns = sequence, sent_ns
                self._sent_ns = {later: at_ns for later, at_ns in self._sent_ns.items() if later > sequence}

    def _send_order(self, order: int) -> None:
        socket = self._require_open()
        self._sequence += 1
        self._sent_ns[self._sequence] = self._clock.now_ns()
        self._sent_ns.pop(self._sequence - MAX_UNANSWERED, None)
        try:
            socket.send(MESSAGE.pack(MAGIC, order, self._token, self._sequence), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise BeamFault(f"remote line {self._settings.endpoint} does not take orders: {error}") from None

    def _require_open(self) -> Socket:
        if self._socket is None:
            raise BeamFault(f"remote line {self._settings.endpoint} is not open")
        return self._socket
