"""The messages of the wire and of the session log, by sender: frozen records with units in their names.

The class tells what a message is; `TOPICS` maps each class to its topic on the wire. Times are integer nanoseconds.
Each stamp carries the name of its clock, and stamps of different clocks are never subtracted (`gating.clocks.remap`
maps them to one clock). Positions are in patient LPS millimetres (DICOM PS3.3 C.7.6.2.1.1). In pixel coordinates,
integers are pixel centres.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gating.messages.beam import BeamStatus
from gating.messages.engine import (
    SESSION_ENDED,
    EngineState,
    GateCommand,
    GateState,
    ImageHeader,
    ReferenceImage,
    SessionHeader,
    StageStamps,
    TargetEstimate,
    TargetReference,
)
from gating.messages.fields import SCHEMA, SCHEMA_MAJOR, Message, Orientation, Pixels, Position
from gating.messages.operator import ControlReply, ControlRequest, EngineStatus, PeerStatus
from gating.messages.positions import UNKNOWN_AXES, AxesMm, AxesMs, TargetPosition
from gating.messages.source import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    ASSUMED_CLOCK,
    ASSUMED_TIME_MEANS,
    CineFrame,
    FrameHeader,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamEnd,
    StreamInfo,
)
from gating.messages.telemetry import Event, Heartbeat, Severity

__all__ = [
    "ARRIVAL_TIME",
    "ARRIVAL_TIME_MEANS",
    "ASSUMED_CLOCK",
    "ASSUMED_TIME_MEANS",
    "SCHEMA",
    "SCHEMA_MAJOR",
    "SESSION_ENDED",
    "TOPICS",
    "UNKNOWN_AXES",
    "WITH_PIXELS",
    "AxesMm",
    "AxesMs",
    "BeamStatus",
    "CineFrame",
    "ControlReply",
    "ControlRequest",
    "EngineState",
    "EngineStatus",
    "Event",
    "FrameHeader",
    "GateCommand",
    "GateState",
    "Heartbeat",
    "ImageHeader",
    "Message",
    "Orientation",
    "Pacing",
    "PeerStatus",
    "Pixels",
    "Position",
    "ReferenceImage",
    "SessionHeader",
    "Severity",
    "SourceKind",
    "StageStamps",
    "StampMeaning",
    "StreamEnd",
    "StreamInfo",
    "TargetEstimate",
    "TargetPosition",
    "TargetReference",
    "as_dict",
]

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
