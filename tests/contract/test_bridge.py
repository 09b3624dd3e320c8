"""Our own wire as a source: a bridge in C++ that is compiled and run here, and bridges that misbehave."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from drivers.errors import Unavailable
from drivers.sources.zeromq import ZeromqSettings, ZeromqSource
from gating.clocks.clock import ManualClock, MonotonicClock
from gating.messages import Pacing, SourceKind, StampMeaning, StreamEnd
from gating.wire.codec import encode, encode_frame
from tests.factories import START_NS, frame, stream
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
NEEDED = ("zmq.h", "msgpack.hpp", "xxhash.h")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the documentation, compiled as it says."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    missing = [name for name in NEEDED if not Path("/usr/include", name).exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt install libzmq3-dev libmsgpack-cxx-dev libxxhash-dev")
    program = tmp_path_factory.mktemp("bridge") / "bridge"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-DMSGPACK_NO_BOOST", ROOT / "docs" / "bridge.cpp"]
    subprocess.run([*command, "-lzmq", "-o", program], check=True)
    return program


def read(source: ZeromqSource, count: int, patience_s: float = PATIENCE_S) -> list[tuple[Any, np.ndarray[Any, Any]]]:
    info = source.open()
    pixels, frames = np.zeros(info.shape, info.dtype), []
    until = time.monotonic() + patience_s
    while len(frames) < count and time.monotonic() < until:
        if (stamp := source.read_into(pixels, 20)) is not None:
            frames.append((stamp, pixels.copy()))
    return frames


def test_the_documented_bridge_compiles_runs_and_is_a_source(bridge: Path, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/bridge"
    with subprocess.Popen([bridge, endpoint, "4000", "40"]) as process:
        source = ZeromqSource(ZeromqSettings(endpoint=endpoint, first_frame_timeout_s=PATIENCE_S))
        try:
            frames = read(source, 30)
            info = source.open()
        finally:
            source.close()
            process.kill()
    assert (info.source_kind, info.shape, info.nominal_interval_ns) == (SourceKind.PHANTOM, (96, 80), 25_000_000)
    assert len(frames) == 30
    assert source.take_notices() == []
    for stamp, pixels in frames:
        step = int(pixels[0, 0])
        expected = (np.arange(96 * 80) * 37 + step) % 1000
        np.testing.assert_array_equal(pixels.ravel(), expected)
        assert stamp.acquired_on_host_ns == stamp.acquired_ns <= stamp.arrived_ns
        assert stamp.arrived_ns - stamp.acquired_ns < PATIENCE_S * 1e9


class Bridge:
    """A bridge in the test's own process, message by message. The source's clock stands, however long a test takes."""

    def __init__(self, endpoint: str, *, arrival_time: bool = False) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.bind(endpoint)
        settings = ZeromqSettings(endpoint=endpoint, first_frame_timeout_s=PATIENCE_S, arrival_time=arrival_time)
        self.source = ZeromqSource(settings, clock=ManualClock(START_NS, MonotonicClock().name))

    def start(self) -> None:
        """Declare the stream as soon as the source has subscribed, and let it open."""
        opening = threading.Thread(target=self.source.open, daemon=True)
        opening.start()
        assert self._socket.poll(PATIENCE_S * 1e3)
        self.send(stream(source_kind=SourceKind.LIVE))
        opening.join(PATIENCE_S)
        assert not opening.is_alive()

    def send(self, message: Any) -> None:
        self._socket.send_multipart(encode_frame(message) if hasattr(message, "pixels") else encode(message))

    def send_raw(self, *parts: bytes) -> None:
        self._socket.send_multipart(parts)

    def frame(self, sequence: int, **overrides: Any) -> None:
        self.send(frame(sequence, source_kind=SourceKind.LIVE, **overrides))

    def close(self) -> None:
        self.source.close()
        self._context.destroy(linger=0)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(f"ipc://{tmp_path}/peer")
    made.start()
    yield made
    made.close()


BAD = {
    "garbage": (lambda peer: peer.send_raw(b"frame", b"\xc1", b"x"), "not valid msgpack"),
    "unknown topic": (lambda peer: peer.send_raw(b"hello", b"\x80"), "topic b'hello' is unknown"),
    "changed pixels": (
        lambda peer: peer.send_raw(*(bytes(p) for p in encode_frame(frame(1))[:2]), b"\0" * 18432),
        "content_hash",
    ),
    "other shape": (
        lambda peer: peer.frame(1, pixels=np.ones((64, 96), np.uint16)),
        "shape is (64, 96), the stream declared (96, 96)",
    ),
    "other spacing": (lambda peer: peer.frame(1, pixel_spacing_mm=(2.0, 2.5)), "pixel_spacing_mm is (2.0, 2.5)"),
    "other session": (lambda peer: peer.frame(1, session_id="s2"), "session_id is s2"),
    "unknown plane": (lambda peer: peer.frame(1, plane="coronal"), "plane is coronal; the stream declared sagittal"),
    "second bridge": (lambda peer: peer.frame(1, publisher_id="p2"), "a second bridge"),
    "repeated frame": (lambda peer: peer.frame(0), "it came after frame 0"),
    "lost frames": (lambda peer: peer.frame(3), "2 frames of the bridge are missing before frame 3"),
    "other pacing": (lambda peer: peer.send(stream(pacing=Pacing.STEPPED)), "pacing of the bridge is stepped"),
    "other declaration": (lambda peer: peer.send(stream(shape=(96, 80))), "declared its stream differently"),
    "ended": (
        lambda peer: peer.send(StreamEnd(session_id="s1", source="test", frames_published=1, why="bridge stops")),
        "the bridge ended its stream: bridge stops",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_in_a_sentence_and_the_stream_goes_on(peer: Bridge, name: str) -> None:
    send, said = BAD[name]
    peer.frame(0)
    assert len(read(peer.source, 1)) == 1
    send(peer)
    for sequence in range(4, 8):
        peer.frame(sequence)
    assert len(read(peer.source, 4)) >= 4
    assert any(said in notice for notice in peer.source.take_notices())


def test_stamps_of_another_hosts_clock_are_left_to_be_mapped(peer: Bridge) -> None:
    peer.frame(0)
    (stamp, _), *_ = read(peer.source, 1)
    assert stamp.acquired_on_host_ns is None


def test_stamps_of_this_hosts_clock_are_taken_with_the_bridges_uncertainty(peer: Bridge) -> None:
    peer.frame(0, publish_clock=MonotonicClock().name, acquired_uncertainty_ns=7)
    (stamp, _), *_ = read(peer.source, 1)
    assert (stamp.acquired_on_host_ns, stamp.uncertainty_ns) == (frame(0).header.acquired_on_publish_clock_ns, 7)


def test_arrival_times_stand_in_for_stamps_on_request(tmp_path: Path) -> None:
    made = Bridge(f"ipc://{tmp_path}/arrival", arrival_time=True)
    made.start()
    made.frame(0)
    (stamp, _), *_ = read(made.source, 1)
    info = made.source.open()
    made.close()
    assert (stamp.meaning, info.acquired_meaning) == (StampMeaning.ARRIVAL, StampMeaning.ARRIVAL)
    assert stamp.acquired_on_host_ns == stamp.arrived_ns


def test_no_bridge_is_said_after_the_time_out(tmp_path: Path) -> None:
    source = ZeromqSource(ZeromqSettings(endpoint=f"ipc://{tmp_path}/nobody", first_frame_timeout_s=0.1))
    with pytest.raises(Unavailable, match=r"no stream message came from ipc://.* within 0.1 s"):
        source.open()
