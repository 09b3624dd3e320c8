"""A recording, of one plane or of several in turn, played back as if it came from the scanner."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording, SourceFault, Unavailable
from drivers.ports import EndOfStream, FrameStamp
from drivers.recordings import Recording
from drivers.recordings.scan import Scan, interleave, open_scan
from drivers.recordings.stream import declared_stream
from drivers.sources.pacing import Pacer
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import ASSUMED_TIME_MEANS, Pacing, Pixels, StreamInfo


class ReplaySource:
    """Play a recording at the pace of its own, uneven stamps.

    Parameters
    ----------
    recording
        An open recording or scan, or the path of one.
    pacing
        `REAL_TIME`; `SCALED` by `speed`; `STEPPED` (one frame for each answer of the engine); or `UNPACED` (as fast as
        the engine answers).
    speed
        2 plays twice as fast. Only with `SCALED`.
    loop
        Start again one median interval after the last frame, with stamps that go on increasing.
    pixel_spacing_mm
        (row, column) spacing, or one number for both, for a recording without its own.
    plane
        Sagittal, coronal or transversal, for a folder that holds several; "all" plays them in turn, as they were taken.
        Only with a path.
    frames_per_s, skip_frames
        Rate of a recording without time stamps, and frames to leave out at its start, as `open_recording` takes them.
    clock
        The host's monotonic clock.
    """

    def __init__(
        self,
        recording: Recording | Scan | str | os.PathLike[str],
        pacing: Pacing = Pacing.REAL_TIME,
        speed: float = 1.0,
        loop: bool = False,
        *,
        pixel_spacing_mm: float | tuple[float, float] | None = None,
        plane: str = "",
        frames_per_s: float | None = None,
        skip_frames: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._given, self._pixel_spacing_mm, self._plane = recording, pixel_spacing_mm, plane
        self._rate: dict[str, Any] = {"frames_per_s": frames_per_s, "skip_frames": skip_frames}
        self._pacing, self._speed, self._loop = pacing, speed, loop
        self._clock = clock or MonotonicClock()
        self._scan: Scan | None = None
        self._pacer: Pacer | None = None
        self._next: Pixels | None = None
        """The next frame, read ahead of its deadline."""
        self._index = 0

    @property
    def counters(self) -> dict[str, int]:
        """Number of missed deadlines, and longest delay so far, us."""
        return {} if self._pacer is None else self._pacer.counters

    @property
    def warnings(self) -> Sequence[str]:
        """That the times are assumed, where they are."""
        return () if self._scan is None or not self._scan.times_assumed else (ASSUMED_TIME_MEANS,)

    def open(self) -> StreamInfo:
        """Open the recording and unpack its first frame. Raises `Unavailable`, `BadRecording`."""
        if self._scan is None:
            pacer = Pacer(self._pacing, self._speed, self._clock)
            scan = self._open_scan()
            if self._loop and scan.nominal_interval_ns == 0:
                raise Unavailable(f"replay {scan.name}: it holds {len(scan)} frame; a loop needs 2 or more of a plane")
            self._next = scan.first.frames[0]
            self._scan, self._pacer, self._index = scan, pacer, 0
        return self._info(self._scan)

    def _open_scan(self) -> Scan:
        given = self._given
        if isinstance(given, Scan):
            return given
        if isinstance(given, Recording):
            return interleave([given])
        return open_scan(given, self._pixel_spacing_mm, plane=self._plane, **self._rate)

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame into `pixels` when it is due. Raises `EndOfStream`, `SourceFault`."""
        if self._scan is None or self._pacer is None:
            raise SourceFault("the replay is not open")
        lap, index = divmod(self._index, len(self._scan))
        if lap and not self._loop:
            raise EndOfStream
        stamps_ns = self._scan.stamps_ns
        period_ns = int(stamps_ns[-1] - stamps_ns[0]) + self._scan.nominal_interval_ns
        acquired_ns = int(stamps_ns[index]) + lap * period_ns
        recording, own_index = self._scan.place(index)
        if self._next is None:
            try:
                self._next = recording.frames[own_index]
            except BadRecording as error:
                raise SourceFault(str(error)) from None
        due_ns = self._pacer.wait(acquired_ns - int(stamps_ns[0]), timeout_ms)
        if due_ns is None:
            return None
        pixels[...] = self._next
        self._next = None
        self._index += 1
        return FrameStamp(
            acquired_ns=acquired_ns,
            arrived_ns=due_ns,
            plane=recording.plane,
            meaning=recording.stamp_meaning,
            acquired_on_host_ns=due_ns,
            moment_uncertainty_ns=0,
            image_orientation=recording.image_orientation,
            image_position_mm=recording.image_position_mm,
        )

    def close(self) -> None:
        """Release the recording."""
        self._scan = self._pacer = self._next = None

    def _info(self, scan: Scan) -> StreamInfo:
        assert self._pacer is not None
        source = f"replay {scan.name}"
        return declared_stream(scan, source=source, pacing=self._pacing, speed=self._pacer.speed, endless=self._loop)
