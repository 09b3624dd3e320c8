"""A recording, declared as a stream."""

from __future__ import annotations

from typing import Final

from drivers.recordings.recording import Recording
from gating.messages import Pacing, SourceKind, StreamInfo

RECORDING_CLOCK: Final = "recording"


def declared_stream(
    recording: Recording,
    *,
    source: str,
    session_id: str = "unassigned",
    pacing: Pacing = Pacing.UNPACED,
    speed: float = 0.0,
    endless: bool = False,
) -> StreamInfo:
    """Return what a source says that plays `recording`; as fast as possible where no pace is given."""
    return StreamInfo(
        session_id=session_id,
        source=source[:64],
        source_kind=SourceKind.REPLAY,
        pacing=pacing,
        speed=speed,
        planes=(recording.plane,),
        dtype=recording.dtype,
        shape=recording.shape,
        pixel_spacing_mm=recording.pixel_spacing_mm,
        image_orientation=recording.image_orientation,
        image_position_mm=recording.image_position_mm,
        nominal_interval_ns=recording.nominal_interval_ns,
        frame_count=None if endless else len(recording),
        acquired_clock=RECORDING_CLOCK,
        acquired_meaning=recording.stamp_meaning,
        description=recording.description,
    )
