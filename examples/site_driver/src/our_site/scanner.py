"""A cine source. Where this one draws a disc, yours calls the vendor's library."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from drivers.errors import SourceFault
from drivers.ports import FrameStamp
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo

SHAPE = (96, 80)


class OurScannerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `-o key=value` may set."""

    frames_per_s: Annotated[float, Meta(gt=0, le=100, description="Frame rate.")] = 8.0


class OurScanner:
    """A disc that breathes, eight frames a second."""

    Settings = OurScannerSettings

    def __init__(self, settings: OurScannerSettings | None = None, *, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings or OurScannerSettings(), clock or MonotonicClock()
        self._next_ns: int | None = None

    def open(self) -> StreamInfo:
        """Connect to the scanner and say what comes."""
        interval_ns = round(1e9 / self._settings.frames_per_s)
        if self._next_ns is None:
            self._next_ns = self._clock.now_ns() + interval_ns
        return StreamInfo(
            session_id="unassigned",
            source="our scanner",
            source_kind=SourceKind.PHANTOM,  # SourceKind.LIVE, once real frames come
            pacing=Pacing.REAL_TIME,
            dtype="uint16",
            shape=SHAPE,
            pixel_spacing_mm=(2.0, 2.0),
            image_orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
            image_position_mm=(0.0, -80.0, 96.0),
            nominal_interval_ns=interval_ns,
            acquired_clock=self._clock.name,
            acquired_meaning=StampMeaning.END,
            description="example of a site's own source",
        )

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame; None where none came in time."""
        if self._next_ns is None:
            raise SourceFault("our scanner is not open")
        wait_ns = self._next_ns - self._clock.now_ns()
        time.sleep(max(0, min(wait_ns, timeout_ms * 1_000_000)) / 1e9)
        if wait_ns > timeout_ms * 1_000_000:
            return None
        acquired_ns = self._next_ns
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        centre = 48 + 6 * np.sin(acquired_ns / 1e9 * 2 * np.pi / 4)
        disc = np.hypot(rows - centre, columns - 40) < 10
        noise = np.random.default_rng(acquired_ns).normal(0, 10, SHAPE)  # an image that comes again holds the beam
        pixels[...] = (200 + 600 * disc + 3 * columns + noise).astype(np.uint16)
        self._next_ns += round(1e9 / self._settings.frames_per_s)
        return FrameStamp(
            acquired_ns=acquired_ns,
            arrived_ns=self._clock.now_ns(),
            plane="sagittal",
            meaning=StampMeaning.END,
            acquired_on_host_ns=acquired_ns,  # None where the vendor's clock made the stamp
        )

    def close(self) -> None:
        """Let the scanner go."""
        self._next_ns = None
