"""What the engine says: where it saw the targets, what it permits, and what it was given to treat."""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal

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
from gating.messages.source import Pacing, SourceKind

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
