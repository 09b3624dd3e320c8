"""Tests wait for conditions, not for times: a slow or busy machine makes a test slow rather than red."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import numpy as np

from gating.messages import StreamInfo

PATIENCE_S: Final = 20.0
"""How long to wait for what must come. A test that passes never waits this long."""


class Teller(Protocol):
    """A source that has sentences for the operator."""

    def read_into(self, pixels: Any, timeout_ms: int) -> object: ...

    def take_notices(self) -> list[str]: ...


def wait_until(good: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
    """Whether a condition became true in time."""
    until_s = time.monotonic() + seconds
    while not good():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.005)
    return True


def next_notices(source: Teller, info: StreamInfo) -> str:
    """What a source tells the operator next, before any frame; empty if nothing comes in time."""
    notices: list[str] = []

    def came() -> bool:
        assert source.read_into(np.zeros(info.shape, info.dtype), 20) is None
        notices.extend(source.take_notices())
        return bool(notices)

    wait_until(came)
    return " ".join(notices)


def shortest_s(attempt: Callable[[], object], limit_s: float, tries: int = 6) -> float:
    """The shortest time that an attempt takes, tried again while it lies above the limit.

    A loaded machine is late now and then; what really takes too long is always late.
    """
    shortest = float("inf")
    for _ in range(tries):
        begin_s = time.monotonic()
        attempt()
        shortest = min(shortest, time.monotonic() - begin_s)
        if shortest <= limit_s:
            break
    return shortest


@contextmanager
def reserved_ports(count: int = 1) -> Iterator[list[int]]:
    """Free ports of the loopback interface, reserved until the end.

    They are bound and not listened on, so that a server that sets SO_REUSEADDR, as all of ours do, can take them.
    """
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        yield [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


class SlowClock:
    """A host clock that runs slower, to stretch the deadlines of what it drives beyond the pauses of a busy machine."""

    name = "monotonic:slow"

    def __init__(self, times: int = 4) -> None:
        self._times = times

    def now_ns(self) -> int:
        """Return slowed ns."""
        return time.monotonic_ns() // self._times
