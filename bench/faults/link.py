"""A seeded proxy between a PUB socket and its subscribers: loss, delay, duplication, reordering and bit flips."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq

from gating.wire.sockets import bind, receive, subscribe


@dataclass(slots=True)
class Impairment:
    """What a link does to messages; probabilities from 0 to 1."""

    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    doubling: float = 0.0
    bit_flips: float = 0.0


class Link:
    """Carry messages from one endpoint to another, with impairment.

    Parameters
    ----------
    context, source, sink
        Subscribe at `source`, publish at `sink`.
    seed
        Seed of the impairment.
    on_message
        Called with every message as it arrives, before the impairment, and the time.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        source: str,
        sink: str,
        seed: int,
        on_message: Callable[[list[bytes], int], None],
    ) -> None:
        self.impairment = Impairment()
        self.socket = subscribe(context, source)
        self._sink = bind(context, zmq.PUB, sink)
        self._random = random.Random(seed)
        self._on_message = on_message
        self._waiting: list[tuple[int, int, list[bytes]]] = []
        self._count = self._newest = 0
        self.overtaken_ns = 0
        """When a message was last delivered after a later one; 0: never."""

    def pump(self) -> None:
        """Read new messages, and send those that are due."""
        while (parts := receive(self.socket)) is not None:
            now_ns = time.monotonic_ns()
            self._on_message(parts, now_ns)
            self._delay(parts, now_ns)
        while self._waiting and self._waiting[0][0] <= time.monotonic_ns():
            _, number, parts = heapq.heappop(self._waiting)
            self.send(parts)
            if number < self._newest:
                self.overtaken_ns = time.monotonic_ns()
            self._newest = max(self._newest, number)

    def send(self, parts: list[bytes]) -> None:
        """Send a message of our own."""
        self._sink.send_multipart(parts, zmq.NOBLOCK)

    def _delay(self, parts: list[bytes], now_ns: int) -> None:
        impairment, chance = self.impairment, self._random.random
        if chance() < impairment.loss:
            return
        if chance() < impairment.bit_flips:
            parts = [parts[0], flip_bit(parts[1], self._random), *parts[2:]]
        for _ in range(2 if chance() < impairment.doubling else 1):
            delay_ms = impairment.delay_ms + chance() * impairment.jitter_ms
            self._count += 1
            heapq.heappush(self._waiting, (now_ns + round(delay_ms * 1e6), self._count, parts))


def flip_bit(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one bit inverted."""
    flipped = bytearray(data)
    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)
