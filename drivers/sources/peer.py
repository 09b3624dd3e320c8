"""One network peer at a time, whose messages are taken apart as they come. Nothing here trusts a length it was told."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta

from drivers.errors import BadFrame, Unavailable
from drivers.formats.stream import SKIPPED, Format
from drivers.sources.live import LiveSettings

READ_BYTES: Final = 1024 * 1024
STALLED_NS: Final = 2 * 10**9
"""A peer that is silent for so long in mid-message is gone, whatever TCP believes."""
RECONNECT_NS: Final = 500_000_000
CONNECT_TIMEOUT_S: Final = 1.0


class PeerSettings(LiveSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the peer is met."""

    host: Annotated[
        str,
        Meta(min_length=1, max_length=253, description="Address to listen on (loopback unless asked), or to call."),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 0


@dataclass(slots=True)
class _Peer:
    connection: socket.socket
    name: str
    format: Format
    needed: int
    buffer: bytearray
    heard_ns: int
    within: int = 0
    """Bytes taken of the message that has begun."""

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self.within + len(self.buffer) > 0


class NetworkPeer:
    """A TCP server that serves one peer and refuses the second, or a client that calls again when it is cut off.

    Parameters
    ----------
    settings
        Where to listen or call.
    make_format
        Returns a new message format for each connection, see `drivers.formats.stream`.
    listen
        Server, or client.
    goodbye
        Sent to a peer that took leave properly.
    """

    def __init__(
        self, settings: PeerSettings, make_format: Callable[[], Format], *, listen: bool, goodbye: bytes = b""
    ) -> None:
        self._settings, self._make_format, self._listen, self._goodbye = settings, make_format, listen, goodbye
        self._listener: socket.socket | None = None
        self._peer: _Peer | None = None
        self._call_due_ns = 0

    @property
    def port(self) -> int:
        """The port in use, where a free one was asked for."""
        if self._listener is not None:
            return int(self._listener.getsockname()[1])
        return self._settings.port

    @property
    def connected(self) -> bool:
        """Whether a peer is there."""
        return self._peer is not None

    def open(self) -> None:
        """Listen, or be ready to call. Raises `Unavailable`."""
        if not self._listen or self._listener is not None:
            return
        address = (self._settings.host, self._settings.port)
        try:
            self._listener = socket.create_server(address, backlog=2)
        except OSError as error:
            raise Unavailable(f"{address[0]}:{address[1]} cannot be listened on: {error.strerror or error}") from None
        self._listener.setblocking(False)

    def close(self) -> None:
        """Drop the peer and stop listening."""
        self._drop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def receive(self, timeout_ms: int) -> Any:
        """Return the next message, None on time-out.

        Raises
        ------
        BadFrame
            One sentence, when a peer sent nonsense, vanished in mid-message or was a second one. The peer at fault has
            been cut off by then, and the next call serves the next peer.
        """
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while (message := self._take_apart()) is None:
            left_ns = until_ns - time.monotonic_ns()
            self._wait(max(0, min(left_ns, 50_000_000)) / 1e9)
            if left_ns <= 0:
                return self._take_apart()
        return message

    def send(self, data: bytes) -> None:
        """Send to the peer, if there is one; a peer that does not take it at once is cut off."""
        if self._peer is not None:
            try:
                sent = self._peer.connection.send(data)
            except OSError:
                sent = 0
            if sent != len(data):
                self._drop()

    def _wait(self, timeout_s: float) -> None:
        if not self._listen and self._peer is None:
            self._call(timeout_s)
            return
        sockets = [] if self._listener is None else [self._listener]
        if self._peer is not None:
            sockets.append(self._peer.connection)
        ready, _, _ = select.select(sockets, [], [], timeout_s)
        if self._peer is not None and self._peer.connection in ready:
            self._read(self._peer)
        if self._listener is not None and self._listener in ready:
            self._accept(self._listener)
        peer = self._peer
        if peer is not None and peer.in_message and time.monotonic_ns() - peer.heard_ns > STALLED_NS:
            self._cut(f"stopped in mid-message for {STALLED_NS / 1e9:g} s, the limit")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
        except OSError:
            return
        name = f"{address[0]}:{address[1]}"
        if self._peer is not None:
            connection.close()
            raise BadFrame(f"a second peer, {name}, was refused: {self._peer.name} is connected, and 1 is the limit")
        self._begin(connection, name)

    def _call(self, timeout_s: float) -> None:
        now_ns = time.monotonic_ns()
        if now_ns < self._call_due_ns:
            time.sleep(timeout_s)
            return
        self._call_due_ns = now_ns + RECONNECT_NS
        address = (self._settings.host, self._settings.port)
        with contextlib.suppress(OSError):
            self._begin(socket.create_connection(address, CONNECT_TIMEOUT_S), f"{address[0]}:{address[1]}")

    def _begin(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        form = self._make_format()
        self._peer = _Peer(connection, name, form, next(form), bytearray(), time.monotonic_ns())

    def _read(self, peer: _Peer) -> None:
        try:
            data = peer.connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut(f"was lost: {error.strerror}")
        if data:
            peer.buffer += data
            peer.heard_ns = time.monotonic_ns()
        elif peer.in_message:
            part = f"{len(peer.buffer)} of the next {peer.needed} bytes"
            self._cut(f"vanished in mid-message: {peer.within} bytes and {part} had come")
        else:
            self._cut("hung up without taking leave")

    def _take_apart(self) -> Any:
        """Return the next complete message in the buffer; None if more bytes are needed."""
        while (peer := self._peer) is not None and len(peer.buffer) >= peer.needed:
            piece = bytes(memoryview(peer.buffer)[: peer.needed])
            del peer.buffer[: peer.needed]
            peer.within += len(piece)
            message = None
            try:
                answer = peer.format.send(piece)
                if not isinstance(answer, int):
                    message = None if answer is SKIPPED else answer
                    answer, peer.within = next(peer.format), 0
                peer.needed = answer
            except StopIteration:
                self.send(self._goodbye)
                self._drop()
                return None
            except BadFrame as error:
                self._cut(f"was cut off: {error}")
            if message is not None:
                return message
        return None

    def _cut(self, why: str) -> None:
        name = self._peer.name if self._peer is not None else "nobody"
        self._drop()
        raise BadFrame(f"peer {name} {why}")

    def _drop(self) -> None:
        if self._peer is not None:
            self._peer.connection.close()
            self._peer = None
