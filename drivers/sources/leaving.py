"""Peers that were cut off: what they still send is discarded, so that they can read why."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from typing import Final

MAX_LEAVING: Final = 4
LEAVE_WITHIN_NS: Final = 2 * 10**9
_DISCARD_BYTES: Final = 1024 * 1024


class LeavingPeers:
    """Connections that end. A socket closed with unread data resets its connection, and last words would be lost."""

    def __init__(self) -> None:
        self._until_ns: dict[socket.socket, int] = {}

    def dismiss(self, connection: socket.socket, last_words: bytes) -> None:
        """Send the last words, if any, and close the connection once the peer has closed it, or two seconds later."""
        try:
            connection.setblocking(False)
            if last_words:
                connection.send(last_words)
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            last_words = b""
        if not last_words:
            connection.close()
            return
        self._until_ns[connection] = time.monotonic_ns() + LEAVE_WITHIN_NS
        if len(self._until_ns) > MAX_LEAVING:
            self._end(next(iter(self._until_ns)))

    def sockets(self) -> list[socket.socket]:
        """Return the connections to wait for."""
        now_ns = time.monotonic_ns()
        for connection in [one for one, until_ns in self._until_ns.items() if now_ns > until_ns]:
            self._end(connection)
        return list(self._until_ns)

    def read(self, ready: Collection[object]) -> None:
        """Discard what has come on the connections that are ready, and end those that the peer has closed."""
        for connection in [one for one in self._until_ns if one in ready]:
            try:
                gone = not connection.recv(_DISCARD_BYTES)
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone:
                self._end(connection)

    def close(self) -> None:
        """End all of them."""
        for connection in list(self._until_ns):
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        del self._until_ns[connection]
        connection.close()
