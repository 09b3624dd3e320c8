"""What the position stream says, for machines that follow a target."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from gating.messages.fields import Message, Milliseconds, Name, Nanoseconds, PatientMm, Sentence, Sequence
from gating.messages.source import Pacing, SourceKind

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
