"""A source that publishes frames as the script of a fault says."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import zmq

from bench.faults.pictures import Picture
from gating.messages import CineFrame, FrameHeader, Heartbeat, StreamEnd, StreamInfo
from gating.wire.codec import Part, encode, encode_frame
from gating.wire.pixels import content_hash
from gating.wire.sockets import Socket, bind

Parts = Sequence[Part]
Transform = Callable[[CineFrame], Iterable[Parts]]

RECENT_PICTURES: Final = 40
INFO_EVERY_NS: Final = 500_000_000
FIRST_RAW_NS: Final = 3_600_000_000_000
"""Start of the source's own clock: an hour, so that a stamp can go back without becoming negative."""


def unchanged(frame: CineFrame) -> Iterable[Parts]:
    """Send a frame unchanged."""
    return [encode_frame(frame)]


class ScriptedSource:
    """Publish frames at their rate, each through `transform`.

    Parameters
    ----------
    stream
        Stream to declare.
    show
        Returns the picture of a slot. Slots count whether or not a frame is sent.
    clock_name
        Name of this host's monotonic clock.
    ahead_ns
        How far the source's clock is ahead of this host's; 0 if it is this host's clock. Any other is foreign to the
        engine, as that of another host is.
    """

    def __init__(
        self, stream: StreamInfo, show: Callable[[int], Picture], clock_name: str, *, ahead_ns: int = 0
    ) -> None:
        self.stream = stream
        self.show = show
        self.transform: Transform = unchanged
        self.publisher_id = secrets.token_hex(4)
        self.sequence = 0
        self.slot = -1
        self.slot_ns = 0
        """When the newest slot was due, and its frame acquired."""
        self.sent_ns = 0
        self.paused = False
        self.declares = True
        self.published: list[tuple[int, FrameHeader]] = []
        """When each intact frame was sent, and its header."""
        self.recent: deque[Picture] = deque(maxlen=RECENT_PICTURES)
        """Pictures of the newest intact frames."""
        self._clock_name, self._ahead_ns = clock_name, ahead_ns
        self._start_ns = time.monotonic_ns()
        self._due_ns = self._start_ns
        self._info_due_ns = 0
        self._socket: Socket | None = None

    @property
    def interval_ns(self) -> int:
        """Interval between two frames, ns."""
        return self.stream.nominal_interval_ns

    def open(self, context: zmq.Context[Any], endpoint: str) -> None:
        """Bind the endpoint."""
        self._socket = bind(context, zmq.XPUB, endpoint)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)

    def close(self) -> None:
        """Release the endpoint."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def restart(self) -> None:
        """Become a new source: another publisher that counts from 0."""
        self.publisher_id, self.sequence = secrets.token_hex(4), 0

    def wait_ns(self) -> int:
        """Return the time until something is due, ns."""
        return max(0, min(self._due_ns, self._info_due_ns) - time.monotonic_ns())

    def tick(self) -> None:
        """Publish what is due."""
        if self._socket is None:
            return
        now_ns = time.monotonic_ns()
        while self._socket.poll(0):
            self._socket.recv()
            self._info_due_ns = 0
        if now_ns >= self._info_due_ns and not self.paused:
            self._info_due_ns = now_ns + INFO_EVERY_NS
            if self.declares:
                self.send(encode(self.stream))
            self.send(encode(self._heartbeat(now_ns)))
        elif now_ns >= self._info_due_ns:
            self._info_due_ns = now_ns + INFO_EVERY_NS
        if now_ns >= self._due_ns:
            self._take_slot(now_ns)

    def frame(self) -> CineFrame:
        """Return the frame of the newest slot."""
        pixels = self.show(self.slot)
        header = FrameHeader(
            session_id=self.stream.session_id,
            source=self.stream.source,
            publisher_id=self.publisher_id,
            source_kind=self.stream.source_kind,
            pacing=self.stream.pacing,
            speed=self.stream.speed,
            sequence=self.sequence,
            plane=self.stream.planes[0],
            acquired_ns=FIRST_RAW_NS + self.slot_ns - self._start_ns,
            acquired_clock=self.stream.acquired_clock,
            acquired_meaning=self.stream.acquired_meaning,
            acquired_on_publish_clock_ns=self.slot_ns + self._ahead_ns,
            published_ns=time.monotonic_ns() + self._ahead_ns,
            publish_clock=self._clock_name,
            dtype=self.stream.dtype,
            shape=self.stream.shape,
            pixel_spacing_mm=self.stream.pixel_spacing_mm,
            image_orientation=self.stream.image_orientation,
            image_position_mm=self.stream.image_position_mm,
            content_hash=content_hash(pixels),
            simulated_by="fault suite",
        )
        return CineFrame(header, pixels)

    def ending(self, session_id: str) -> StreamEnd:
        """Return the end of a stream of this source."""
        return StreamEnd(
            session_id=session_id,
            source=self.stream.source,
            frames_published=self.sequence,
            why="told by the fault suite",
        )

    def send(self, parts: Parts) -> None:
        """Send arbitrary bytes. Large parts are not copied: that would stop the links, which share this thread."""
        if self._socket is not None:
            self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
            self.sent_ns = time.monotonic_ns()

    def _take_slot(self, now_ns: int) -> None:
        late = (now_ns - self._due_ns) // self.interval_ns
        self.slot_ns = self._due_ns + late * self.interval_ns
        self._due_ns = self.slot_ns + self.interval_ns
        self.slot += 1
        if self.paused:
            return
        frame = self.frame()
        for parts in self.transform(frame):
            self.send(parts)
        if self.transform is unchanged:
            self.published.append((self.sent_ns, frame.header))
            self.recent.append(frame.pixels)
        self.sequence += 1

    def _heartbeat(self, now_ns: int) -> Heartbeat:
        return Heartbeat(
            session_id=self.stream.session_id,
            role="source",
            process_id=os.getpid(),
            state="streaming",
            sent_ns=now_ns,
            counters={"frames_published": len(self.published)},
        )


def changed(frame: CineFrame, **changes: Any) -> CineFrame:
    """Return the frame with changed header fields."""
    return CineFrame(msgspec.structs.replace(frame.header, **changes), frame.pixels)


def repainted(frame: CineFrame, pixels: Picture) -> CineFrame:
    """Return the frame with other pixels and their hash."""
    header = msgspec.structs.replace(
        frame.header, content_hash=content_hash(pixels), dtype=str(pixels.dtype), shape=pixels.shape
    )
    return CineFrame(header, pixels)
