"""Listens to the wire on a thread of its own, as any other listener does: nothing waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import zmq

from gating.messages import CineFrame, Heartbeat, Message, ReferenceImage
from gating.settings.config import EndpointSettings
from gating.wire.codec import WireError, decode
from gating.wire.sockets import Socket, receive, subscribe

POLL_MS: Final = 50
MAX_DRAIN: Final = 256
"""Most messages of a socket taken in one turn."""
QUEUED_FRAMES: Final = 16
"""Frames that may wait here; the publisher drops the others."""
BESIDE_FRAMES: Final = (b"stream", b"heartbeat", b"event", b"end")

Heard = Message | CineFrame | ReferenceImage
Arrivals = Sequence[tuple[Heard, int, str]]
"""Messages, each with its arrival on the monotonic clock, ns, and in local time, HH:MM:SS."""


class Listener:
    """Hands over what source, engine, beam interface and recorder publish.

    A recording waits for its subscribers, of whom the console must not be counted as one. So it joins the frames only
    once the source says that it streams.

    Parameters
    ----------
    endpoints
        Where they publish.
    deliver
        Called on the thread of the listener with what has come.
    """

    def __init__(self, endpoints: EndpointSettings, deliver: Callable[[Arrivals], None]) -> None:
        self._endpoints, self._deliver = endpoints, deliver
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._sees_frames = False
        self.refused = 0
        """Messages that could not be trusted."""

    def open(self) -> None:
        """Begin to listen. Raises `zmq.ZMQError`, `PermissionError` or `KeyProblem` if an endpoint cannot be used."""
        context: zmq.Context[Socket] = zmq.Context()
        endpoints = self._endpoints
        try:
            frames = subscribe(context, endpoints.frames, queue=QUEUED_FRAMES, topics=BESIDE_FRAMES)
            others = subscribe(context, endpoints.gate, endpoints.telemetry, endpoints.beam, endpoints.recorder)
        except BaseException:
            context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._run, args=(context, frames, others), name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; twice is harmless."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, context: zmq.Context[Socket], frames: Socket, others: Socket) -> None:
        poller = zmq.Poller()
        for socket in (frames, others):
            poller.register(socket, zmq.POLLIN)
        try:
            while not self._stopped.is_set():
                poller.poll(POLL_MS)
                arrivals = [*self._drain(frames), *self._drain(others)]
                if arrivals:
                    self._join_frames(frames, arrivals)
                    self._deliver(arrivals)
        finally:
            context.destroy(linger=0)

    def _drain(self, socket: Socket) -> Arrivals:
        arrivals: list[tuple[Heard, int, str]] = []
        for _ in range(MAX_DRAIN):
            parts = receive(socket)
            if parts is None:
                break
            try:
                message = decode(parts)
            except WireError:
                self.refused += 1
                continue
            arrivals.append((message, time.monotonic_ns(), f"{datetime.now():%H:%M:%S}"))
        return arrivals

    def _join_frames(self, frames: Socket, arrivals: Arrivals) -> None:
        if self._sees_frames:
            return
        if any(
            isinstance(one, Heartbeat) and (one.role, one.state) == ("source", "streaming") for one, _, _ in arrivals
        ):
            frames.subscribe(b"frame")
            self._sees_frames = True
