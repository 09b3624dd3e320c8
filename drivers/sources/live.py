"""The part that all live sources of vendor frames share: which frames make up the stream, and in which order.

The first frames define the stream: planes, shape, pixels, geometry, clock and series. A later frame that differs is
refused, counted and reported in a sentence. The stream goes on without it; the engine sees a gap and holds the beam.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from drivers.errors import SourceFault, Unavailable
from drivers.formats.frame import VendorFrame
from drivers.ports import FrameStamp
from drivers.sources.refusals import Refusals
from drivers.sources.waiting import WaitS, wait_ends_s
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo

FRAMES_FOR_INTERVAL: Final = 4
"""Number of frames that define the nominal interval, if the settings do not."""
FRAMES_FOR_PLANES: Final = 8
"""Number of frames of an interleaved scan that define its planes."""
MAX_WAITING: Final = 64
LATE_LIMIT_NS: Final = 10 * 10**9
"""A frame behind by more than this is not late: the clock that stamped it was set back."""
SERIES_SILENCE_NS: Final = 2 * 10**9
"""Another series of the same peer may follow once the first has been silent for this long; the engine latches."""
WAIT_MS: Final = 50

ALL_PLANES: Final = "all"
Plane = Literal["", "sagittal", "coronal", "transversal", "all"]


class LiveSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that all live sources of vendor frames share."""

    plane: Annotated[
        Plane, Meta(description="Plane to take from an interleaved scan; empty: the first frame's; all: every plane.")
    ] = ""
    frames_per_s: Annotated[
        float, Meta(ge=0, le=1000, description="Nominal rate of the frames taken; 0: measured on the first ones.")
    ] = 0.0
    arrival_time: Annotated[
        bool, Meta(description="Use arrival times as stamps: the age of the images is then unknown.")
    ] = False
    first_frame_timeout_s: WaitS = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """Frames that arrived together, or a sentence about what could not be a frame."""

    arrived_ns: int
    frames: tuple[VendorFrame, ...] = ()
    problem: str = ""
    kind: str = "refused"
    """Kind of the problem; of each kind one sentence a second is told."""
    peer: str = ""
    """Who sent them: an address with the number of its connection, or an AE title; empty for a folder."""
    remark: str = ""
    """A sentence about what came and is nothing wrong."""


class _Waiting(NamedTuple):
    frame: VendorFrame
    arrived_ns: int
    peer: str
    series: str


class Arrivals(Protocol):
    """Where frames come from: a folder, or a network peer."""

    name: str

    def open(self) -> None:
        """Start. Raises `Unavailable`."""
        ...

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the next arrival, None on time-out. Raises `SourceFault` if nothing can arrive any more."""
        ...

    def close(self) -> None:
        """Stop. Never raises."""
        ...


class LiveSource:
    """A `CineSource` over `Arrivals`.

    Parameters
    ----------
    arrivals
        Where frames come from.
    settings
        See `LiveSettings`.
    clock
        The host's monotonic clock, which also dates `arrivals`.
    """

    late_hint = ""  # ends the sentence about frames that come late: what helps

    def __init__(self, arrivals: Arrivals, settings: LiveSettings, clock: Clock | None = None) -> None:
        self._arrivals, self._settings = arrivals, settings
        self._clock = clock or MonotonicClock()
        self._info: StreamInfo | None = None
        self._reset()

    def _reset(self) -> None:
        self._firsts: dict[str, VendorFrame] = {}
        """The first frame of each plane of the stream."""
        self._waiting: deque[_Waiting] = deque()
        """Frames to publish."""
        self._scan = 0
        """Number of the scan, from 0; its identifiers may lead to a patient and are not published."""
        self._stamps_ns: list[int] = []
        self._newest_ns, self._peer = -1, ""
        """Stamp and peer of the newest frame."""
        self._series: dict[str, tuple[str, int, str]] = {}
        """Series of each plane, when its newest frame arrived, and from which peer."""
        self._refusals = Refusals(self._arrivals.name, self._clock)
        self._refuse = self._refusals.refuse

    @property
    def counters(self) -> dict[str, int]:
        """Frames and files refused, by cause."""
        return dict(self._refusals.counts)

    def take_notices(self) -> list[str]:
        """Return the new sentences for the operator, at most one of each kind a second."""
        return self._refusals.take()

    def open(self) -> StreamInfo:
        """Start, and wait for the first frames. Raises `Unavailable`, also if they do not come in time."""
        if self._info is None:
            self._reset()
            self._arrivals.open()
            try:
                self._info = self._await_stream()
            except SourceFault as error:
                raise Unavailable(str(error)) from None
            finally:
                if self._info is None:
                    self._arrivals.close()
        return self._info

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame into `pixels`. Raises `SourceFault`."""
        if self._info is None:
            raise SourceFault(f"{self._arrivals.name} is not open")
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while not self._waiting:
            left_ms = max(0, until_ns - time.monotonic_ns()) // 1_000_000
            self._take_arrival(int(left_ms))
            if not self._waiting and time.monotonic_ns() >= until_ns:
                return None
        frame, arrived_ns, peer, series = self._waiting.popleft()
        pixels[...] = frame.pixels
        on_host_ns = arrived_ns if frame.meaning is StampMeaning.ARRIVAL else None
        geometry = self._firsts[frame.plane].geometry
        return FrameStamp(
            frame.acquired_ns,
            arrived_ns,
            frame.plane,
            frame.meaning,
            on_host_ns,
            resolution_ns=frame.resolution_ns,
            image_orientation=geometry.image_orientation,
            image_position_mm=geometry.image_position_mm,
            peer=peer,
            series=series,
        )

    def close(self) -> None:
        """Stop listening."""
        self._info = None
        self._arrivals.close()

    def _await_stream(self) -> StreamInfo:
        until_s = wait_ends_s(self._settings.first_frame_timeout_s, f"the first frames of {self._arrivals.name}")
        least = 1 if self._settings.frames_per_s else FRAMES_FOR_INTERVAL
        needed = FRAMES_FOR_PLANES if self._settings.plane == ALL_PLANES else least
        while len(self._stamps_ns) < needed:
            if time.monotonic() > until_s:
                raise Unavailable(
                    f"{self._arrivals.name}: {len(self._stamps_ns)} frames came within "
                    f"{self._settings.first_frame_timeout_s:g} s; {needed} are needed{self._refusals.last}"[:400]
                )
            self._take_arrival(WAIT_MS)
        self._refusals.waiting = False
        rate = self._settings.frames_per_s
        interval_ns = round(1e9 / rate) if rate else int(np.median(np.diff(self._stamps_ns)))
        return self._stream_info(next(iter(self._firsts.values())), interval_ns)

    def _stream_info(self, first: VendorFrame, interval_ns: int) -> StreamInfo:
        return StreamInfo(
            session_id="unassigned",
            source=self._arrivals.name[:64],
            source_kind=SourceKind.LIVE,
            pacing=Pacing.REAL_TIME,
            planes=tuple(self._firsts),
            dtype=first.dtype,
            shape=(first.pixels.shape[0], first.pixels.shape[1]),
            pixel_spacing_mm=first.geometry.pixel_spacing_mm,
            image_orientation=first.geometry.image_orientation,
            image_position_mm=first.geometry.image_position_mm,
            nominal_interval_ns=interval_ns,
            acquired_clock=first.clock,
            acquired_meaning=first.meaning,
            description=f"{self._arrivals.name}, nominal interval {interval_ns / 1e6:.1f} ms"[:400],
            peer=self._waiting[0].peer,
            series=self._waiting[0].series,
        )

    def _take_arrival(self, timeout_ms: int) -> None:
        arrival = self._arrivals.wait(timeout_ms)
        if arrival is None:
            return
        if arrival.problem:
            self._refuse(arrival.kind, arrival.problem)
        self._refusals.remark(arrival.remark)
        for frame in self._told_apart(arrival.frames):
            if self._settings.arrival_time:
                frame = replace(  # noqa: PLW2901 - the frame as it goes on
                    frame, acquired_ns=arrival.arrived_ns, clock=self._clock.name, meaning=StampMeaning.ARRIVAL
                )
            if self._belongs(frame, arrival.arrived_ns, arrival.peer) and self._is_newer(frame, arrival.peer):
                self._enqueue(frame, arrival.arrived_ns, arrival.peer)

    def _told_apart(self, frames: tuple[VendorFrame, ...]) -> tuple[VendorFrame, ...]:
        """Return frames that came together; if only their arrival dates them, the newest of each plane."""
        newest = {frame.plane: frame for frame in frames}
        if not self._settings.arrival_time or len(newest) == len(frames):
            return frames
        self._refuse(
            "late",
            f"{len(frames) - len(newest)} of {len(frames)} frames were dropped: they came together with a newer one, "
            "and their arrival, which stands for a stamp, is the same",
        )
        return tuple(newest.values())

    def _enqueue(self, frame: VendorFrame, arrived_ns: int, peer: str) -> None:
        self._newest_ns, self._peer = frame.acquired_ns, peer
        if self._info is None:
            self._stamps_ns.append(frame.acquired_ns)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._refuse("overrun", f"{MAX_WAITING} frames wait to be published, the limit; the oldest was dropped")
        self._waiting.append(_Waiting(frame, arrived_ns, peer or self._arrivals.name, f"scan {self._scan}"))

    def _belongs(self, frame: VendorFrame, now_ns: int, peer: str) -> bool:
        """Return whether a frame belongs to this stream, which the first frames of the requested planes define."""
        first = next(iter(self._firsts.values()), frame)
        if self._settings.plane != ALL_PLANES and frame.plane != (self._settings.plane or first.plane):
            self._refusals.counts["other_plane"] += 1
            return False
        if frame.plane not in self._firsts and self._info is not None:
            known = ", ".join(self._firsts)
            return self._refuse("differing", f"frame {frame.name} was refused: it is {frame.plane}, the stream {known}")
        same_plane = self._firsts.get(frame.plane)
        differs = frame.difference(same_plane) if same_plane else frame.difference_in_kind(first)
        if differs:
            return self._refuse("differing", f"frame {frame.name} was refused: {differs}")
        series, arrived_ns, from_peer = self._series.get(frame.plane, (frame.series, now_ns, peer))
        if frame.series != series and peer == from_peer and now_ns - arrived_ns < SERIES_SILENCE_NS:
            return self._refuse(
                "second_series",
                f"frame {frame.name} was refused: it belongs to a second series, and the first one sent a frame "
                f"{(now_ns - arrived_ns) / 1e9:.1f} s ago; {SERIES_SILENCE_NS / 1e9:g} s is the limit",
            )
        self._scan += frame.series != series
        self._series[frame.plane] = frame.series, now_ns, peer
        self._firsts.setdefault(frame.plane, frame)
        return True

    def _is_newer(self, frame: VendorFrame, peer: str) -> bool:
        """Return whether a frame is newer than the newest one of its peer so far; an older one is of no use."""
        behind_ns = self._newest_ns - frame.acquired_ns
        if self._newest_ns < 0 or behind_ns < 0 or peer != self._peer:
            return True
        if behind_ns > LATE_LIMIT_NS:
            self._newest_ns = frame.acquired_ns
            return self._refuse(
                "set_back",
                f"frame {frame.name} was dropped: its stamp lies {behind_ns / 1e9:.3f} s before the newest; "
                f"{LATE_LIMIT_NS / 1e9:g} s is the limit, so its clock was set back, and the stream goes on from there",
            )
        if behind_ns == 0:
            return self._refuse("repeated", f"frame {frame.name} was dropped: its stamp is that of the one before")
        why = f"it comes late, {behind_ns / 1e6:.1f} ms older than the newest{self.late_hint}"
        return self._refuse("late", f"frame {frame.name} was dropped: {why}")
