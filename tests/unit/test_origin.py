"""Peer and series of the frames: declared, named, and a change of either ends the stream for the engine."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import zmq

from drivers.formats.frame import PlaneGeometry, VendorFrame, checked_frame
from drivers.ports import EndOfStream, FrameStamp
from drivers.publisher import publish
from drivers.sources.live import SERIES_SILENCE_NS, Arrival, LiveSettings, LiveSource
from gating.clocks.offset import MIN_SAMPLES, UNKNOWN_NS
from gating.decision.reasons import GateReason
from gating.messages import CineFrame, EngineState, Event, GateState, StampMeaning, StreamEnd, StreamInfo
from gating.settings.config import ClockSettings
from gating.wire.codec import decode
from tests.engine_bench import Bench, states
from tests.factories import stream

GEOMETRY = PlaneGeometry((2.0, 2.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (0.0, -16.0, 16.0))
INTERVAL_NS = 100_000_000
SETTINGS = LiveSettings(frames_per_s=10)


class Mailbox:
    """Arrivals that are already there."""

    name = "mailbox"

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self._left = list(arrivals)

    def open(self) -> None:
        pass

    def wait(self, timeout_ms: int) -> Arrival | None:
        return self._left.pop(0) if self._left else None

    def close(self) -> None:
        pass


def image(stamp_ns: int, series: str = "a", frame_of_reference: str = "") -> VendorFrame:
    return checked_frame(
        np.zeros((16, 16), np.uint16),
        GEOMETRY,
        acquired_ns=stamp_ns,
        clock="scanner",
        meaning=StampMeaning.START,
        name=f"at {stamp_ns}",
        series=series,
        frame_of_reference=frame_of_reference,
    )


def from_peer(peer: str, *indices: int, behind_ns: int = 0, **kind: Any) -> list[Arrival]:
    """Frames of a peer whose clock may be behind; each arrives when it is due."""
    start_ns = 10**12
    return [
        Arrival(index * INTERVAL_NS, (image(start_ns + index * INTERVAL_NS - behind_ns, **kind),), peer=peer)
        for index in indices
    ]


def taken(*arrivals: list[Arrival]) -> tuple[StreamInfo, list[FrameStamp], list[str]]:
    """The declaration of a source, the stamps of all its frames, and its notices."""
    source = LiveSource(Mailbox(list(itertools.chain(*arrivals))), SETTINGS)
    info = source.open()
    pixels = np.zeros(info.shape, info.dtype)
    stamps = list(iter(lambda: source.read_into(pixels, 1), None))
    return info, stamps, source.take_notices()


def test_a_live_source_declares_peer_and_scan_of_its_first_frame():
    info, stamps, _ = taken(from_peer("console", 0, 1))
    assert info.origin == "console, scan 0"
    assert {(stamp.peer, stamp.series) for stamp in stamps} == {(info.peer, info.series)}


def test_another_peer_of_the_same_series_is_another_origin():
    _, stamps, _ = taken(from_peer("console", 0, 1), from_peer("other", 2, 3))
    assert [(stamp.peer, stamp.series) for stamp in stamps[1:3]] == [("console", "scan 0"), ("other", "scan 0")]


def test_another_series_after_silence_is_another_origin():
    later = 2 + SERIES_SILENCE_NS // INTERVAL_NS
    _, stamps, _ = taken(from_peer("console", 0, 1), from_peer("console", later, series="b"))
    assert [stamp.series for stamp in stamps] == ["scan 0", "scan 0", "scan 1"]


def test_another_frame_of_reference_is_refused():
    _, stamps, notices = taken(from_peer("console", 0, 1), from_peer("other", 2, frame_of_reference="1.2"))
    assert len(stamps) == 2
    assert "its frame of reference is not the one that the stream began with" in notices[0]


@pytest.mark.parametrize("behind_s", [5, 60], ids=["5 s behind", "a minute behind"])
def test_no_frame_of_another_peer_is_late_by_the_clock_of_the_first(behind_s):
    _, stamps, notices = taken(from_peer("console", 0, 1), from_peer("other", 2, 3, behind_ns=behind_s * 10**9))
    assert ([stamp.peer for stamp in stamps], notices) == (["console"] * 2 + ["other"] * 2, [])


class TwoPeers:
    """Thirty frames of one peer, then thirty of another whose clock is 6 ms ahead of the first's: less than a step."""

    def __init__(self) -> None:
        self._next = 0

    def open(self) -> StreamInfo:
        return stream(shape=(16, 16), frame_count=60, peer="console", series="scan 0")

    def read_into(self, pixels: Any, timeout_ms: int) -> FrameStamp:
        if self._next == 60:
            raise EndOfStream
        first = self._next < 30
        self._next += 1
        pixels[...] = self._next
        now_ns = time.monotonic_ns()
        stamp_ns = now_ns - (10**9 if first else 10**9 - 6_000_000)
        peer = "console" if first else "other"
        return FrameStamp(stamp_ns, now_ns, "sagittal", StampMeaning.START, peer=peer, series="scan 0")

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def two_peers(tmp_path_factory) -> list[Any]:
    """What the real pump publishes of two peers, in order."""
    endpoint = f"ipc://{tmp_path_factory.mktemp('two')}/frames"
    clocks = ClockSettings(source_delay_ms=0, source_delay_uncertainty_ms=1)
    thread = threading.Thread(target=publish, args=(TwoPeers(), endpoint, "s1"), kwargs={"clocks": clocks}, daemon=True)
    heard: list[Any] = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.RCVTIMEO, 60_000)
        socket.subscribe(b"")
        socket.connect(endpoint)
        thread.start()
        while not heard or not isinstance(heard[-1], StreamEnd):
            heard.append(decode(socket.recv_multipart()))
    thread.join()
    return heard


def test_another_peer_is_declared_and_named_before_its_first_frame(two_peers):
    first = next(i for i, one in enumerate(two_peers) if isinstance(one, CineFrame) and one.header.sequence == 30)
    declared = [one for one in two_peers[:first] if isinstance(one, StreamInfo)]
    assert declared[-1].origin == "other, scan 0"
    (changed,) = [one for one in two_peers if isinstance(one, Event) and one.code == "origin_changed"]
    assert changed.text == "frames came from console, scan 0, and now come from other, scan 0"


def test_another_peer_is_another_publisher(two_peers):
    ids = [one.header.publisher_id for one in two_peers if isinstance(one, CineFrame)]
    assert (len(set(ids[:30])), len(set(ids[30:])), len(set(ids))) == (1, 1, 2)


def test_nothing_is_known_of_another_peers_clock(two_peers):
    headers = [one.header for one in two_peers if isinstance(one, CineFrame)]
    unknown = [header.sequence for header in headers if header.acquired_uncertainty_ns == UNKNOWN_NS]
    assert unknown == [*range(MIN_SAMPLES - 1), *range(30, 30 + MIN_SAMPLES - 1)]


@pytest.fixture
def armed():
    bench = Bench()
    bench.engine.open_stream(stream())
    assert GateState.ON in states(bench.steps(6))
    return bench


@pytest.mark.parametrize("changed", [{"peer": "other"}, {"series": "scan 1"}], ids=["peer", "series"])
def test_a_declared_change_of_origin_latches_though_no_frame_tells(armed, changed):
    (event,) = armed.engine.open_stream(stream(**changed))
    (name,) = changed.values()
    assert event.text == f"latched: frames now come from {name}; until now they came from no peer"
    command = armed.step(6).command
    assert (command.state, command.reason) == (GateState.HOLD, GateReason.SESSION_CHANGED)
    assert command.engine_state is EngineState.LATCHED


def test_an_operator_may_go_on_with_another_peer(armed):
    other = stream(peer="other")
    armed.engine.open_stream(other)
    assert armed.request("acknowledge", "the console was restarted").accepted
    assert armed.engine.open_stream(other) == []
    armed.steps(6, start=6)
    assert armed.request("arm").accepted
    assert GateState.ON in states(armed.steps(4, start=12))


def test_a_declaration_that_differs_in_more_than_its_origin_stays_refused(armed):
    armed.engine.open_stream(stream(peer="other", nominal_interval_ns=1))
    assert armed.engine.tick().command.reason is GateReason.GEOMETRY_CHANGED


def test_a_status_names_peer_and_series(armed):
    assert "frames come from" not in armed.request("status").text
    armed.engine.open_stream(stream(peer="console", series="scan 0"))
    assert armed.request("status").text.endswith("frames come from console, scan 0")
