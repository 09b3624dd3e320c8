"""The pump: what goes out on the wire, when it waits, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import zmq

from drivers.errors import SourceFault, Unavailable
from drivers.phantom import PhantomSettings
from drivers.ports import EndOfStream, FrameStamp
from drivers.publisher import publish
from drivers.pump import PumpStatistics
from drivers.sources.phantom import PhantomSource
from gating.clocks.offset import UNKNOWN_NS
from gating.messages import (
    CineFrame,
    EngineState,
    Event,
    GateCommand,
    GateState,
    Heartbeat,
    Pacing,
    SourceKind,
    StageStamps,
    StampMeaning,
    StreamEnd,
    StreamInfo,
)
from gating.wire.codec import decode, encode
from tests.factories import stream
from tests.patience import PATIENCE_S, wait_until

SETTINGS = PhantomSettings(rows=64, columns=56, pixel_spacing_mm=(3.6, 3.6), frames_per_s=100, duration_s=0.3)
PATIENCE_MS = 60_000


class ListSource:
    """Frames on demand, then whatever `ending` raises. Its stamps come from a clock other than the host's."""

    def __init__(self, count: int, ending: Exception | None = None, **info) -> None:
        self._count, self._ending, self._next = count, ending or EndOfStream(), 0
        self._info = stream(shape=(16, 16), **info)
        self.closed = False

    def open(self) -> StreamInfo:
        return self._info

    def read_into(self, pixels, timeout_ms) -> FrameStamp | None:
        if self._next == self._count:
            raise self._ending
        pixels[...] = self._next
        self._next += 1
        return FrameStamp(self._next * 1000, time.monotonic_ns(), "sagittal", StampMeaning.KSPACE_CENTRE)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def endpoint(tmp_path) -> Callable[[str], str]:
    return lambda name: f"ipc://{tmp_path}/{name}"


@pytest.fixture
def open_socket():
    """Sockets that live as long as the test."""
    context, sockets = zmq.Context(), []

    def open_socket(kind, **options):
        socket = context.socket(kind)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        sockets.append(socket)
        return socket

    yield open_socket
    for socket in sockets:
        socket.close(linger=0)
    context.term()


@pytest.fixture
def running():
    """Start publishing beside the test; the thread owns all sockets of the publisher."""
    stop, threads = threading.Event(), []

    def start(source, *arguments, **options) -> list[PumpStatistics]:
        results: list[PumpStatistics] = []
        thread = threading.Thread(
            target=lambda: results.append(publish(source, *arguments, stop=stop.is_set, **options)), daemon=True
        )
        thread.start()
        threads.append(thread)
        return results

    yield start
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)


@pytest.fixture
def subscribe(open_socket):
    def subscribe(endpoint, topic=b"", **options):
        socket = open_socket(zmq.SUB, RCVTIMEO=PATIENCE_MS, **{"RCVHWM": 4000} | options)
        socket.subscribe(topic)
        socket.connect(endpoint)
        return socket

    return subscribe


def messages_to_the_end(socket) -> list:
    messages = []
    while not messages or not isinstance(messages[-1], StreamEnd):
        messages.append(decode(socket.recv_multipart()))
    return messages


def of(kind, messages) -> list:
    return [message for message in messages if isinstance(message, kind)]


def command(sequence: int, session_id: str = "s1") -> GateCommand:
    return GateCommand(
        session_id=session_id,
        engine_id="e1",
        command_sequence=sequence,
        state=GateState.HOLD,
        reason="settling",
        engine_state=EngineState.READY,
        frame_sequence=sequence,
        renewal=False,
        lease_ms=0,
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.STEPPED,
        stamps=StageStamps(),
    )


def test_a_recording_arrives_whole_between_its_info_and_its_end(endpoint, subscribe, running) -> None:
    published = running(PhantomSource(SETTINGS), endpoint("new/frames"), "s1")
    messages = messages_to_the_end(subscribe(endpoint("new/frames")))
    frames = of(CineFrame, messages)
    assert isinstance(messages[0], StreamInfo)
    assert [frame.header.sequence for frame in frames] == list(range(30))
    assert {message.session_id for message in messages if not isinstance(message, CineFrame)} == {"s1"}
    assert (messages[-1].frames_published, messages[-1].why) == (30, "the recording ended")
    assert wait_until(lambda: published)
    assert (published[0].frames, published[0].faulty) == (30, False)


def test_headers_say_what_the_source_declared(endpoint, subscribe, running) -> None:
    running(PhantomSource(SETTINGS), endpoint("frames"), "s1", simulated_by="a test")
    messages = messages_to_the_end(subscribe(endpoint("frames")))
    info, first = messages[0], of(CineFrame, messages)[0].header
    for field in (
        "source",
        "source_kind",
        "pacing",
        "speed",
        "dtype",
        "shape",
        "pixel_spacing_mm",
        "image_orientation",
    ):
        assert getattr(first, field) == getattr(info, field)
    assert first.simulated_by == "a test"
    assert 0 <= first.published_ns - first.acquired_on_publish_clock_ns < PATIENCE_S * 1e9
    assert first.acquired_clock == "phantom"
    assert first.publish_clock.startswith("monotonic:")
    assert len({frame.header.publisher_id for frame in of(CineFrame, messages)} - {""}) == 1


def test_frames_keep_their_pixels_though_the_buffer_is_reused(endpoint, subscribe, running) -> None:
    running(ListSource(300, frame_count=300), endpoint("frames"), "s1")
    frames = of(CineFrame, messages_to_the_end(subscribe(endpoint("frames"))))
    assert [int(frame.pixels[0, 0]) for frame in frames] == [frame.header.sequence for frame in frames]


def test_a_recording_waits_for_every_subscriber(endpoint, subscribe, running) -> None:
    running(PhantomSource(SETTINGS), endpoint("frames"), "s1", subscribers=2)
    early = subscribe(endpoint("frames"))
    while not isinstance(message := decode(early.recv_multipart()), Heartbeat):
        pass
    assert (message.state, message.counters["frames_published"]) == ("waiting", 0)
    late = subscribe(endpoint("frames"))
    assert len(of(CineFrame, messages_to_the_end(late))) == 30
    assert len(of(CineFrame, messages_to_the_end(early))) == 30


def test_a_subscriber_to_other_topics_does_not_count(endpoint, subscribe, running) -> None:
    running(PhantomSource(SETTINGS), endpoint("frames"), "s1")
    bystander = subscribe(endpoint("frames"), b"heartbeat")
    for _ in range(3):
        assert decode(bystander.recv_multipart()).state == "waiting"


def test_a_live_stream_waits_for_no_subscriber(endpoint, running) -> None:
    published = running(ListSource(5, frame_count=None), endpoint("frames"), "s1")
    assert wait_until(lambda: published)
    assert published[0].frames == 5


def test_a_foreign_clock_is_not_trusted_before_its_delay_is_measured(endpoint, subscribe, running) -> None:
    running(ListSource(3, frame_count=3, acquired_clock="scanner"), endpoint("frames"), "s1")
    messages = messages_to_the_end(subscribe(endpoint("frames")))
    for frame in of(CineFrame, messages):
        assert frame.header.acquired_uncertainty_ns == UNKNOWN_NS
        assert 0 <= frame.header.published_ns - frame.header.acquired_on_publish_clock_ns < PATIENCE_S * 1e9


@pytest.mark.parametrize(("pacing", "window"), [(Pacing.STEPPED, 1), (Pacing.UNPACED, 8)])
def test_frames_without_a_pace_wait_for_the_engines_answers(
    endpoint, open_socket, subscribe, running, pacing, window
) -> None:
    gate = open_socket(zmq.PUB)
    running(PhantomSource(SETTINGS, pacing), endpoint("frames"), "s1", gate_endpoint=endpoint("gate"))
    frames = subscribe(endpoint("frames"), b"frame")
    gate.bind(endpoint("gate"))
    waiting = [decode(frames.recv_multipart()).header.sequence for _ in range(window)]
    assert waiting == list(range(window))
    assert not frames.poll(100), "a frame came before the answer"
    for sequence in range(30 - window):
        arrived = False
        while not arrived:
            gate.send_multipart(encode(command(sequence, "another session")))
            gate.send_multipart(encode(command(sequence)))
            arrived = bool(frames.poll(20))
        assert decode(frames.recv_multipart()).header.sequence == sequence + window
        assert not frames.poll(2), "two frames came for one answer"


def test_frames_without_a_pace_need_a_gate_endpoint(endpoint) -> None:
    with pytest.raises(Unavailable, match="gate_endpoint is None"):
        publish(PhantomSource(SETTINGS, Pacing.STEPPED), endpoint("frames"), "s1")


def test_a_fault_of_the_source_is_published_and_ends_the_stream(endpoint, subscribe, running) -> None:
    source = ListSource(4, SourceFault("the scanner went away"), frame_count=9)
    published = running(source, endpoint("frames"), "s1")
    messages = messages_to_the_end(subscribe(endpoint("frames")))
    event = of(Event, messages)[0]
    assert (event.severity, event.code, event.text) == ("fault", "source_fault", "the scanner went away")
    assert (messages[-1].frames_published, messages[-1].why) == (4, "the scanner went away")
    assert wait_until(lambda: published)
    assert published[0].faulty
    assert source.closed


def test_an_unexpected_error_closes_the_source_and_is_raised(endpoint) -> None:
    source = ListSource(1, ZeroDivisionError("oops"), frame_count=None)
    with pytest.raises(ZeroDivisionError):
        publish(source, endpoint("frames"), "s1")
    assert source.closed


def test_a_stream_out_of_bounds_is_refused_before_anything_is_published(endpoint) -> None:
    with pytest.raises(Unavailable, match="out of bounds"):
        publish(ListSource(1, pixel_spacing_mm=(0.0, 1.0)), endpoint("frames"), "s1")


def test_an_endpoint_that_cannot_be_bound_is_reported() -> None:
    with pytest.raises(Unavailable, match="nonsense://here"):
        publish(ListSource(1), "nonsense://here", "s1")


def test_a_subscriber_that_stopped_reading_delays_nobody(endpoint, subscribe, running) -> None:
    published = running(ListSource(3000, frame_count=3000), endpoint("frames"), "s1", subscribers=2)
    subscribe(endpoint("frames"), RCVHWM=1, RCVBUF=4096)
    reader = subscribe(endpoint("frames"))
    sequences = [frame.header.sequence for frame in of(CineFrame, messages_to_the_end(reader))]
    assert sequences[-1] == 2999
    assert sequences == sorted(sequences)
    assert wait_until(lambda: published)
    assert published[0].subscriber_stalls >= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stream_cleanly(endpoint, subscribe, number) -> None:
    script = (
        "from drivers.publisher import run_source; from drivers.sources.phantom import PhantomSource;"
        "from drivers.phantom import PhantomSettings;"
        "run_source(PhantomSource(PhantomSettings(rows=64, columns=64, pixel_spacing_mm=(3.6, 3.6))),"
        f"endpoint={endpoint('frames')!r}, gate_endpoint={endpoint('gate')!r}, session_id='s1')"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        frames = subscribe(endpoint("frames"))
        while not isinstance(decode(frames.recv_multipart()), CineFrame):
            pass
        process.send_signal(number)
        messages = messages_to_the_end(frames)
        assert messages[-1].why == "stopped"
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_the_wire_carries_every_dtype(endpoint, subscribe, running) -> None:
    for dtype in ("uint8", "uint16", "float32"):
        running(ListSource(2, dtype=dtype, frame_count=2), endpoint(dtype), "s1")
        frames = of(CineFrame, messages_to_the_end(subscribe(endpoint(dtype))))
        assert frames[1].pixels.dtype == np.dtype(dtype)
