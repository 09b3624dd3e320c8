"""Checks each frame against the frames before it and against the declared stream. Pure."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

import cv2
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.decision.reasons import GateReason, HoldReason
from gating.messages import FrameHeader, Orientation, StreamInfo
from gating.settings.config import HealthSettings
from gating.stream.arrival_queue import check_queue, queued_ns

FUTURE_TOLERANCE_NS = 2_000_000
"""Two processes of one host share a clock; this allows for the order in which they read it."""

DELAY_TOO_SMALL: Final = (
    ": its image would show a moment after its publication; clocks.source_delay_ms is likely too small "
    "(unset, it is 0), or clocks.acquisition_ms too large"
)
"""Half an acquisition is added to a stamp of its start, and only the delay of the source takes it off again."""

ANCHOR_NS = 10_000_000_000
CLOCK_SLACK_NS = 5_000_000
CLOCK_DRIFT = 0.001
"""Ten times the error of a quartz clock. A larger difference, beyond the slack, means that a clock was set."""

DECLARED: Final = ("dtype", "shape", "pixel_spacing_mm")
GEOMETRY: Final = (*DECLARED, "image_orientation", "image_position_mm")
_declared, _geometry = attrgetter(*DECLARED), attrgetter(*GEOMETRY)

AXES: Final = {"sagittal": 0, "coronal": 1, "transversal": 2}
SMALLEST_ALONG_NORMAL: Final = 0.5
"""Cosine between the normal of a plane and the axis of its label: tilted by up to 60 degrees, it keeps the label."""

LARGEST: Final = {kind: np.iinfo(kind).max for kind in np.typecodes["AllInteger"]}
"""Largest value of each integer type, by its type character, which is the same in either byte order."""
EVERY_ROW = 4
"""Only every fourth row is counted: saturation covers whole regions."""


class StreamMemory(Struct, frozen=True):
    """Past frames that the checks need: the newest of the stream and of each plane, and one some seconds old."""

    newest: FrameHeader | None
    newest_received_ns: int
    by_plane: dict[str, FrameHeader]
    anchor: FrameHeader | None = None
    queued_ns: int = 0
    """How much older than their arrival images have been, as the arrivals themselves show."""


def remember(memory: StreamMemory | None, header: FrameHeader, received_ns: int, interval_ns: int = 0) -> StreamMemory:
    """Return the memory with `header` as the newest frame; `interval_ns` is the declared one, 0 if unknown."""
    if memory is None:
        return StreamMemory(header, received_ns, {header.plane: header}, header)
    anchor = memory.anchor
    if anchor is None or header.acquired_ns - anchor.acquired_ns > ANCHOR_NS:
        anchor = header
    queued = queued_ns(header, memory.newest, memory.queued_ns, interval_ns)
    return StreamMemory(header, received_ns, {**memory.by_plane, header.plane: header}, anchor, queued)


def forget_stream(memory: StreamMemory | None) -> StreamMemory | None:
    """Return the memory without its newest frame, so that the stream may restart; the geometry must stay the same."""
    return None if memory is None else replace(memory, newest=None, anchor=None)


def check_frame(
    header: FrameHeader,
    received_ns: int,
    memory: StreamMemory | None,
    stream: StreamInfo,
    settings: HealthSettings,
) -> HoldReason | None:
    """Return the most serious fault of a frame, or None.

    Parameters
    ----------
    header
        Header of the frame just received.
    received_ns
        Time of receipt, on the clock that `header.publish_clock` names.
    memory
        Memory of the earlier frames; None for the first frame.
    stream
        The stream as its source declared it.
    settings
        Limits of the checks.
    """
    before = None if memory is None else memory.newest
    fault = None
    if memory is not None and before is not None:
        fault = _check_identity(header, before, received_ns - memory.newest_received_ns)
        fault = fault or _check_source_clock(header, before)
    fault = fault or _check_stamps(header, received_ns, settings)
    fault = fault or _check_declared(header, stream)
    if fault is None and memory is not None:
        fault = _check_same_plane(header, memory)
    if fault is None and memory is not None and before is not None:
        fault = (
            _check_order(header, before)
            or _check_time_runs(header, before)
            or _check_clocks_agree(header, before, memory.anchor)
            or _check_rate(header, before, stream, settings)
            or check_queue(
                header.sequence,
                queued_ns(header, before, memory.queued_ns, stream.nominal_interval_ns),
                settings,
            )
        )
    return fault


def check_pixels(sequence: int, pixels: NDArray[Any], settings: HealthSettings) -> HoldReason | None:
    """Return a fault if too much of a frame is saturated; floating-point pixels cannot saturate.

    Parameters
    ----------
    sequence
        Sequence number of the frame.
    pixels
        Image of shape (rows, columns), integer or floating-point.
    settings
        Limits of the checks.
    """
    largest = LARGEST.get(pixels.dtype.char)
    rows = pixels[::EVERY_ROW]
    if largest is None or _largest(rows) < largest:
        return None
    fraction = float(np.count_nonzero(rows == largest)) / rows.size
    if fraction <= settings.max_saturated_fraction:
        return None
    return HoldReason(
        GateReason.FRAME_REFUSED,
        f"frame {sequence}: {fraction:.0%} of the pixels are saturated at {largest}, "
        f"the limit is {settings.max_saturated_fraction:.0%}",
    )


def _largest(rows: NDArray[Any]) -> float:
    """Return the largest of some integers. OpenCV needs a quarter of numpy's time, but knows only some types."""
    opencv_knows = rows.dtype.char in "BH" and rows.dtype.isnative
    return cv2.norm(rows, cv2.NORM_INF) if opencv_knows else float(rows.max())


def _check_stamps(header: FrameHeader, received_ns: int, settings: HealthSettings) -> HoldReason | None:
    acquired_ns, published_ns = header.acquired_on_publish_clock_ns, header.published_ns
    if acquired_ns == 0 or published_ns == 0:
        return HoldReason(
            GateReason.CLOCK_FAULT, f"frame {header.sequence}: a stamp is 0; the source must stamp every frame"
        )
    if header.age_uncertainty_ns > settings.max_stamp_uncertainty_ms * 1e6:
        text = f"frame {header.sequence}: stamp is uncertain by {header.age_uncertainty_ns / 1e6:.0f} ms"
        if header.moment_uncertainty_ns:
            text += f" ({header.moment_uncertainty_ns / 1e6:.0f} ms of it by when k-space's centre was read)"
        return HoldReason(GateReason.STAMP_UNCERTAIN, f"{text}, the limit is {settings.max_stamp_uncertainty_ms:g} ms")
    ahead_ns = max(acquired_ns, published_ns) - received_ns
    if ahead_ns > FUTURE_TOLERANCE_NS + header.age_uncertainty_ns:
        text = f"frame {header.sequence} is stamped {ahead_ns / 1e6:.1f} ms in the future"
        if header.moment_uncertainty_ns is not None and acquired_ns > published_ns:
            text += DELAY_TOO_SMALL
        return HoldReason(GateReason.CLOCK_FAULT, text)
    return None


def _check_source_clock(header: FrameHeader, before: FrameHeader) -> HoldReason | None:
    """Return a fault if the source's clock was set back; it comes before the uncertain stamps that this causes."""
    back_ns = before.acquired_ns - header.acquired_ns
    if header.sequence > before.sequence and back_ns > 0:
        text = f"acquired_ns ran backward by {back_ns / 1e6:.1f} ms at frame {header.sequence}"
        return HoldReason(GateReason.CLOCK_FAULT, f"{text}: the source's clock was set back")
    return None


def _check_declared(header: FrameHeader, stream: StreamInfo) -> HoldReason | None:
    if header.session_id != stream.session_id:
        text = f"frame {header.sequence} belongs to session {header.session_id}, the stream to {stream.session_id}"
        return HoldReason(GateReason.SESSION_CHANGED, text)
    if header.plane not in stream.planes:
        known = ", ".join(stream.planes)
        return HoldReason(GateReason.GEOMETRY_CHANGED, f"plane is {header.plane!r}; the source declared {known}")
    if (header.source, header.source_kind) != (stream.source, stream.source_kind):
        text = f"frame {header.sequence} comes from {header.source} ({header.source_kind}), expected {stream.source}"
        return HoldReason(GateReason.TWO_PUBLISHERS, text)
    normal = AXES.get(header.plane)
    if normal is not None and not abs(_normal(header.image_orientation)[normal]) >= SMALLEST_ALONG_NORMAL:
        text = f"plane is {header.plane!r}, but its orientation {header.image_orientation} is not"
        return HoldReason(GateReason.GEOMETRY_CHANGED, text)
    if (header.pacing, header.speed) != (stream.pacing, stream.speed):
        text = f"frame {header.sequence} is {header.pacing} at {header.speed:g}; the source declared {stream.pacing}"
        return HoldReason(GateReason.CLOCK_FAULT, f"{text} at {stream.speed:g}")
    if _declared(header) != _declared(stream):
        field, declared, found = _difference(DECLARED, stream, header)
        return HoldReason(GateReason.GEOMETRY_CHANGED, f"{field} is {found}; the source declared {declared}")
    return None


def _normal(axes: Orientation) -> tuple[float, float, float]:
    ax, ay, az, bx, by, bz = axes
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def _check_identity(header: FrameHeader, before: FrameHeader, since_ns: int) -> HoldReason | None:
    if header.session_id != before.session_id:
        text = f"session changed from {before.session_id} to {header.session_id}"
        return HoldReason(GateReason.SESSION_CHANGED, text)
    if header.publisher_id != before.publisher_id or header.source != before.source:
        if since_ns < 1_000_000_000:
            text = f"two publishers on one stream: {before.publisher_id or before.source} and {header.publisher_id}"
            return HoldReason(GateReason.TWO_PUBLISHERS, text)
        return HoldReason(GateReason.SESSION_CHANGED, f"the source was restarted (publisher {header.publisher_id})")
    if header.publish_clock != before.publish_clock or header.acquired_clock != before.acquired_clock:
        return HoldReason(GateReason.CLOCK_FAULT, f"the source changed its clock at frame {header.sequence}")
    return None


def _check_same_plane(header: FrameHeader, memory: StreamMemory) -> HoldReason | None:
    before = memory.by_plane.get(header.plane)
    if before is None or _geometry(before) == _geometry(header):
        return None
    field, old, new = _difference(GEOMETRY, before, header)
    return HoldReason(GateReason.GEOMETRY_CHANGED, f"{field} of {header.plane} changed from {old} to {new}")


def _difference(fields: tuple[str, ...], one: object, other: object) -> tuple[str, Any, Any]:
    """Return the first of `fields` in which two messages differ, and both values. At least one must differ."""
    return next((f, getattr(one, f), getattr(other, f)) for f in fields if getattr(one, f) != getattr(other, f))


def _check_order(header: FrameHeader, before: FrameHeader) -> HoldReason | None:
    if header.sequence == before.sequence:
        return HoldReason(GateReason.FRAME_REPEATED, f"frame {header.sequence} came twice")
    if header.sequence < before.sequence:
        return HoldReason(GateReason.FRAME_OUT_OF_ORDER, f"frame {header.sequence} came after frame {before.sequence}")
    return None


def _check_time_runs(header: FrameHeader, before: FrameHeader) -> HoldReason | None:
    if header.acquired_ns == before.acquired_ns:
        return HoldReason(GateReason.CLOCK_FAULT, f"acquired_ns stands still at {header.acquired_ns}")
    uncertain_ns = header.acquired_uncertainty_ns + before.acquired_uncertainty_ns
    mapped_ns, mapped_before_ns = header.acquired_on_publish_clock_ns, before.acquired_on_publish_clock_ns
    for field, back_ns, allowed_ns in (
        ("acquired_ns", before.acquired_ns - header.acquired_ns, 0),
        ("acquired_on_publish_clock_ns", mapped_before_ns - mapped_ns, uncertain_ns),
        ("published_ns", before.published_ns - header.published_ns, 0),
    ):
        if back_ns > allowed_ns:
            return HoldReason(GateReason.CLOCK_FAULT, f"{field} ran backward by {back_ns / 1e6:.1f} ms")
    return None


def _check_clocks_agree(header: FrameHeader, *earlier: FrameHeader | None) -> HoldReason | None:
    """Return a fault unless raw and mapped stamps have advanced equally since each of the earlier frames."""
    if not header.pacing.is_timed or header.speed <= 0:
        return None
    for before in earlier:
        if before is None:
            continue
        raw_ns = (header.acquired_ns - before.acquired_ns) / header.speed
        mapped_ns = header.acquired_on_publish_clock_ns - before.acquired_on_publish_clock_ns
        uncertain_ns = header.acquired_uncertainty_ns + before.acquired_uncertainty_ns
        if abs(raw_ns - mapped_ns) > CLOCK_SLACK_NS + CLOCK_DRIFT * raw_ns + uncertain_ns:
            step_ms, over_s = (mapped_ns - raw_ns) / 1e6, raw_ns / 1e9
            text = f"the source's clock is off by {step_ms:.1f} ms over {over_s:.1f} s at frame {header.sequence}"
            return HoldReason(GateReason.CLOCK_FAULT, text)
    return None


def _check_rate(
    header: FrameHeader, before: FrameHeader, stream: StreamInfo, settings: HealthSettings
) -> HoldReason | None:
    missing = header.sequence - before.sequence - 1
    if missing > 0:
        return HoldReason(GateReason.FRAME_GAP, f"{missing} frames are missing before frame {header.sequence}")
    if stream.nominal_interval_ns == 0:
        return None
    ratio = (header.acquired_ns - before.acquired_ns) / stream.nominal_interval_ns
    if not (settings.min_interval_ratio <= ratio <= settings.max_interval_ratio):
        return HoldReason(
            GateReason.IRREGULAR_RATE,
            f"frame {header.sequence} follows after {ratio:.2f} nominal intervals; "
            f"{settings.min_interval_ratio:g} to {settings.max_interval_ratio:g} are allowed",
        )
    return None
