"""The moving-anatomy phantom as a cine source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.errors import SourceFault
from drivers.phantom import Phantom, PhantomSettings, Trace, Truth
from drivers.ports import EndOfStream, FrameStamp
from drivers.recordings.traces import read_trace
from drivers.sources.pacing import Pacer
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo

PHANTOM_CLOCK: Final = "phantom"


class PhantomSourceSettings(PhantomSettings, frozen=True, kw_only=True):
    """The phantom to draw, and a recorded motion that may move it."""

    trace: Annotated[
        str, Meta(max_length=4096, description="Recorded motion (.vxp, .csv, .txt) instead of the breathing model.")
    ] = ""
    trace_scale: Annotated[float, Meta(ge=-20, le=20, description="Factor for the displacements of the trace.")] = 1.0
    trace_axes: Annotated[
        tuple[str, str, str], Meta(description='Patient axes of a trace\'s columns x, y, z: ["+lr", "-ap", "+si"].')
    ] = ("+lr", "+si", "+ap")

    def phantom_settings(self) -> PhantomSettings:
        """Return the settings of the phantom alone."""
        return PhantomSettings(**{name: getattr(self, name) for name in PhantomSettings.__struct_fields__})

    def read_motion(self) -> Trace | None:
        """Read the trace, if there is one. Raises `BadRecording`."""
        if not self.trace:
            return None
        return read_trace(Path(self.trace), self.trace_axes).for_phantom(self.trace_scale)


class PhantomSource:
    """A stream of the phantom at a live pace, drawn frame by frame ahead of each deadline.

    Parameters
    ----------
    settings
        Phantom to draw, see `drivers.phantom`, and perhaps a trace to read.
    pacing, speed
        As for `drivers.sources.replay.ReplaySource`.
    trace
        Recorded target motion instead of the breathing model.
    clock
        The host's monotonic clock.
    """

    Settings: ClassVar = PhantomSourceSettings

    def __init__(
        self,
        settings: PhantomSettings | None = None,
        pacing: Pacing = Pacing.REAL_TIME,
        speed: float = 1.0,
        *,
        trace: Trace | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._given = settings or PhantomSettings()
        given = self._given
        self._settings = given.phantom_settings() if isinstance(given, PhantomSourceSettings) else given
        self._pacing, self._speed, self._trace = pacing, speed, trace
        self._clock = clock or MonotonicClock()
        self._phantom: Phantom | None = None
        self._pacer: Pacer | None = None
        self._next: NDArray[np.generic] | None = None
        self._index = 0

    @property
    def counters(self) -> dict[str, int]:
        """Number of missed deadlines, and longest delay so far, us."""
        return {} if self._pacer is None else self._pacer.counters

    def open(self) -> StreamInfo:
        """Draw the anatomy. Raises `Unavailable` for settings out of bounds, or a trace that cannot be used."""
        if self._phantom is None:
            pacer = Pacer(self._pacing, self._speed, self._clock)
            read = self._given.read_motion() if isinstance(self._given, PhantomSourceSettings) else None
            self._phantom, self._pacer, self._index = Phantom(self._settings, read or self._trace), pacer, 0
            self._next = None
        return self._info(self._phantom)

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame into `pixels` when it is due. Raises `EndOfStream`, `SourceFault`."""
        if self._phantom is None or self._pacer is None:
            raise SourceFault("the phantom is not open")
        count = self._settings.frame_count
        if count is not None and self._index >= count:
            raise EndOfStream
        if self._next is None:
            self._next = np.empty(self._phantom.shape, self._settings.dtype)
            self._phantom.render_into(self._index, self._next)
        acquired_ns = self._phantom.stamp_ns(self._index)
        due_ns = self._pacer.wait(acquired_ns, timeout_ms)
        if due_ns is None:
            return None
        pixels[...] = self._next
        self._next = None
        self._index += 1
        return FrameStamp(
            acquired_ns=acquired_ns,
            arrived_ns=due_ns,
            plane=self._settings.plane,
            meaning=StampMeaning.START,
            acquired_on_host_ns=due_ns,
            moment_uncertainty_ns=0,
        )

    def truth(self, index: int) -> Truth:
        """Return the exact position of the target in a frame. Raises `SourceFault` if the phantom is closed."""
        if self._phantom is None:
            raise SourceFault("the phantom is not open")
        return self._phantom.truth(index)

    def close(self) -> None:
        """Release the phantom."""
        self._phantom = self._pacer = self._next = None

    def _info(self, phantom: Phantom) -> StreamInfo:
        assert self._pacer is not None
        settings = self._settings
        return StreamInfo(
            session_id="unassigned",
            source=f"phantom seed {settings.seed}",
            source_kind=SourceKind.PHANTOM,
            pacing=self._pacing,
            speed=self._pacer.speed,
            planes=(settings.plane,),
            dtype=settings.dtype,
            shape=phantom.shape,
            pixel_spacing_mm=phantom.spacing_mm,
            image_orientation=phantom.orientation,
            image_position_mm=phantom.position_mm,
            nominal_interval_ns=round(1e9 / settings.frames_per_s),
            frame_count=settings.frame_count,
            acquired_clock=PHANTOM_CLOCK,
            acquired_meaning=StampMeaning.START,
            description=f"moving-anatomy phantom, seed {settings.seed}",
        )
