"""The position stream, as the recorder hears it: nothing that comes, or does not come, matters to the gate."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import zmq

from gating.messages import TOPICS, TargetPosition
from gating.wire.codec import MAX_HEADER_BYTES
from gating.wire.keys import KeyProblem
from gating.wire.sockets import ReconnectingSubscriber, receive

BATCH: Final = 64
"""Positions taken in a turn, at most: a process that floods its channel delays no frame."""

_POSITION: Final = TOPICS[TargetPosition]
_log: Final = logging.getLogger("cinegate.record")


class PositionListener:
    """Hears positions for the log if some process publishes them.

    A folder of keys without that of the process is one of a session without a position stream.

    Parameters
    ----------
    context, endpoint
        As for `gating.wire.sockets.subscribe`.
    """

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self._subscriber: ReconnectingSubscriber | None = None
        try:
            self._subscriber = ReconnectingSubscriber(context, endpoint, max_bytes=MAX_HEADER_BYTES)
        except KeyProblem as problem:
            _log.info("no position is recorded: %s", problem)

    def positions(self, now_ns: int) -> Iterator[list[bytes]]:
        """Yield the parts of the positions that wait. Messages of other topics are none of this channel's."""
        if self._subscriber is None:
            return
        self._subscriber.reopen_if_silent(now_ns)
        for _ in range(BATCH):
            parts = receive(self._subscriber.socket)
            if parts is None:
                return
            self._subscriber.last_message_ns = now_ns
            if parts[0] == _POSITION:
                yield parts
