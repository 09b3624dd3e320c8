"""The messages of the wire and of the session log: frozen records with units in their names.

The class tells what a message is; `TOPICS` maps each class to its topic on the wire. Times are integer nanoseconds.
Each stamp carries the name of its clock, and stamps of different clocks are never subtracted (`gating.clocks.remap`
maps them to one clock). Positions are in patient LPS millimetres (DICOM PS3.3 C.7.6.2.1.1). In pixel coordinates,
integers are pixel centres.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

SCHEMA_MAJOR: Final = 1
SCHEMA: Final = f"cinegate/{SCHEMA_MAJOR}.0"

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(max_length=400)]
Nanoseconds = Annotated[int, Meta(ge=0, le=2**62)]
Sequence = Annotated[int, Meta(ge=0, le=2**53)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]
PositiveMm = Annotated[float, Meta(gt=0, le=100)]
Cosine = Annotated[float, Meta(ge=-1.001, le=1.001)]
Orientation = tuple[Cosine, Cosine, Cosine, Cosine, Cosine, Cosine]
"""DICOM ImageOrientationPatient: directions of increasing column and of increasing row."""
PatientMm = Annotated[float, Meta(ge=-10_000, le=10_000)]
Position = tuple[PatientMm, PatientMm, PatientMm]
"""DICOM ImagePositionPatient: the centre of pixel (0, 0), LPS."""
SideLength = Annotated[int, Meta(ge=8, le=4096)]


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


SESSION_ENDED: Final = "session_ended"
"""Reason of the hold with which an engine ends its session at an operator's request: every process then ends itself."""


class GateState(enum.StrEnum):
    """The beam permission. `HOLD` is the default everywhere."""

    HOLD = "hold"
    ON = "on"


class EngineState(enum.StrEnum):
    """The states of the engine. `gating.decision.arming` has the transitions."""

    STARTING = "starting"
    READY = "ready"
    ARMED = "armed"
    LATCHED = "latched"


class Message(Struct, frozen=True, kw_only=True):
    """The fields that every message has."""

    schema: Annotated[str, Meta(max_length=32)] = SCHEMA
    session_id: Name


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


class ImageHeader(Message, frozen=True, kw_only=True):
    """Everything about the image in which targets were drawn but its pixels, which are a wire part of their own."""

    dtype: Literal["uint8", "uint16", "float32"]
    shape: tuple[SideLength, SideLength]
    pixel_spacing_mm: tuple[PositiveMm, PositiveMm]
    image_orientation: Orientation
    image_position_mm: Position
    content_hash: Annotated[str, Meta(min_length=16, max_length=16)]


class ReferenceImage(Struct, frozen=True):
    """The image in which targets were drawn, in memory. `TargetReference.image_hash` names it."""

    header: ImageHeader
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


class StageStamps(Struct, frozen=True, kw_only=True):
    """When a frame reached each stage on its way to a command, ns on the engine's monotonic clock; 0: not reached."""

    acquired_ns: Nanoseconds = 0
    published_ns: Nanoseconds = 0
    received_ns: Nanoseconds = 0
    decoded_ns: Nanoseconds = 0
    tracked_ns: Nanoseconds = 0
    decided_ns: Nanoseconds = 0
    sent_ns: Nanoseconds = 0


class TargetEstimate(Message, frozen=True, kw_only=True):
    """Where the engine saw one target in one frame."""

    frame_sequence: Sequence
    plane: Name
    target: Name
    x_px: float
    y_px: float
    position_mm: tuple[float, float, float]
    """LPS. Along the plane's normal, the position of the plane, unless another plane shows the same structure."""
    ages_ms: tuple[float, float, float] | None = None
    """Age of each coordinate of a position from two planes; None for a position from one plane."""
    displacement_mm: tuple[float, float, float] | None = None
    """From the reference, LPS, as the rules judge it in 3D; None where they judge the plane alone."""
    bound_mm: tuple[float, float, float] | None = None
    """How far the target may be from there along each axis; None where nothing bounds it, or rules judge the plane."""
    confidence: float
    score: float
    status: Name
    target_out_fraction: float
    contour_px: list[tuple[float, float]] = []
    templates: int = 0
    detail: Sentence = ""
    acquired_ns: Nanoseconds
    """The raw acquisition stamp of the frame, on the clock of the source."""
    gate: GateState
    reason: Name


class GateCommand(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A beam permission (a lease) or a hold, with its reason.

    `lease_ms` counts from receipt, on the receiver's clock; it is 0 for a hold. `frame_sequence` is the newest decided
    frame, -1 before the first.
    """

    engine_id: Name
    command_sequence: Sequence
    state: GateState
    reason: Name
    detail: Sentence = ""
    engine_state: EngineState
    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)]
    renewal: bool
    """True if an earlier command already announced the decision on this frame."""
    lease_ms: Annotated[float, Meta(ge=0, le=1000)]
    source_kind: SourceKind
    pacing: Pacing
    stamps: StageStamps
    interface_id: Annotated[str, Meta(max_length=64)] = ""
    """Of the beam interface that the engine hears. No beam interface obeys a beam-on meant for another one."""


class BeamStatus(Message, frozen=True, kw_only=True):
    """What the beam interface was commanded and what the line confirms. Sent on every change and as a heartbeat."""

    beam: Name
    beam_kind: Literal["simulated", "hardware"]
    status_sequence: Sequence
    commanded: GateState
    confirmed: GateState
    reason: Name
    detail: Sentence = ""
    engine_id: str = ""
    command_sequence: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    renewal: bool = True
    command_sent_ns: Nanoseconds = 0
    command_received_ns: Nanoseconds = 0
    applied_ns: Nanoseconds = 0
    sent_ns: Nanoseconds
    clock: Name
    latched: bool = False
    interface_id: Annotated[str, Meta(max_length=64)] = ""
    """New at every start of the beam interface; a beam-on must repeat it, so that no recorded command is obeyed."""


class Heartbeat(Message, frozen=True, kw_only=True):
    """A sign of life of a process, with its counters."""

    role: Literal["source", "engine", "beam", "recorder"]
    process_id: int
    state: Name
    detail: Sentence = ""
    sent_ns: Nanoseconds
    counters: dict[str, int] = {}


Severity = Literal["info", "warning", "fault"]


class Event(Message, frozen=True, kw_only=True):
    """One sentence for the operator and the log."""

    role: Name
    severity: Severity
    code: Name
    text: Sentence
    at_ns: Nanoseconds


class SessionHeader(Message, frozen=True, kw_only=True):
    """The first message of every session: what ran, and with which settings."""

    engine_id: Name
    started_at: str
    """Wall-clock time, ISO 8601 with zone; for people only."""
    versions: dict[str, str]
    config_toml: Annotated[str, Meta(max_length=65536)]
    config_hash: Name
    tracker: Name
    clock: Name
    overrides: list[Sentence] = []
    """Settings that disarm a safeguard, each with its reason."""
    site: Annotated[str, Meta(max_length=64)] = ""
    """The site that this engine treats, one of those in the configuration; empty if there are none."""


class TargetReference(Message, frozen=True, kw_only=True):
    """A target and its gating boundary, as they were drawn."""

    target: Name
    plane: Name
    structure: Annotated[str, Meta(max_length=64)] = ""
    """The structure that targets in several planes show."""
    frame_sequence: Sequence
    """The frame in which the target was found first; without an `image_hash` it was drawn in this frame."""
    contour_px: list[tuple[float, float]]
    boundary_px: list[tuple[float, float]]
    centre_px: tuple[float, float]
    centre_mm: tuple[float, float, float]
    image_hash: Annotated[str, Meta(max_length=16)] = ""
    """Content hash of the image in which the target was drawn; empty if it was drawn in the frame itself."""
    memory_hash: Annotated[str, Meta(max_length=16)] = ""
    """Content hash of the memory of a preparation with which the target is tracked; empty if there is none."""
    carried: Sentence = ""
    """From where the contour was carried into its image, and how well; empty if it was drawn there."""
    accepted_by: Annotated[str, Meta(max_length=64)] = ""
    """Who has accepted a carried contour; empty: nobody, or it was drawn."""
    image_orientation: Orientation | None = None
    """Of the plane in which it is tracked; None in logs of earlier versions."""


AxesMm = tuple[PatientMm | None, PatientMm | None, PatientMm | None]
"""LPS coordinates; None on an axis that no plane shows."""
AxesMs = tuple[Milliseconds | None, Milliseconds | None, Milliseconds | None]
UNKNOWN_AXES: Final = (None, None, None)


class TargetPosition(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a structure is and where it will be, for a machine that follows it, under a lease.

    What `lease_ms` and `renewal` mean for a beam permission they mean here for a position: `gate` becomes `valid`, and
    `command_sequence` becomes `position_sequence`. A position that is not valid has no coordinates.
    """

    engine_id: Annotated[str, Meta(max_length=64)] = ""
    """Of the engine whose estimates these are; empty before the first."""
    publisher_id: Name
    """New at every start of the process that publishes positions."""
    position_sequence: Sequence
    structure: Name
    valid: bool
    reason: Name
    detail: Sentence = ""
    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)]
    """The newest frame that shows the structure, -1 before the first."""
    renewal: bool
    """True if an earlier position already came from this frame; the prediction is for a later moment."""
    lease_ms: Annotated[float, Meta(ge=0, le=1000)]
    """0 if the position is not valid."""
    source_kind: SourceKind
    pacing: Pacing
    reference_mm: AxesMm = UNKNOWN_AXES
    """Where the structure was when its contour was drawn."""
    measured_mm: AxesMm = UNKNOWN_AXES
    measured_ages_ms: AxesMs = UNKNOWN_AXES
    """Time from the acquisition of each coordinate to `sent_ns`."""
    predicted_mm: AxesMm = UNKNOWN_AXES
    predicted_ns: Nanoseconds = 0
    """The moment that `predicted_mm` is for, on `clock`: `sent_ns` and the latency that the consumer stated."""
    covariance_mm2: tuple[float | None, float | None, float | None, float | None, float | None, float | None] = (
        None, None, None, None, None, None,
    )  # fmt: skip
    """Of `predicted_mm`: xx, xy, xz, yy, yz, zz. 1.645 standard deviations hold 90 % of what comes."""
    predictor: Annotated[str, Meta(max_length=64)] = ""
    sent_ns: Nanoseconds
    clock: Name


class ControlRequest(Message, frozen=True, kw_only=True):
    """An operator's request to the engine."""

    action: Literal["confirm", "arm", "disarm", "acknowledge", "accept_shift", "mark", "site", "status", "stop"]
    operator: Name
    why: Sentence = ""
    site: Annotated[str, Meta(max_length=64)] = ""
    """The site to go on with; for `site` alone."""


class PeerStatus(Struct, frozen=True, kw_only=True):
    """Whether the engine hears one of its peers."""

    peer: Name
    heard_ms_ago: float | None = None
    """None: never heard."""
    state: Annotated[str, Meta(max_length=64)] = ""
    """As the peer reports it; empty if it reports none."""


class EngineStatus(Struct, frozen=True, kw_only=True):
    """How a session stands, for an operator who asks."""

    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)]
    """The newest decided frame, -1 before the first."""
    gate: GateState
    reason: Name
    detail: Sentence = ""
    source_kind: SourceKind | None = None
    """None: no source was heard."""
    commanded: GateState | None = None
    confirmed: GateState | None = None
    """What the beam interface was commanded, and what its line confirms; None: no beam interface was heard."""
    peers: list[PeerStatus] = []
    faults: list[Sentence] = []
    """Warnings and faults of this engine, newest first."""
    counters: dict[str, int] = {}


class ControlReply(Message, frozen=True, kw_only=True):
    """The engine's reply: accepted or refused, and why."""

    accepted: bool
    engine_state: EngineState
    text: Sentence
    status: EngineStatus | None = None
    """Given to an operator who asked for it."""


TOPICS: Final[dict[type[Message], bytes]] = {
    FrameHeader: b"frame",
    StreamInfo: b"stream",
    StreamEnd: b"end",
    TargetEstimate: b"estimate",
    GateCommand: b"gate",
    BeamStatus: b"beam",
    Heartbeat: b"heartbeat",
    Event: b"event",
    SessionHeader: b"session",
    ImageHeader: b"image",
    TargetReference: b"target",
    TargetPosition: b"position",
    ControlRequest: b"request",
    ControlReply: b"reply",
}


WITH_PIXELS: Final[frozenset[type[Message]]] = frozenset((FrameHeader, ImageHeader))
"""Headers whose message has the pixels as its third part."""


def as_dict(message: Message) -> dict[str, object]:
    """Return a message as plain builtins, ready for msgpack or JSON; enums become strings."""
    plain: dict[str, object] = msgspec.to_builtins(message)
    return plain
