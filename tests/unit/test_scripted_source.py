"""The source of the fault suite, which shares its thread with the links of the beam's commands."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import zmq

from bench.faults.injections import INJECTIONS
from bench.faults.scripted_source import ScriptedSource, unchanged
from gating.wire.codec import decode
from gating.wire.sockets import Socket, receive, subscribe
from tests.factories import stream

MEGABYTES = 32
SLOT_NS = 1_000_000
SHAPE = (8, 8)


class FewestParts:
    """What an injection needs of a scene: a source that gets its turn, and nothing else that runs."""

    def __init__(self, source: ScriptedSource) -> None:
        self.source = source

    def next_frame(self, count: int = 1) -> None:
        last = self.source.slot + count
        while self.source.slot < last:
            self.source.tick()

    def mark_visible(self, moment_ns: int) -> None:
        pass

    def calm(self) -> None:
        self.source.transform = unchanged


@pytest.fixture
def heard() -> Iterator[Socket]:
    context: zmq.Context = zmq.Context()
    yield subscribe(context, "inproc://frames")
    context.destroy(linger=0)


@pytest.fixture
def scene(heard: Socket) -> Iterator[FewestParts]:
    def picture(slot: int) -> np.ndarray:
        return np.full(SHAPE, slot, np.uint16)

    declared = stream(shape=SHAPE, nominal_interval_ns=SLOT_NS)
    source = ScriptedSource(declared, picture, "test")
    source.open(heard.context, "inproc://frames")
    yield FewestParts(source)
    source.close()


def pictures(heard: Socket) -> list[int]:
    """The numbers of the pictures that were sent since the last call."""
    messages = []
    while (parts := receive(heard)) is not None:
        if parts[0] == b"frame":
            messages.append(decode(parts))
    return [int(message.pixels[0, 0]) for message in messages]


def fastest_s(what, tries: int = 5) -> float:
    times_s = []
    for _ in range(tries):
        began_s = time.perf_counter()
        what()
        times_s.append(time.perf_counter() - began_s)
    return min(times_s)


def test_a_large_part_does_not_stop_the_links(scene: FewestParts) -> None:
    large = bytes(MEGABYTES * 2**20)
    copying_s = fastest_s(lambda: bytearray(large))
    assert fastest_s(lambda: scene.source.send([large])) < 0.3 * copying_s


@pytest.mark.parametrize(("fault", "loop"), [("loop_of_17_frames", 17), ("loop_of_40_frames", 40)])
def test_a_loop_repeats_what_was_shown_just_before_it(scene: FewestParts, heard: Socket, fault: str, loop: int) -> None:
    scene.next_frame(30)
    scene.source.transform = lambda _: []
    scene.next_frame(5)
    scene.calm()
    pictures(heard)
    injection = INJECTIONS[fault](scene)
    next(injection)
    scene.next_frame(loop)
    shown = pictures(heard)
    assert shown[loop : 2 * loop] == shown[:loop]
    assert shown[:loop] == list(range(shown[0], shown[0] + loop))
