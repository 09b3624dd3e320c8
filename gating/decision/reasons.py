"""Why the beam is permitted or held: every reason, and what follows from it."""

from __future__ import annotations

import enum
from typing import Final

from msgspec import Struct


class GateReason(enum.StrEnum):
    """Why the beam is permitted or held."""

    IN_WINDOW = "in_window"
    NOT_READY = "not_ready"
    NOT_ARMED = "not_armed"
    NO_FRAME = "no_frame"
    OUT_OF_WINDOW = "out_of_window"
    OFF_CENTRE = "off_centre"
    LOW_OVERLAP = "low_overlap"
    EXCURSION = "excursion"
    ORGAN_IN_WINDOW = "organ_in_window"
    NOT_HELD = "not_in_breath_hold"
    PREDICTED_OUT = "predicted_out"
    LOW_CONFIDENCE = "low_confidence"
    TARGET_LOST = "target_lost"
    FRAME_REFUSED = "frame_refused"
    SETTLING = "settling"
    STALE_FRAME = "stale_frame"
    FRAME_GAP = "frame_gap"
    FRAME_REPEATED = "frame_repeated"
    FRAME_OUT_OF_ORDER = "frame_out_of_order"
    IRREGULAR_RATE = "irregular_rate"
    MESSAGE_REFUSED = "message_refused"
    FROZEN_IMAGE = "frozen_image"
    STAMP_UNCERTAIN = "stamp_uncertain"
    STREAM_ENDED = "stream_ended"
    RECORDER_BEHIND = "recorder_behind"
    BEAM_SILENT = "beam_silent"
    OVER_BUDGET = "over_budget"
    MAX_BEAM_ON = "max_beam_on"
    CLOCK_FAULT = "clock_fault"
    GEOMETRY_CHANGED = "geometry_changed"
    SESSION_CHANGED = "session_changed"
    TWO_PUBLISHERS = "two_publishers"
    READ_BACK_MISMATCH = "read_back_mismatch"
    AUDIT_LOSS = "audit_loss"
    OVER_BUDGET_REPEATEDLY = "over_budget_repeatedly"
    TARGET_UNUSABLE = "target_unusable"
    INTERNAL_ERROR = "internal_error"
    STOPPING = "stopping"


HARD_FAULTS: Final = frozenset(
    {
        GateReason.CLOCK_FAULT,
        GateReason.GEOMETRY_CHANGED,
        GateReason.SESSION_CHANGED,
        GateReason.TWO_PUBLISHERS,
        GateReason.READ_BACK_MISMATCH,
        GateReason.AUDIT_LOSS,
        GateReason.OVER_BUDGET_REPEATEDLY,
        GateReason.TARGET_UNUSABLE,
        GateReason.INTERNAL_ERROR,
    }
)
"""Reasons that latch: only an operator's named acknowledgement re-arms. All others resume by themselves."""


TOLERABLE: Final = frozenset(
    {GateReason.OUT_OF_WINDOW, GateReason.OFF_CENTRE, GateReason.LOW_OVERLAP, GateReason.PREDICTED_OUT}
)
"""Reasons that a beam-off delay may bridge: the target is known, and out of its window."""


class HoldReason(Struct, frozen=True):
    """Something that forbids beam, whatever the target does."""

    reason: GateReason
    detail: str
