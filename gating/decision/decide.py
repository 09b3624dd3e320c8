"""The beam decision, a pure function: it reads no clock and no socket.

Comparisons are written `not (x >= limit)` so that NaN holds the beam.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gating.decision.reasons import BRIDGEABLE, GateReason, HoldReason
from gating.messages import EngineState, GateState


class TargetView(Struct, frozen=True):
    """One target in one plane as the decision sees it: its newest result, and the age of that result."""

    name: str
    status: str
    confidence: float
    age_ns: int
    detail: str = ""
    hold_reason: HoldReason | None = None
    """Why its rules (`gating.targets.rules`) forbid beam, now or by prediction; None while they permit it."""


class DecisionLimits(Struct, frozen=True):
    """The limits of the decision; see `gating.settings.config` for defaults and sources."""

    min_confidence: float
    stale_ns: int
    resume_good_frames: int
    max_beam_on_ns: int
    min_dwell_ns: int
    on_delay_ns: int = 0
    off_delay_ns: int = 0


class GateDecision(Struct, frozen=True):
    """A beam state with its reason, and what hysteresis needs to remember."""

    state: GateState
    reason: GateReason
    detail: str = ""
    good_frames: int = 0
    since_ns: int = 0
    """When `state` began."""
    good_since_ns: int = -1
    """Since when there has been no reason to hold; -1 while there is one."""
    out_since_ns: int = -1
    """Since when the beam-off delay has bridged a reason to hold; -1 while it does not."""


def first_decision(now_ns: int) -> GateDecision:
    """Return the first decision, before any frame: hold."""
    return GateDecision(GateState.HOLD, GateReason.NOT_READY, since_ns=now_ns)


def decide(
    engine_state: EngineState,
    fault: HoldReason | None,
    targets: Sequence[TargetView],
    limits: DecisionLimits,
    previous: GateDecision,
    now_ns: int,
    *,
    new_frame: bool,
) -> GateDecision:
    """Decide whether the beam may be on. Any input gives a state and a reason.

    Parameters
    ----------
    engine_state
        Only ARMED can permit beam.
    fault
        Fault of the stream, of a peer process or of the engine itself, or None.
    targets
        The newest view of every target in every plane; an empty sequence holds.
    limits
        Limits of the decision.
    previous
        The previous decision, for hysteresis.
    now_ns
        Time on the engine's clock.
    new_frame
        Whether this is the first decision on a frame; each good frame is counted once.
    """
    hold_reason = fault or _first_hold_reason(targets, limits)
    out_since_ns = -1
    if hold_reason is not None:
        out_since_ns = previous.out_since_ns if previous.out_since_ns >= 0 else now_ns
        may_bridge = fault is None and previous.state is GateState.ON and now_ns - out_since_ns < limits.off_delay_ns
        bridgeable = hold_reason.reason in BRIDGEABLE and all(_is_bridgeable(target, limits) for target in targets)
        if not (may_bridge and bridgeable):
            return _hold(hold_reason.reason, hold_reason.detail, 0, previous, now_ns)
    good_frames = previous.good_frames + int(new_frame and hold_reason is None)
    if engine_state is not EngineState.ARMED:
        reason = GateReason.NOT_ARMED if engine_state is EngineState.READY else GateReason.NOT_READY
        return _hold(reason, "", good_frames, previous, now_ns)
    if previous.state is GateState.ON:
        if not (now_ns - previous.since_ns <= limits.max_beam_on_ns):
            seconds = limits.max_beam_on_ns / 1e9
            return _hold(GateReason.MAX_BEAM_ON, f"beam was on for {seconds:g} s, the limit", 0, previous, now_ns)
        return replace(previous, good_frames=good_frames, out_since_ns=out_since_ns)
    if not (good_frames >= limits.resume_good_frames):
        progress = f"{good_frames} of {limits.resume_good_frames} good frames"
        return _hold(GateReason.SETTLING, progress, good_frames, previous, now_ns)
    if not (now_ns - previous.since_ns >= limits.min_dwell_ns):
        return _hold(GateReason.SETTLING, "minimum dwell in hold", good_frames, previous, now_ns)
    good_since_ns = previous.good_since_ns if previous.good_since_ns >= 0 else now_ns
    if not (now_ns - good_since_ns >= limits.on_delay_ns):
        return _hold(GateReason.SETTLING, "beam-on delay", good_frames, previous, now_ns)
    return GateDecision(GateState.ON, GateReason.IN_WINDOW, "", good_frames, now_ns, good_since_ns)


def _is_bridgeable(target: TargetView, limits: DecisionLimits) -> bool:
    hold_reason = _hold_reason(target, limits)
    return hold_reason is None or hold_reason.reason in BRIDGEABLE


def _first_hold_reason(targets: Sequence[TargetView], limits: DecisionLimits) -> HoldReason | None:
    if not targets:
        return HoldReason(GateReason.NO_FRAME, "no target has been seen yet")
    for target in targets:
        hold_reason = _hold_reason(target, limits)
        if hold_reason is not None:
            return hold_reason
    return None


def _hold_reason(target: TargetView, limits: DecisionLimits) -> HoldReason | None:
    if target.age_ns < 0:
        return HoldReason(
            GateReason.CLOCK_FAULT, f"{target.name}: frame is {-target.age_ns / 1e6:.1f} ms in the future"
        )
    if not (target.age_ns < limits.stale_ns):
        age_ms, limit_ms = target.age_ns / 1e6, limits.stale_ns / 1e6
        return HoldReason(
            GateReason.STALE_FRAME, f"{target.name}: frame is {age_ms:.0f} ms old, the limit is {limit_ms:.0f} ms"
        )
    if target.status == "refused":
        return HoldReason(GateReason.FRAME_REFUSED, f"{target.name}: {target.detail}")
    if target.status == "lost":
        return HoldReason(GateReason.TARGET_LOST, f"{target.name}: {target.detail}")
    if target.status != "tracked" or not (target.confidence >= limits.min_confidence):
        detail = target.detail or f"confidence {target.confidence:.2f}, the limit is {limits.min_confidence:.2f}"
        return HoldReason(GateReason.LOW_CONFIDENCE, f"{target.name}: {detail}")
    return target.hold_reason


def _hold(reason: GateReason, detail: str, good_frames: int, previous: GateDecision, now_ns: int) -> GateDecision:
    since_ns = previous.since_ns if previous.state is GateState.HOLD else now_ns
    good_since_ns = -1
    if good_frames > 0:
        good_since_ns = previous.good_since_ns if previous.good_since_ns >= 0 else now_ns
    return GateDecision(GateState.HOLD, reason, detail, good_frames, since_ns, good_since_ns)
