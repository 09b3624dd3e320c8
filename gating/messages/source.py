"""What a source says: its declaration, its frames, its end."""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gating.messages.fields import (
    Message,
    Name,
    Nanoseconds,
    Orientation,
    Pixels,
    Position,
    PositiveMm,
    Sentence,
    Sequence,
    SideLength,
)


class SourceKind(enum.StrEnum):
    """Where frames come from. Every later message repeats it, so that a simulation is never taken for a patient."""

    LIVE = "live"
    REPLAY = "replay"
    PHANTOM = "phantom"


class Pacing(enum.StrEnum):
    """How a source spaces its frames. Only latencies of `REAL_TIME` may be reported as real-time."""

    REAL_TIME = "real_time"
    SCALED = "scaled"
    STEPPED = "stepped"
    UNPACED = "unpaced"

    @property
    def is_timed(self) -> bool:
        """Whether frames come at set times, even if the last one has not been decided yet."""
        return self in (Pacing.REAL_TIME, Pacing.SCALED)


class StampMeaning(enum.StrEnum):
    """Which moment of the acquisition a source's stamp marks."""

    START = "acquisition_start"
    KSPACE_CENTRE = "kspace_centre"
    END = "acquisition_end"
    RECONSTRUCTED = "reconstruction_done"
    ARRIVAL = "arrival"


ARRIVAL_TIME: Final = "arrival_time"
ARRIVAL_TIME_MEANS: Final = "stamps are ARRIVAL TIMES; how old the images are is not known"
"""Shown wherever a stream of `StampMeaning.ARRIVAL` is shown."""
ASSUMED_CLOCK: Final = "assumed rate"
"""`acquired_clock` of a recording without time stamps."""
ASSUMED_TIME_MEANS: Final = "times are ASSUMED: there are none in the recording, and a user gave its rate"
"""Shown wherever times of a stream on `ASSUMED_CLOCK` are shown."""


class FrameHeader(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a cine frame but its pixels, which are a wire part of their own and never packed."""

    source: Name
    publisher_id: Annotated[str, Meta(max_length=64)] = ""
    """New at every start of a source, so that a restart or a second publisher is not taken for the same stream."""
    source_kind: SourceKind
    pacing: Pacing
    speed: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    """Replay speed relative to the recording; 0 if the pacing follows no clock."""
    sequence: Sequence
    plane: Name = "sagittal"
    acquired_ns: Nanoseconds
    """The raw stamp of the source, on `acquired_clock`."""
    acquired_clock: Name
    acquired_meaning: StampMeaning
    acquired_on_publish_clock_ns: Nanoseconds
    """The moment that the image shows, the centre of k-space, on the clock of `published_ns`; the same moment as
    `acquired_ns` where `moment_uncertainty_ns` is None."""
    acquired_uncertainty_ns: Nanoseconds = 0
    """Of the clock."""
    moment_uncertainty_ns: Nanoseconds | None = None
    """Of the centre of k-space relative to the stamp; None if the stamp was taken as it is."""
    published_ns: Nanoseconds
    publish_clock: Name
    dtype: Literal["uint8", "uint16", "float32"]
    shape: tuple[SideLength, SideLength]
    """(rows, columns)."""
    pixel_spacing_mm: tuple[PositiveMm, PositiveMm]
    """(row, column) spacing: DICOM PixelSpacing."""
    image_orientation: Orientation
    image_position_mm: Position
    content_hash: Annotated[str, Meta(min_length=16, max_length=16)]
    """xxh3-64 of the pixel bytes, hexadecimal."""
    simulated_by: Annotated[str, Meta(max_length=64)] = ""
    """What injected a fault or a transformation on purpose; empty otherwise."""

    @property
    def age_uncertainty_ns(self) -> int:
        """How much older the image may be than `acquired_on_publish_clock_ns`."""
        return self.acquired_uncertainty_ns + (self.moment_uncertainty_ns or 0)


class CineFrame(Struct, frozen=True):
    """A frame in memory: header and (rows, columns) pixels, read-only if they came by wire."""

    header: FrameHeader
    pixels: Pixels


class StreamInfo(Message, frozen=True, kw_only=True):
    """What a source declares before its first frame. The frames must agree with it."""

    source: Name
    source_kind: SourceKind
    pacing: Pacing
    speed: float = 1.0
    planes: tuple[Name, ...] = ("sagittal",)
    dtype: Literal["uint8", "uint16", "float32"]
    shape: tuple[SideLength, SideLength]
    pixel_spacing_mm: tuple[PositiveMm, PositiveMm]
    image_orientation: Orientation
    image_position_mm: Position
    nominal_interval_ns: Nanoseconds
    frame_count: Sequence | None = None
    """Number of frames of a recording; None for a live stream."""
    acquired_clock: Name
    acquired_meaning: StampMeaning
    description: Sentence = ""
    peer: Annotated[str, Meta(max_length=128)] = ""
    """Who sends the images: an address with the number of its connection, an AE title; empty if there is no peer."""
    series: Annotated[str, Meta(max_length=128)] = ""
    """Which of the peer's scans they are of; never an identifier that leads to a patient."""

    @property
    def origin(self) -> str:
        """Peer and series in words."""
        return ", ".join(filter(None, (self.peer, self.series))) or "no peer"

    def with_origin_of(self, other: StreamInfo) -> StreamInfo:
        """Return the declaration with peer and series of another one."""
        return msgspec.structs.replace(self, peer=other.peer, series=other.series)


class StreamEnd(Message, frozen=True, kw_only=True):
    """The last message of a source: how many frames it published, and why it ended."""

    source: Name
    frames_published: Sequence
    why: Sentence
