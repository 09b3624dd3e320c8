"""Why the beam is permitted or held: every reason and its consequences, in one table."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from msgspec import Struct

from gating import messages


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
    POSITION_UNCERTAIN = "position_uncertain"
    TARGET_NOT_MATCHED = "target_not_matched"
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
    UNDECLARED_STREAM = "undeclared_stream"
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
    TRACKER_FAULT = "tracker_fault"
    INTERNAL_ERROR = "internal_error"
    STOPPING = "stopping"
    SESSION_ENDED = messages.SESSION_ENDED


class Consequence(NamedTuple):
    """The consequences of a reason.

    Attributes
    ----------
    words
        The meaning of the reason, in words for people.
    latches
        Whether the hold lasts until a named operator acknowledges it; other holds end by themselves.
    bridgeable
        Whether the beam-off delay may bridge it: the target's position is known, but outside its window.
    tracked
        Whether a frame with this fault is still tracked; other faulty frames would mislead the trackers.
    replayable
        Whether a replay of the logged frames arrives at it; otherwise its cause is outside them, and the replay takes
        it from the log.
    followable
        Whether a machine may follow a target that is tracked meanwhile: frames come in time and can be trusted, and
        only where the target is, or another process, forbids the beam.
    """

    words: str
    latches: bool = False
    bridgeable: bool = False
    tracked: bool = True
    replayable: bool = True
    followable: bool = False


_R = GateReason
CONSEQUENCES: Final[dict[GateReason, Consequence]] = {
    _R.IN_WINDOW: Consequence("the target is inside its window", followable=True),
    _R.NOT_READY: Consequence("the engine is starting, or learns its targets"),
    _R.NOT_ARMED: Consequence("nobody has armed the engine", followable=True),
    _R.NO_FRAME: Consequence("no frame has shown every target yet"),
    _R.OUT_OF_WINDOW: Consequence("too much of the target is outside its boundary", bridgeable=True, followable=True),
    _R.OFF_CENTRE: Consequence("the target's centre is outside its window", bridgeable=True, followable=True),
    _R.LOW_OVERLAP: Consequence("the target overlaps too little with its reference", bridgeable=True, followable=True),
    _R.EXCURSION: Consequence("the target has been away for too long", followable=True),
    _R.ORGAN_IN_WINDOW: Consequence("an organ at risk is in the target's region", followable=True),
    _R.NOT_HELD: Consequence("the breath is not held where it should be", followable=True),
    _R.PREDICTED_OUT: Consequence("the target is predicted to leave its window", bridgeable=True, followable=True),
    _R.POSITION_UNCERTAIN: Consequence("the target may be outside its window in 3D, within the bound of its position"),
    _R.TARGET_NOT_MATCHED: Consequence("no frame has shown the target yet as the image does in which it was drawn"),
    _R.LOW_CONFIDENCE: Consequence("the tracker is not sure where the target is", followable=True),
    _R.TARGET_LOST: Consequence("the tracker has lost the target", followable=True),
    _R.FRAME_REFUSED: Consequence("the frame cannot be used", tracked=False),
    _R.SETTLING: Consequence("all is well, but not for long enough yet", followable=True),
    _R.STALE_FRAME: Consequence("the newest frame is too old"),
    _R.FRAME_GAP: Consequence("frames are missing"),
    _R.FRAME_REPEATED: Consequence("the same frame came twice", tracked=False),
    _R.FRAME_OUT_OF_ORDER: Consequence("the frame came after a newer one", tracked=False),
    _R.IRREGULAR_RATE: Consequence("the frame interval is not the declared one"),
    _R.MESSAGE_REFUSED: Consequence("a message could not be trusted"),
    _R.UNDECLARED_STREAM: Consequence("the source has not declared its stream", tracked=False),
    _R.FROZEN_IMAGE: Consequence("the image does not change"),
    _R.STAMP_UNCERTAIN: Consequence("the age of the frame is not known well enough"),
    _R.STREAM_ENDED: Consequence("the source has ended its stream"),
    _R.RECORDER_BEHIND: Consequence("the required recorder does not keep up", replayable=False, followable=True),
    _R.BEAM_SILENT: Consequence("the beam interface does not answer", replayable=False, followable=True),
    _R.OVER_BUDGET: Consequence("the decision took longer than its budget"),
    _R.MAX_BEAM_ON: Consequence("the beam has been on for the longest time allowed", followable=True),
    _R.CLOCK_FAULT: Consequence("time stamps contradict each other", latches=True, tracked=False),
    _R.GEOMETRY_CHANGED: Consequence("the image geometry changed", latches=True, tracked=False),
    _R.SESSION_CHANGED: Consequence("the frames are of another session or source", latches=True, tracked=False),
    _R.TWO_PUBLISHERS: Consequence("two sources publish frames", latches=True, tracked=False),
    _R.READ_BACK_MISMATCH: Consequence(
        "the beam line does not do what it was told", latches=True, tracked=False, replayable=False
    ),
    _R.AUDIT_LOSS: Consequence("the session log lost what was decided", latches=True, tracked=False, replayable=False),
    _R.OVER_BUDGET_REPEATEDLY: Consequence("decisions keep taking too long", latches=True, tracked=False),
    _R.TARGET_UNUSABLE: Consequence("the target cannot be learned from this frame", latches=True, tracked=False),
    _R.TRACKER_FAULT: Consequence(
        "the tracker failed, or gave a result that cannot be one", latches=True, tracked=False, replayable=False
    ),
    _R.INTERNAL_ERROR: Consequence("something inside the engine failed", latches=True, tracked=False, replayable=False),
    _R.STOPPING: Consequence("the engine is stopping"),
    _R.SESSION_ENDED: Consequence("an operator has ended the session"),
}


def _reasons_with(**wanted: bool) -> frozenset[GateReason]:
    return frozenset(
        reason
        for reason, consequence in CONSEQUENCES.items()
        if all(getattr(consequence, name) is value for name, value in wanted.items())
    )


LATCHING: Final = _reasons_with(latches=True)
BRIDGEABLE: Final = _reasons_with(bridgeable=True)
NOT_TRACKED: Final = _reasons_with(tracked=False)
NOT_REPLAYABLE: Final = _reasons_with(replayable=False)
FOLLOWABLE: Final = _reasons_with(followable=True)
"""Sets of reasons, each from one column of the table, for quick look-ups on the gate path."""
_KNOWN: Final = frozenset(GateReason)


def words(reason: str) -> str:
    """Return what a reason means, in words for people; a reason that this version does not know, as it is written."""
    return CONSEQUENCES[GateReason(reason)].words if reason in _KNOWN else reason


class HoldReason(Struct, frozen=True):
    """A reason to hold the beam, and a sentence with the values that led to it."""

    reason: GateReason
    detail: str


class PositionReason(enum.StrEnum):
    """Why a position is valid or not, beside the reasons of an engine's hold."""

    TRACKED = "tracked"
    STARTING = "starting"
    LEARNING = "learning"
    TARGET_NOT_TRACKED = "target_not_tracked"
    TOO_OLD = "too_old"
    ENGINE_SILENT = "engine_silent"
    OTHER_ENGINE = "other_engine"
    OTHER_CLOCK = "other_clock"
