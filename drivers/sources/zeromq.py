"""Our own wire as a source: a site's bridge, in any language, publishes frames, which are checked and passed on."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec
import numpy as np
import zmq
from msgspec import Meta, Struct
from numpy.typing import NDArray

from drivers.errors import SourceFault, Unavailable
from drivers.ports import FrameStamp
from drivers.sources.refusals import Refusals
from drivers.sources.waiting import WaitS, wait_ends_s
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import CineFrame, FrameHeader, Pacing, StampMeaning, StreamEnd, StreamInfo
from gating.wire.codec import WireError, decode
from gating.wire.sockets import Socket, receive, subscribe

OTHER_BRIDGE_NS: Final = 10**9
"""A restarted bridge may take over after this silence; before, another one is a second peer."""
MAX_FRAME_BYTES: Final = 64 * 2**20
DECLARED: Final = ("session_id", "source", "source_kind", "pacing", "dtype", "shape", "pixel_spacing_mm")


class ZeromqSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the bridge publishes."""

    endpoint: Annotated[str, Meta(min_length=6, max_length=512, description="Endpoint of the bridge.")]
    arrival_time: Annotated[
        bool, Meta(description="Use arrival times as stamps: the age of the images is then unknown.")
    ] = False
    first_frame_timeout_s: WaitS = 60.0


class ZeromqSource:
    """The stream of a bridge. Its first `stream` message binds: frames that differ from it are refused and reported.

    Parameters
    ----------
    settings
        See `ZeromqSettings`.
    clock
        The host's monotonic clock. Stamps on the same clock, from a bridge on this host, need no mapping.
    """

    Settings = ZeromqSettings

    def __init__(self, settings: ZeromqSettings, *, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or MonotonicClock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: Socket | None = None
        self._info: StreamInfo | None = None
        self._last: FrameHeader | None = None
        self._last_ns = 0
        self._bridges = 1
        """Bridges that have published so far; each start of a bridge counts as one."""
        self._refusals = Refusals("zeromq")
        self._refuse = self._refusals.refuse

    @property
    def counters(self) -> dict[str, int]:
        """Refused messages and missing frames, by cause."""
        return dict(self._refusals.counts)

    def take_notices(self) -> list[str]:
        """Return the new sentences for the operator."""
        return self._refusals.take()

    def open(self) -> StreamInfo:
        """Connect, and wait for the bridge to declare its stream. Raises `Unavailable`."""
        if self._info is not None:
            return self._declared(self._info)
        self._last, self._bridges = None, 1
        self._context = zmq.Context()
        try:
            self._socket = subscribe(self._context, self._settings.endpoint, max_bytes=MAX_FRAME_BYTES)
        except zmq.ZMQError as error:
            self.close()
            raise Unavailable(f"bridge endpoint {self._settings.endpoint}: {error}") from None
        return self._declared(self._await_stream())

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the bridge's next frame into `pixels`. Raises `SourceFault` if closed."""
        if self._info is None:
            raise SourceFault("the bridge's stream is not open")
        frame = self._next_frame(timeout_ms)
        if frame is None:
            return None
        pixels[...] = frame.pixels
        header, arrived_ns = frame.header, self._last_ns
        declared = self._declared(self._info)
        if self._settings.arrival_time:
            return FrameStamp(
                arrived_ns,
                arrived_ns,
                header.plane,
                StampMeaning.ARRIVAL,
                arrived_ns,
                image_orientation=header.image_orientation,
                image_position_mm=header.image_position_mm,
                peer=declared.peer,
                series=declared.series,
            )
        ours = header.publish_clock == self._clock.name
        return FrameStamp(
            acquired_ns=header.acquired_ns,
            arrived_ns=arrived_ns,
            plane=header.plane,
            meaning=header.acquired_meaning,
            acquired_on_host_ns=header.acquired_on_publish_clock_ns if ours else None,
            uncertainty_ns=header.acquired_uncertainty_ns,
            moment_uncertainty_ns=header.moment_uncertainty_ns if ours else None,
            image_orientation=header.image_orientation,
            image_position_mm=header.image_position_mm,
            peer=declared.peer,
            series=declared.series,
        )

    def close(self) -> None:
        """Disconnect."""
        self._info = None
        if self._context is not None:
            self._context.destroy(linger=0)
        self._context = self._socket = None

    def _await_stream(self) -> StreamInfo:
        until_s = wait_ends_s(self._settings.first_frame_timeout_s, f"the bridge at {self._settings.endpoint}")
        while self._info is None:
            if time.monotonic() > until_s:
                self.close()
                raise Unavailable(
                    f"no stream message came from {self._settings.endpoint} within "
                    f"{self._settings.first_frame_timeout_s:g} s, the limit{self._refusals.last}"[:400]
                )
            self._next_frame(50)
        self._refusals.waiting = False
        return self._info

    def _declared(self, info: StreamInfo) -> StreamInfo:
        peer = f"bridge {self._bridges}, {info.peer or info.source}"[:128]
        info = msgspec.structs.replace(info, peer=peer)
        if not self._settings.arrival_time:
            return info
        return msgspec.structs.replace(info, acquired_clock=self._clock.name, acquired_meaning=StampMeaning.ARRIVAL)

    def _next_frame(self, timeout_ms: int) -> CineFrame | None:
        """Read messages until one is a frame of the stream, or the time is up."""
        assert self._socket is not None
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while True:
            left_ms = max(0, (until_ns - time.monotonic_ns()) // 1_000_000)
            if not self._socket.poll(left_ms):
                return None
            while (parts := receive(self._socket)) is not None:
                arrived_ns = self._clock.now_ns()
                try:
                    message = decode(parts)
                except WireError as error:
                    self._refuse("unreadable", str(error))
                    continue
                if isinstance(message, StreamInfo):
                    self._bind(message)
                elif isinstance(message, StreamEnd):
                    self._refuse("ended", f"the bridge ended its stream: {message.why}")
                elif isinstance(message, CineFrame) and self._belongs(message.header, arrived_ns):
                    self._last, self._last_ns = message.header, arrived_ns
                    return message

    def _bind(self, info: StreamInfo) -> None:
        if info.pacing is not Pacing.REAL_TIME:
            self._refuse("differing", f"pacing of the bridge is {info.pacing}; real_time is needed")
        elif self._info is None:
            self._info = msgspec.structs.replace(info, frame_count=None)
        elif msgspec.structs.replace(info, frame_count=None).with_origin_of(self._info) != self._info:
            self._refuse("differing", "the bridge declared its stream differently; the first declaration binds")
        else:
            self._info = self._info.with_origin_of(info)

    def _belongs(self, header: FrameHeader, arrived_ns: int) -> bool:
        info, last = self._info, self._last
        if info is None:
            return False
        for field in DECLARED:
            if getattr(header, field) != getattr(info, field):
                return self._refuse(
                    "differing",
                    f"frame {header.sequence} was refused: {field} is {getattr(header, field)}, "
                    f"the stream declared {getattr(info, field)}",
                )
        if header.plane not in info.planes:
            known = ", ".join(info.planes)
            sentence = f"frame {header.sequence} was refused: plane is {header.plane}; the stream declared {known}"
            return self._refuse("differing", sentence)
        if last is None:
            return True
        if header.publisher_id != last.publisher_id:
            since_ns = arrived_ns - self._last_ns
            if since_ns < OTHER_BRIDGE_NS:
                return self._refuse(
                    "second_bridge",
                    f"frame {header.sequence} was refused: it comes from a second bridge, {since_ns / 1e6:.0f} ms "
                    f"after the newest frame of the first; {OTHER_BRIDGE_NS / 1e6:g} ms is the limit",
                )
            self._bridges += 1
            return True
        if header.sequence <= last.sequence:
            return self._refuse(
                "repeated",
                f"frame {header.sequence} was refused: it came after frame {last.sequence} of the same bridge",
            )
        missing = header.sequence - last.sequence - 1
        if missing:
            self._refusals.counts["missed"] += missing - 1
            self._refuse("missed", f"{missing} frames of the bridge are missing before frame {header.sequence}")
        return True
