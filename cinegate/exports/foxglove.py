"""A session as a recording for Foxglove: images, outlines, plots and events under its own schemas, in MCAP.

Messages of the session log are in no schema that Foxglove knows. Here images are `foxglove.RawImage`, outlines
`foxglove.ImageAnnotations`, events `foxglove.Log`, and what is plotted is JSON with a schema. Chunked and indexed.

Source: https://docs.foxglove.dev/docs/visualization/message-schemas and https://mcap.dev/spec
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cinegate.exports.files import new_file
from cinegate.exports.session import ExportedSession
from drivers.errors import Unavailable
from drivers.extras import missing
from gating.messages import GateState

if TYPE_CHECKING:
    from foxglove import Context
    from foxglove.messages import Timestamp

ENCODINGS: Final = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}
_NUMBER: Final = {"type": ["number", "null"]}
_TEXT: Final = {"type": "string"}
TARGET: Final = {
    "lr_mm": _NUMBER, "ap_mm": _NUMBER, "si_mm": _NUMBER, "confidence": _NUMBER, "target_out_fraction": _NUMBER,
    "status": _TEXT,
}  # fmt: skip
"""Displacement of the target's centre from its place in the reference frame (LPS), and how sure it is."""
GATE: Final = {"on": {"type": "integer"}, "state": _TEXT, "reason": _TEXT, "engine_state": _TEXT}
BEAM: Final = {"on": {"type": "integer"}, "commanded": _TEXT, "confirmed": _TEXT, "reason": _TEXT}
"""`on` is 1 where the line confirms beam."""


def write_foxglove(session: ExportedSession, out: Path) -> dict[str, int]:
    """Write a session as an MCAP file, and return the number of messages of each topic.

    Raises
    ------
    OSError
        If the file cannot be written, or is there already.
    Unavailable
        If the Foxglove SDK is not installed.
    """
    try:
        import foxglove
    except ImportError:
        raise Unavailable(missing("Foxglove", "foxglove-sdk", "export")) from None
    context = foxglove.Context()
    counts: dict[str, int] = {}
    with new_file(out).open("wb") as file, foxglove.open_mcap(file, context=context):
        for topic in (_images, _targets, _decisions, _statuses, _events):
            for name in topic(session, context):
                counts[name] = counts.get(name, 0) + 1
    return counts


def _images(session: ExportedSession, context: Context) -> Iterator[str]:
    from foxglove.channels import RawImageChannel
    from foxglove.messages import RawImage

    channels = {plane: RawImageChannel(f"/cine/{plane}", context=context) for plane in session.planes}
    for frame in session.frames():
        header, rows = frame.header, np.ascontiguousarray(frame.pixels)
        shown_ns = session.wall_ns(header.acquired_on_publish_clock_ns)
        image = RawImage(
            timestamp=_timestamp(shown_ns),
            frame_id=header.plane,
            width=header.shape[1],
            height=header.shape[0],
            encoding=ENCODINGS[header.dtype],
            step=rows.strides[0],
            data=rows.tobytes(),
        )
        channels[header.plane].log(image, log_time=shown_ns)
        yield f"/cine/{header.plane}"


def _targets(session: ExportedSession, context: Context) -> Iterator[str]:
    from foxglove.channels import ImageAnnotationsChannel
    from foxglove.messages import ImageAnnotations, Point2, PointsAnnotation, PointsAnnotationType

    for target in session.motions:
        topic, outlined = f"/target/{target}", f"/target/{target}/outline"
        numbers = _json_channel(topic, TARGET, context)
        outlines = ImageAnnotationsChannel(outlined, context=context)
        for one, header, away_mm in session.estimates(target):
            shown_ns = session.wall_ns(header.acquired_on_publish_clock_ns)
            values = (*away_mm, one.confidence, one.target_out_fraction)
            row = [float(value) if np.isfinite(value) else None for value in values]
            numbers.log(dict(zip(TARGET, [*row, one.status], strict=True)), log_time=shown_ns)
            yield topic
            # Foxglove counts pixels from the corner of the first one, we from its centre.
            points = [Point2(x=x + 0.5, y=y + 0.5) for x, y in one.contour_px]
            loop = PointsAnnotation(
                timestamp=_timestamp(shown_ns), type=PointsAnnotationType.LineLoop, points=points, thickness=1.0
            )
            outlines.log(ImageAnnotations(points=[loop]), log_time=shown_ns)
            yield outlined


def _decisions(session: ExportedSession, context: Context) -> Iterator[str]:
    channel = _json_channel("/gate", GATE, context)
    for at_ns, one in session.data.commands:
        row = (int(one.state is GateState.ON), str(one.state), one.reason, str(one.engine_state))
        channel.log(dict(zip(GATE, row, strict=True)), log_time=session.wall_ns(at_ns))
        yield "/gate"


def _statuses(session: ExportedSession, context: Context) -> Iterator[str]:
    channel = _json_channel("/beam", BEAM, context)
    for at_ns, one in session.data.statuses:
        row = (int(one.confirmed is GateState.ON), str(one.commanded), str(one.confirmed), one.reason)
        channel.log(dict(zip(BEAM, row, strict=True)), log_time=session.wall_ns(at_ns))
        yield "/beam"


def _events(session: ExportedSession, context: Context) -> Iterator[str]:
    from foxglove.channels import LogChannel
    from foxglove.messages import Log, LogLevel

    levels = {"info": LogLevel.Info, "warning": LogLevel.Warning, "fault": LogLevel.Error}
    channel = LogChannel("/events", context=context)
    for event in session.data.events:
        at_ns = session.wall_ns(event.at_ns)
        said = f"{event.code}: {event.text}"
        line = Log(timestamp=_timestamp(at_ns), level=levels[event.severity], message=said, name=event.role)
        channel.log(line, log_time=at_ns)
        yield "/events"


def _json_channel(topic: str, properties: dict[str, Any], context: Context) -> Any:
    from foxglove import Channel

    schema = {"type": "object", "title": f"cinegate{topic}", "properties": properties, "required": list(properties)}
    return Channel(topic, schema=schema, context=context)


def _timestamp(at_ns: int) -> Timestamp:
    from foxglove.messages import Timestamp

    return Timestamp(*divmod(at_ns, 10**9))
