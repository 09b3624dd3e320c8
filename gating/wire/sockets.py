"""The ZeroMQ sockets of all processes: bounded, without linger, never conflated."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import zmq

from gating.wire.codec import MAX_PARTS, Part
from gating.wire.security import authenticate, check_exposure, give_to_owner, private_path, use_keys

Socket = zmq.Socket[bytes]

BURST_MESSAGES: Final = 1000
"""Room for bursts: a full queue keeps the oldest messages and drops the newest."""
MAX_MESSAGE_BYTES: Final = 4096 * 4096 * 4
"""Size limit of one part. The socket disconnects a peer that sends a larger one."""
SILENCE_NS: Final = 2_000_000_000
"""Every peer sends at least twice a second. One that falls silent for longer may have been disconnected."""
_EVENTS, _RCVMORE, _POLLIN = int(zmq.EVENTS), int(zmq.RCVMORE), int(zmq.POLLIN)
_NOBLOCK, _SNDMORE = int(zmq.NOBLOCK), int(zmq.SNDMORE)
"""As plain integers: combining two of zmq's enumerations takes longer than sending a message."""

_contexts: Final[weakref.WeakSet[zmq.Context[Any]]] = weakref.WeakSet()


def bind(
    context: zmq.Context[Any],
    kind: int,
    endpoint: str,
    *,
    queue: int = BURST_MESSAGES,
    max_bytes: int = MAX_MESSAGE_BYTES,
    channel: str = "",
) -> Socket:
    """Open a bounded socket and bind it. A missing folder of an `ipc://` endpoint is made, for its owner alone.

    The keys are those of `channel`, or else of the channel to which the configuration gives this endpoint.

    Raises
    ------
    zmq.ZMQError
        If the endpoint is malformed or taken.
    OSError
        If the folder or socket cannot be made or given to its owner.
    PermissionError
        If other hosts can reach the endpoint and there are neither keys nor permission to bind without them, or if
        other users of this host could take its place.
    KeyProblem
        If keys are in use and none belongs to the endpoint.
    """
    check_exposure(endpoint)
    path = private_path(endpoint)
    socket = open_socket(context, kind, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    try:
        authenticate(context, socket, endpoint, channel)
        socket.bind(endpoint)
        if path is not None:
            give_to_owner(path)
    except BaseException:
        socket.close()
        raise
    return socket


def subscribe(
    context: zmq.Context[Any],
    *endpoints: str,
    queue: int = BURST_MESSAGES,
    max_bytes: int = MAX_MESSAGE_BYTES,
    topics: Sequence[bytes] = (b"",),
) -> Socket:
    """Open a bounded SUB socket that receives these topics, or else everything, whenever the endpoints appear.

    Raises
    ------
    zmq.ZMQError
        If an endpoint is malformed.
    PermissionError
        If other users of this host could take the place of the process that binds it.
    """
    socket = open_socket(context, zmq.SUB, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    for topic in topics:
        socket.subscribe(topic)
    try:
        for endpoint in endpoints:
            private_path(endpoint)
            use_keys(socket, endpoint)
            socket.connect(endpoint)
    except BaseException:
        socket.close()
        raise
    return socket


def dial(context: zmq.Context[Any], endpoint: str, *, queue: int = 16, channel: str = "") -> Socket:
    """Open a bounded DEALER socket and connect it. Keys and exceptions are those of `bind`."""
    private_path(endpoint)
    socket = open_socket(context, zmq.DEALER, queue)
    try:
        use_keys(socket, endpoint, channel)
        socket.connect(endpoint)
    except BaseException:
        socket.close()
        raise
    return socket


class ReconnectingSubscriber:
    """A subscription that recovers from an oversize message, after which libzmq disconnects the peer for good.

    Parameters
    ----------
    context, endpoint, queue, max_bytes
        As for `subscribe`.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoint: str,
        *,
        queue: int = BURST_MESSAGES,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._open = partial(subscribe, context, endpoint, queue=queue, max_bytes=max_bytes)
        self.socket = self._open()
        self.last_message_ns: int | None = None
        """When the last message came; to be set by the caller."""

    def wait(self, timeout_ms: int) -> bool:
        """Wait for a message. Return whether there is one."""
        return bool(zmq.zmq_poll([(self.socket, _POLLIN)], timeout_ms))

    def reopen_if_silent(self, now_ns: int, silence_ns: int = SILENCE_NS) -> bool:
        """Subscribe anew if the last message came so long ago, two seconds by default. Return whether that was done."""
        if self.last_message_ns is None or now_ns - self.last_message_ns < silence_ns:
            return False
        self.last_message_ns = now_ns
        self.socket.close()
        self.socket = self._open()
        return True


def send(socket: Socket, parts: Sequence[Part]) -> None:
    """Send one message without waiting. Raises `zmq.Again` if the queue of a socket that never drops is full."""
    for part in parts[:-1]:
        socket.send(part, _NOBLOCK | _SNDMORE)
    socket.send(parts[-1], _NOBLOCK)


def is_waiting(socket: Socket) -> bool:
    """Whether a message is waiting."""
    return bool(int(socket.get(_EVENTS)) & _POLLIN)


def receive(socket: Socket) -> list[bytes] | None:
    """Return the parts of one waiting message, or None.

    Of the parts beyond the wire's limit, only the first is kept. It makes `gating.wire.codec.decode` refuse the
    message, while memory stays bounded.
    """
    if not is_waiting(socket):  # cheaper than the exception that an empty queue raises
        return None
    parts = [socket.recv(_NOBLOCK)]
    while socket.get(_RCVMORE):
        part = socket.recv(_NOBLOCK)
        if len(parts) <= MAX_PARTS:
            parts.append(part)
    return parts


def open_socket(context: zmq.Context[Any], kind: int, queue: int) -> Socket:
    """Open a bounded socket that is neither bound nor connected, and has no keys."""
    socket: Socket = context.socket(kind)
    _contexts.add(context)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    return socket


def message_threads() -> int:
    """Return how many threads libzmq runs for the sockets of this process; some may not have their names yet."""
    reaper = 1
    return sum(int(context.get(zmq.IO_THREADS)) + reaper for context in tuple(_contexts) if not context.closed)


def stop_on_signals() -> Callable[[], bool]:
    """Catch SIGTERM and SIGINT from now on. Return a function that tells whether one came.

    Python allows handlers on the main thread only; called on another thread, this catches nothing.
    """
    caught: list[int] = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: caught.append(received))
    return lambda: bool(caught)
