"""The stream that a recorded scan is declared as."""

from __future__ import annotations

from typing import Final

from drivers.recordings.scan import Scan
from gating.messages import ASSUMED_CLOCK, Pacing, SourceKind, StreamInfo

RECORDING_CLOCK: Final = "recording"


def declared_stream(
    scan: Scan,
    *,
    source: str,
    session_id: str = "unassigned",
    pacing: Pacing = Pacing.UNPACED,
    speed: float = 0.0,
    endless: bool = False,
) -> StreamInfo:
    """Return the description of a stream that plays `scan`, by default as fast as possible.

    The geometry is that of the first plane; frames of other planes carry their own.
    """
    first = scan.first
    return StreamInfo(
        session_id=session_id,
        source=source[:64],
        source_kind=SourceKind.REPLAY,
        pacing=pacing,
        speed=speed,
        planes=scan.planes,
        dtype=first.dtype,
        shape=first.shape,
        pixel_spacing_mm=first.pixel_spacing_mm,
        image_orientation=first.image_orientation,
        image_position_mm=first.image_position_mm,
        nominal_interval_ns=scan.nominal_interval_ns,
        frame_count=None if endless else len(scan),
        acquired_clock=ASSUMED_CLOCK if scan.times_assumed else RECORDING_CLOCK,
        acquired_meaning=first.stamp_meaning,
        description=first.description,
    )
