"""A bridge in the test's own process, and what a misbehaving one may send."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import zmq

from drivers.sources.zeromq import ZeromqSettings, ZeromqSource
from gating.clocks.clock import ManualClock, MonotonicClock
from gating.messages import Pacing, SourceKind, StreamEnd
from gating.wire.codec import encode, encode_frame
from tests.factories import START_NS, frame, stream
from tests.patience import PATIENCE_S


class Bridge:
    """A bridge in the test's own process, message by message; the source's clock stands still."""

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


def read(source: ZeromqSource, count: int, patience_s: float = PATIENCE_S) -> list[tuple[Any, np.ndarray[Any, Any]]]:
    info = source.open()
    pixels, frames = np.zeros(info.shape, info.dtype), []
    until = time.monotonic() + patience_s
    while len(frames) < count and time.monotonic() < until:
        if (stamp := source.read_into(pixels, 20)) is not None:
            frames.append((stamp, pixels.copy()))
    return frames


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
