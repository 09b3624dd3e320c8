"""What the engine sees, for 3D Slicer and PLUS, as OpenIGTLink messages; see `drivers.outlets.translation`.

The outlet is a process of its own and an ordinary subscriber: it can be slow, hang or die, and neither engine nor beam
notices. A client that does not keep up misses messages and delays nobody.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from typing import Final

import zmq

from drivers.errors import Unavailable
from drivers.outlets.translation import Translation
from gating.messages import CineFrame, GateCommand, TargetEstimate
from gating.settings.config import EndpointSettings
from gating.wire.codec import WireError, decode
from gating.wire.security import check_listening
from gating.wire.sockets import receive, subscribe

PORT: Final = 18944
MAX_CLIENTS: Final = 8
MAX_PENDING_BYTES: Final = 8 * 2**20
POLL_MS: Final = 20

_log: Final = logging.getLogger("cinegate.outlet")


class _Client:
    def __init__(self, connection: socket.socket, name: str) -> None:
        self.name = name
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection, self.pending, self.alive = connection, bytearray(), True

    def enqueue(self, message: bytes) -> bool:
        """Queue a message unless the client is too far behind; return whether it was queued."""
        if len(self.pending) + len(message) > MAX_PENDING_BYTES:
            return False
        self.pending += message
        return True

    def flush(self) -> None:
        """Send as much as the client takes now."""
        try:
            while self.pending:
                sent = self.connection.send(memoryview(self.pending)[:65536])
                del self.pending[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.alive = False

    def discard_input(self) -> None:
        """Discard what the client sends; notice if it has left."""
        try:
            self.alive = self.alive and bool(self.connection.recv(65536))
        except BlockingIOError:
            pass
        except OSError:
            self.alive = False


class Outlet:
    """An OpenIGTLink server for frames, targets and the gate.

    Parameters
    ----------
    endpoints
        Endpoints of frames, gate commands and telemetry.
    host, port
        Address to listen on, by default of this host alone; port 0 takes a free one.
    """

    def __init__(self, endpoints: EndpointSettings, host: str = "127.0.0.1", port: int = PORT) -> None:
        self._endpoints, self._host, self._port = endpoints, host, port
        self._clients: list[_Client] = []
        self._translation = Translation(time.time_ns() - time.monotonic_ns())
        self.sent = 0
        self.missed = 0
        self.refused = 0

    @property
    def port(self) -> int:
        """Port in use, once `run` listens."""
        return self._port

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` returns true. Raises `Unavailable` if the port is not available."""
        try:
            check_listening(self._host)
            listener = socket.create_server((self._host, self._port), backlog=MAX_CLIENTS)
        except OSError as error:
            raise Unavailable(f"{self._host}:{self._port} cannot be listened on: {error.strerror or error}") from None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            listener.setblocking(False)
            self._port = int(listener.getsockname()[1])
            endpoints = self._endpoints
            _log.info("listens on %s:%d, hears %s, %s and %s", self._host, self._port, endpoints.frames,
                      endpoints.gate, endpoints.telemetry)  # fmt: skip
            telemetry = subscribe(context, endpoints.frames, endpoints.gate, endpoints.telemetry)
            while not stop():
                self._serve(listener, telemetry)
        finally:
            for client in self._clients:
                client.connection.close()
            listener.close()
            context.destroy(linger=0)

    def _serve(self, listener: socket.socket, telemetry: zmq.Socket[bytes]) -> None:
        if telemetry.poll(POLL_MS):
            while (parts := receive(telemetry)) is not None:
                self._translate(parts)
        waiting = [client.connection for client in self._clients]
        readable, _, _ = select.select([listener, *waiting], [], [], 0)
        if listener in readable:
            connection, address = listener.accept()
            name = f"{address[0]}:{address[1]}"
            if len(self._clients) < MAX_CLIENTS:
                self._clients.append(_Client(connection, name))
                _log.info("client %s came, %d in all", name, len(self._clients))
            else:
                connection.close()
                _log.warning("client %s was refused: %d are connected, the limit", name, MAX_CLIENTS)
        for client in list(self._clients):
            if client.connection in readable:
                client.discard_input()
            client.flush()
            if not client.alive:
                client.connection.close()
                self._clients.remove(client)
                _log.info("client %s left, %d in all", client.name, len(self._clients))

    def _translate(self, parts: list[bytes]) -> None:
        try:
            message = decode(parts)
        except WireError as error:
            self.refused += 1
            _log.warning("a message was refused: %s", error)
            return
        translation = self._translation
        if isinstance(message, CineFrame):
            translation.remember(message.header)
        if not self._clients:
            return
        if isinstance(message, CineFrame):
            self._send(translation.image(message), *translation.targets_waiting_for(message.header))
        elif isinstance(message, TargetEstimate):
            self._send(*translation.target(message))
        elif isinstance(message, GateCommand):
            self._send(*translation.gate(message, time.monotonic_ns()))

    def _send(self, *messages: bytes) -> None:
        for client in self._clients:
            queued = sum(client.enqueue(message) for message in messages)
            self.sent += queued
            self.missed += len(messages) - queued
            if queued < len(messages):
                _log.warning("client %s does not keep up: %d messages missed so far", client.name, self.missed)
