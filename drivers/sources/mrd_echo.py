"""Images sent back to an MRD client with what the engine saw in them, in a thread beside the gate path.

The source hands each image over and goes on. The thread hears the engine's telemetry, pairs it with the images by their
stamps, and writes to the client; one that does not read is given up. An image of which nothing is heard for half a
second goes back without attributes, because the client waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import zmq

from drivers.formats.mrd_attributes import Points, seen, with_attributes
from drivers.formats.mrd_image import MrdImage
from gating.messages import TargetEstimate, TargetReference
from gating.wire.codec import WireError, decode
from gating.wire.sockets import receive, subscribe

MAX_WAITING: Final = 64
SILENT_NS: Final = 500_000_000
TOGETHER_NS: Final = 5_000_000
"""The estimates of one image, one a target, come within this time."""
SEND_WITHIN_NS: Final = 10**9
FINISH_WITHIN_S: Final = 2.0
LEAVE_WITHIN_S: Final = 0.02
POLL_MS: Final = 5

_log: Final = logging.getLogger("cinegate.source")


@dataclass(slots=True)
class _Waiting:
    image: MrdImage
    acquired_ns: int
    connection: socket.socket
    offered_ns: int
    estimates: dict[str, TargetEstimate] = field(default_factory=dict)
    heard_ns: int = 0

    def is_due(self, now_ns: int) -> bool:
        since_ns, limit_ns = (self.heard_ns, TOGETHER_NS) if self.estimates else (self.offered_ns, SILENT_NS)
        return now_ns - since_ns >= limit_ns


class Echo:
    """Sends images back to their client.

    Parameters
    ----------
    telemetry
        Endpoint of the engine's telemetry; None if nothing is to be heard, and images go back as they came.
    """

    def __init__(self, telemetry: str | None) -> None:
        self._telemetry = telemetry
        self._offered: deque[_Waiting] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._boundaries_px: dict[str, Points] = {}
        self._connection: socket.socket | None = None
        self._sending, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start the thread."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="mrd echo", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self.leave()
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def offer(self, image: MrdImage, acquired_ns: int, connection: socket.socket) -> None:
        """Take an image to send back; never waits."""
        self._connection = connection
        if len(self._offered) < MAX_WAITING:
            self._offered.append(_Waiting(image, acquired_ns, connection, time.monotonic_ns()))

    def finish(self) -> None:
        """Wait until every image has gone back, for two seconds at most; for a client that has sent its last one."""
        until_s = time.monotonic() + FINISH_WITHIN_S
        while (self._offered or self._waiting) and self._connection is not None and time.monotonic() < until_s:
            time.sleep(POLL_MS / 1e3)

    def leave(self) -> None:
        """Send nothing more to the client."""
        self._connection = None
        if self._sending.acquire(timeout=LEAVE_WITHIN_S):
            self._sending.release()

    def _run(self) -> None:
        context: zmq.Context[Any] = zmq.Context()
        try:
            telemetry = self._subscribed(context)
            while not self._stop.is_set():
                if telemetry is None:
                    self._stop.wait(POLL_MS / 1e3)
                elif telemetry.poll(POLL_MS):
                    while (parts := receive(telemetry)) is not None:
                        self._hear(parts)
                self._take_offered()
                self._send_due()
        finally:
            context.destroy(linger=0)

    def _subscribed(self, context: zmq.Context[Any]) -> Any:
        """Return a socket that hears the engine; None if there is nothing to hear."""
        if self._telemetry is None:
            return None
        try:
            return subscribe(context, self._telemetry)
        except (zmq.ZMQError, OSError) as error:
            _log.warning("mrd: images go back without what the engine saw: %s: %s", self._telemetry, error)
            return None

    def _take_offered(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.append(self._offered[0])
                self._offered.popleft()
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()

    def _hear(self, parts: list[bytes]) -> None:
        try:
            message = decode(parts)
        except WireError:
            return
        if isinstance(message, TargetReference):
            self._boundaries_px[message.target] = message.boundary_px
        elif isinstance(message, TargetEstimate):
            self._take_offered()
            for one in self._waiting:
                if one.acquired_ns == message.acquired_ns:
                    one.estimates[message.target], one.heard_ns = message, time.monotonic_ns()

    def _send_due(self) -> None:
        """Send in the order in which they came."""
        while self._waiting and (self._waiting[0].is_due(time.monotonic_ns()) or self._connection is None):
            one = self._waiting[0]
            if one.connection is self._connection:
                said = seen(one.estimates.values(), self._boundaries_px)
                self._send(one.connection, with_attributes(one.image, said))
            self._waiting.popleft()

    def _send(self, connection: socket.socket, message: bytes) -> None:
        left, until_ns = memoryview(message), time.monotonic_ns() + SEND_WITHIN_NS
        with self._sending:
            while left and connection is self._connection:
                try:
                    left = left[connection.send(left[:65_536]) :]
                except BlockingIOError:
                    if time.monotonic_ns() > until_ns:
                        _log.warning("mrd: the client does not take its images back; no more are sent to it")
                        self._connection = None
                    with contextlib.suppress(OSError, ValueError):
                        select.select([], [connection], [], 0.05)
                except OSError:
                    self._connection = None
