"""The process that publishes positions. It listens to an engine as any onlooker does, and no engine waits for it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

import zmq
from threadpoolctl import threadpool_limits

from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import GateCommand, TargetPosition
from gating.positions.book import PositionBook
from gating.settings.config import Config
from gating.wire.codec import WireError, decode, encode
from gating.wire.session_end import is_last
from gating.wire.sockets import ReconnectingSubscriber, bind, receive, send

BATCH: Final = 256

_log: Final = logging.getLogger("cinegate.positions")


class PositionPublisher:
    """Publishes the position of each structure of a session, under leases.

    Parameters
    ----------
    config
        Endpoints, and the settings of the position stream.
    session_id
        The session whose targets are published.
    clock
        Clock of this host, which must be the engine's.
    """

    def __init__(self, config: Config, session_id: str, clock: Clock | None = None) -> None:
        self._config, self._session_id = config, session_id
        self._clock = clock or MonotonicClock()
        self._book = PositionBook(config, session_id, secrets.token_hex(8), self._clock.name)
        self._renew_ns = round(config.positions.renew_ms * 1e6)
        self._due_ns = 0
        self._told: dict[str, tuple[bool, str]] = {}
        self._over = False

    def run(self, stop: Callable[[], bool]) -> None:
        """Publish until `stop` returns true or the session has ended. Raises `zmq.ZMQError` for a bad endpoint."""
        threadpool_limits(1)  # small matrices: where the cores are busy, one thread would wait tens of ms for the other
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            endpoints = self._config.endpoints
            publisher = bind(context, zmq.PUB, endpoints.positions)
            heard = [ReconnectingSubscriber(context, channel) for channel in (endpoints.gate, endpoints.telemetry)]
            _log.info("session %s: hears %s and %s, publishes at %s", self._session_id, endpoints.gate,
                      endpoints.telemetry, endpoints.positions)  # fmt: skip
            while not (stop() or self._over):
                self._turn(heard, publisher)
        finally:
            context.destroy(linger=0)

    def _turn(self, heard: list[ReconnectingSubscriber], publisher: zmq.Socket[bytes]) -> None:
        """Wait until something is heard or a position is due, and publish."""
        wait_ms = max(0, -(-(self._due_ns - self._clock.now_ns()) // 1_000_000))
        zmq.zmq_poll([(one.socket, zmq.POLLIN) for one in heard], wait_ms)
        is_new = sum([self._drain(one) for one in heard]) > 0
        now_ns = self._clock.now_ns()
        if is_new or now_ns >= self._due_ns:
            self._due_ns = now_ns + self._renew_ns
            for position in self._book.positions(now_ns):
                self._tell(position)
                send(publisher, encode(position))

    def _drain(self, subscriber: ReconnectingSubscriber) -> bool:
        """Hear what has come; return whether it brings a new frame."""
        is_new = False
        for _ in range(BATCH):
            parts = receive(subscriber.socket)
            if parts is None:
                break
            subscriber.last_message_ns = self._clock.now_ns()
            try:
                message = decode(parts)
            except WireError as error:
                _log.warning("a message was refused: %s", error)
                continue
            self._over = self._over or (isinstance(message, GateCommand) and is_last(message))
            is_new |= self._book.hear(message)
        subscriber.reopen_if_silent(self._clock.now_ns())
        return is_new

    def _tell(self, position: TargetPosition) -> None:
        """Log each change of validity or of its reason."""
        told = position.valid, position.reason
        if self._told.get(position.structure) != told:
            self._told[position.structure] = told
            state = "valid" if position.valid else "not valid"
            _log.info("position of %s %s: %s %s", position.structure, state, position.reason, position.detail)
