"""One network peer at a time, whose messages are parsed as they arrive. No length that it sends is trusted."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta

from drivers.errors import BadFrame, Unavailable
from drivers.formats.stream import SKIPPED, StreamParser
from drivers.sources.leaving import LeavingPeers
from drivers.sources.live import LiveSettings
from gating.wire.security import check_listening

READ_BYTES: Final = 1024 * 1024
STALLED_NS: Final = 2 * 10**9
"""A peer that is silent for this long in mid-message is gone, whatever TCP believes."""
RECONNECT_NS: Final = 500_000_000
CONNECT_TIMEOUT_S: Final = 1.0

_log: Final = logging.getLogger("cinegate.source")


class PeerSettings(LiveSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to listen or connect."""

    host: Annotated[
        str,
        Meta(min_length=1, max_length=253, description="Address to listen on (loopback unless set) or connect to."),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 0


@dataclass(slots=True)
class _Peer:
    connection: socket.socket
    name: str
    parser: StreamParser
    needed: int
    buffer: bytearray
    received_ns: int
    parsed_bytes: int = 0
    """Bytes of the current message that the parser has taken."""

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self.parsed_bytes + len(self.buffer) > 0


class NetworkPeer:
    """A TCP server that serves one peer and refuses a second one, or a client that reconnects.

    Parameters
    ----------
    settings
        Where to listen or connect.
    make_parser
        Returns a new parser for each connection, see `drivers.formats.stream`.
    listen
        True for a server, false for a client.
    farewell
        Returns the last message for a peer, from the sentence that says why it is cut off or refused; empty if it said
        goodbye itself.
    before_leaving
        Called before the peer's connection ends: true if it said goodbye, false if it is cut off.
    """

    def __init__(
        self,
        settings: PeerSettings,
        make_parser: Callable[[], StreamParser],
        *,
        listen: bool,
        farewell: Callable[[str], bytes] = lambda _: b"",
        before_leaving: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._settings, self._make_parser, self._listen = settings, make_parser, listen
        self._farewell, self._before_leaving = farewell, before_leaving
        self._leaving = LeavingPeers()
        self._listener: socket.socket | None = None
        self._peer: _Peer | None = None
        self._connect_due_ns = 0
        self._connections = 0
        self.sender = ""
        """Address of the newest peer and the number of its connection: who comes back may be somebody else."""

    @property
    def port(self) -> int:
        """Port in use."""
        if self._listener is not None:
            return int(self._listener.getsockname()[1])
        return self._settings.port

    @property
    def connection(self) -> socket.socket | None:
        """Connection of the peer, to write to."""
        return None if self._peer is None else self._peer.connection

    @property
    def connected(self) -> bool:
        """Whether a peer is connected."""
        return self._peer is not None

    def open(self) -> None:
        """Listen, or prepare to connect. Raises `Unavailable`."""
        if not self._listen or self._listener is not None:
            if not self._listen:
                _log.info("connects to %s:%d", self._settings.host, self._settings.port)
            return
        address = (self._settings.host, self._settings.port)
        try:
            check_listening(address[0])
            self._listener = socket.create_server(address, backlog=2)
        except OSError as error:
            raise Unavailable(f"{address[0]}:{address[1]} cannot be listened on: {error.strerror or error}") from None
        self._listener.setblocking(False)
        _log.info("listens on %s:%d", self._settings.host, self.port)

    def close(self) -> None:
        """Drop the peer and stop listening."""
        self._drop()
        self._leaving.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def receive(self, timeout_ms: int) -> Any:
        """Return the next message, None on time-out.

        Raises
        ------
        BadFrame
            If a peer sent nonsense, vanished in mid-message or was a second one; one sentence. That peer has been cut
            off by then, and the next call serves the next peer.
        """
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while (message := self._parse_buffer()) is None:
            left_ns = until_ns - time.monotonic_ns()
            self._wait(max(0, min(left_ns, 50_000_000)) / 1e9)
            if left_ns <= 0:
                return self._parse_buffer()
        return message

    def _wait(self, timeout_s: float) -> None:
        if not self._listen and self._peer is None:
            self._connect(timeout_s)
            return
        sockets = [*self._leaving.sockets(), *([] if self._listener is None else [self._listener])]
        if self._peer is not None:
            sockets.append(self._peer.connection)
        ready, _, _ = select.select(sockets, [], [], timeout_s)
        self._leaving.read(ready)
        if self._peer is not None and self._peer.connection in ready:
            self._read(self._peer)
        if self._listener is not None and self._listener in ready:
            self._accept(self._listener)
        peer = self._peer
        if peer is not None and peer.in_message and time.monotonic_ns() - peer.received_ns > STALLED_NS:
            self._cut_off(f"stopped in mid-message for {STALLED_NS / 1e9:g} s, the limit")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
        except OSError:
            return
        name = f"{address[0]}:{address[1]}"
        if self._peer is not None:
            sentence = f"a second peer, {name}, was refused: {self._peer.name} is connected, and 1 is the limit"
            self._leaving.dismiss(connection, self._farewell(sentence))
            raise BadFrame(sentence)
        self._serve(connection, name)

    def _connect(self, timeout_s: float) -> None:
        now_ns = time.monotonic_ns()
        if now_ns < self._connect_due_ns:
            time.sleep(timeout_s)
            return
        self._connect_due_ns = now_ns + RECONNECT_NS
        address = (self._settings.host, self._settings.port)
        with contextlib.suppress(OSError):
            self._serve(socket.create_connection(address, CONNECT_TIMEOUT_S), f"{address[0]}:{address[1]}")

    def _serve(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        parser = self._make_parser()
        self._connections += 1
        self.sender = f"{name} (connection {self._connections})"
        _log.info("peer %s came", self.sender)
        self._peer = _Peer(connection, name, parser, next(parser), bytearray(), time.monotonic_ns())

    def _read(self, peer: _Peer) -> None:
        try:
            data = peer.connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut_off(f"was lost: {error.strerror}")
        if data:
            peer.buffer += data
            peer.received_ns = time.monotonic_ns()
        elif peer.in_message:
            part = f"{len(peer.buffer)} of the next {peer.needed} bytes"
            self._cut_off(f"vanished in mid-message: {peer.parsed_bytes} bytes and {part} had come")
        else:
            self._cut_off("hung up without saying goodbye")

    def _parse_buffer(self) -> Any:
        """Return the next complete message in the buffer, or None if more bytes are needed."""
        while (peer := self._peer) is not None and len(peer.buffer) >= peer.needed:
            piece = bytes(memoryview(peer.buffer)[: peer.needed])
            del peer.buffer[: peer.needed]
            peer.parsed_bytes += len(piece)
            message = None
            try:
                answer = peer.parser.send(piece)
                if not isinstance(answer, int):
                    message = None if answer is SKIPPED else answer
                    answer, peer.parsed_bytes = next(peer.parser), 0
                peer.needed = answer
            except StopIteration:
                self._before_leaving(True)
                self._drop(self._farewell(""))
                return None
            except BadFrame as error:
                self._cut_off(f"was cut off: {error}")
            except Exception as error:  # noqa: BLE001 - whatever a peer's bytes do to a parser, the next peer is served
                self._cut_off(f"was cut off: its message cannot be read: {type(error).__name__}: {str(error)[:100]}")
            if message is not None:
                return message
        return None

    def _cut_off(self, why: str) -> None:
        sentence = f"peer {self._peer.name if self._peer is not None else 'nobody'} {why}"
        self._before_leaving(False)
        self._drop(self._farewell(sentence))
        raise BadFrame(sentence)

    def _drop(self, last_words: bytes = b"") -> None:
        if self._peer is not None:
            self._leaving.dismiss(self._peer.connection, last_words)
            self._peer = None
            _log.info("peer %s left", self.sender)
