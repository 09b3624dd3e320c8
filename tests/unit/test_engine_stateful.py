"""From any sequence of inputs, beam on only through READY and ARMED, on a fresh, confident, in-window frame.

The machine below feeds the engine whatever can reach it, in any order, and keeps its own short account of what would
justify a beam. It knows nothing of how the engine decides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine, StepOutcome
from gating.geometry.contours import box_contour
from gating.messages import (
    ControlRequest,
    EngineState,
    GateCommand,
    GateState,
    Heartbeat,
    StreamEnd,
)
from gating.settings.config import Config, GatingSettings, RecordingSettings, SafetySettings
from gating.targets.spec import TargetSpec
from gating.tracking.tracker import TrackResult, TrackStatus
from tests.factories import INTERVAL_NS, START_NS, beam_status, frame, stream

BOX = box_contour(36, 36, 24, 24)
CONFIG = Config(
    gating=GatingSettings(resume_good_frames=2),
    safety=SafetySettings(arm_good_frames=3, max_beam_on_s=2, min_dwell_ms=150),
    recording=RecordingSettings(required=True),
)
STALE_NS = round((1.5 * INTERVAL_NS / 1e6 + 50) * 1e6)
PIXELS = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)


class ToldTracker:
    """Reports what it was told to."""

    shift_px = 0.0
    confidence = 0.99
    status = TrackStatus.TRACKED

    def warm_up(self) -> None:
        pass

    def set_reference(self, pixels: Any, contour_px: Any, pixel_spacing_mm: Any) -> None:
        pass

    def track(self, pixels: Any, elapsed_s: float) -> TrackResult:
        contour = BOX + np.array([0, self.shift_px], np.float32)
        detail = "" if self.status is TrackStatus.TRACKED else "it was told so"
        return TrackResult(
            47.5, 47.5 + self.shift_px, self.confidence, 0.9, self.status, contour.astype(np.float32), detail, 1
        )


class AnySequence(RuleBasedStateMachine):
    """Inputs in any order; the account is in the attributes without underscore."""

    @initialize(by_itself=st.booleans())
    def start(self, by_itself: bool) -> None:
        self.clock = ManualClock(START_NS)
        self.tracker = ToldTracker()
        self.engine = Engine(
            CONFIG,
            [TargetSpec("target", BOX)],
            lambda: self.tracker,
            self.clock,
            "s1",
            "e1",
            arm_by_itself=by_itself,
        )
        self.by_itself = by_itself
        self.sequence = 0
        self.warm = self.declared = self.armed_once = self.fault_stands = False
        self.latched_by: str | None = None
        self.good_frame_ns: int | None = None
        self.beam_heard_ns = self.recorder_heard_ns = -(10**12)
        self.on_since_ns: int | None = None
        self.hold_since_ns = START_NS
        self.command: GateCommand | None = None

    def took(self, outcome: StepOutcome | GateCommand) -> None:
        self.command = outcome if isinstance(outcome, GateCommand) else outcome.command
        if self.command.engine_state is EngineState.ARMED:
            self.armed_once = True
        if self.command.state is not GateState.ON:
            self.on_since_ns = None

    # ---- what may come ----------------------------------------------------------------------------------------

    @rule()
    def warm_up(self) -> None:
        self.engine.warm_up()
        self.warm = True

    @rule()
    def declare(self) -> None:
        self.engine.open_stream(stream())
        self.declared = True

    @rule()
    def declare_in_another_session(self) -> None:
        self.engine.open_stream(stream(session_id="s2"))
        self.latched_by = self.latched_by or "session"
        self.took(self.engine.tick())

    @precondition(lambda self: self.declared)
    @rule()
    def declare_differently(self) -> None:
        self.engine.open_stream(stream(pixel_spacing_mm=(1.0, 1.0)))
        self.latched_by = self.latched_by or "geometry"
        self.took(self.engine.tick())

    @rule(milliseconds=st.sampled_from([1, 15, 60, 125, 240, 1100]))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.advance_ms(milliseconds)
        self.took(self.engine.tick())

    @rule(
        shift_px=st.sampled_from([0.0, 0.2, 8.0, -12.0, math.nan]),
        confidence=st.sampled_from([0.99, 0.9, 0.3, math.nan]),
        status=st.sampled_from([TrackStatus.TRACKED, *TrackStatus]),
    )
    def target_is(self, shift_px: float, confidence: float, status: TrackStatus) -> None:
        self.tracker.shift_px, self.tracker.confidence, self.tracker.status = shift_px, confidence, status

    @rule()
    def target_is_fine(self) -> None:
        self.target_is(0.0, 0.99, TrackStatus.TRACKED)

    @rule(count=st.integers(1, 8))
    def good_frames(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance_to(START_NS + self.sequence * INTERVAL_NS)
            self.hear_peers()
            self.next_frame()

    @rule()
    def everything_in_order(self) -> None:
        self.declare()
        self.warm_up()
        self.target_is_fine()
        self.good_frames(2)
        self.operator("acknowledge", "seen")
        self.good_frames(4)
        self.operator("arm", "")
        self.good_frames(4)

    @rule(age_ms=st.sampled_from([300, 1000, -50]))
    def frame_of_another_time(self, age_ms: int) -> None:
        self.next_frame(good=False, acquired_on_publish_clock_ns=max(1, self.clock.now_ns() - age_ms * 1_000_000))

    @rule(what=st.sampled_from([{"shape": (96, 95)}, {"image_position_mm": (9.0, 0.0, 0.0)}, {"plane": "coronal"}]))
    def frame_of_another_geometry(self, what: dict[str, Any]) -> None:
        self.next_frame(good=False, **what)

    @rule(what=st.sampled_from([{"session_id": "s2"}, {"publisher_id": "p2"}, {"source_kind": "phantom"}]))
    def frame_of_another_source(self, what: dict[str, Any]) -> None:
        self.next_frame(good=False, **what)

    @rule(missing=st.integers(1, 3))
    def frame_after_a_gap(self, missing: int) -> None:
        self.sequence += missing
        self.next_frame(good=False)

    @rule()
    def frame_again(self) -> None:
        self.sequence = max(0, self.sequence - 1)
        self.next_frame(good=False)

    @rule()
    def hear_peers(self) -> None:
        self.hear_beam(False)
        self.hear_recorder("recording")

    @rule(latched=st.booleans())
    def hear_beam(self, latched: bool) -> None:
        self.engine.observe_beam(beam_status(latched=latched))
        self.beam_heard_ns = -(10**12) if latched else self.clock.now_ns()
        self.took(self.engine.tick())

    @rule(state=st.sampled_from(["recording", "failed", "starting"]))
    def hear_recorder(self, state: str) -> None:
        self.engine.observe_recorder(
            Heartbeat(session_id="s1", role="recorder", process_id=1, state=state, sent_ns=self.clock.now_ns())
        )
        self.recorder_heard_ns = self.clock.now_ns() if state == "recording" else -(10**12)
        self.took(self.engine.tick())

    @rule()
    def garbage(self) -> None:
        self.fault_stands = True
        self.took(self.engine.refuse("header is 9 bytes"))

    @rule()
    def exception(self) -> None:
        self.latched_by = self.latched_by or "exception"
        self.took(self.engine.latch_internal_error("ZeroDivisionError"))

    @rule()
    def stream_ends(self) -> None:
        self.fault_stands = True
        self.took(self.engine.close_stream(StreamEnd(session_id="s1", source="t", frames_published=1, why="over")))

    @rule(action=st.sampled_from(["arm", "disarm", "acknowledge", "status"]), why=st.sampled_from(["", " ", "seen"]))
    def operator(self, action: str, why: str) -> None:
        before = self.engine.state
        reply, _ = self.engine.control(ControlRequest(session_id="s1", action=action, operator="dr_who", why=why))
        if action == "arm" and reply.accepted:
            assert before is EngineState.READY
            assert self.latched_by is None
            self.armed_once = True
        if action == "acknowledge" and reply.accepted:
            assert before is EngineState.LATCHED
            assert why.strip()
            self.latched_by = None
        self.took(self.engine.tick())

    def next_frame(self, *, good: bool = True, **overrides: Any) -> None:
        stamp_ns = START_NS + self.sequence * INTERVAL_NS
        self.clock.advance_to(stamp_ns + 1_000_000)
        pixels = PIXELS + np.uint16(self.sequence % 5000)
        if "shape" in overrides:
            pixels = np.ascontiguousarray(pixels[:, :95])
        sent = frame(self.sequence, pixels, **overrides)
        self.took(self.engine.step(sent, self.clock.now_ns()))
        self.engine.finish_frame()
        tracker = self.tracker
        inside = abs(tracker.shift_px) < 1 and tracker.confidence >= 0.9 and tracker.status is TrackStatus.TRACKED
        good = good and self.declared
        self.fault_stands = not good
        self.good_frame_ns = stamp_ns if good and inside else None
        self.sequence += 1

    # ---- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def beam_on_is_justified(self) -> None:
        command = getattr(self, "command", None)
        if command is None:
            return
        now_ns = self.clock.now_ns()
        if command.state is not GateState.ON:
            assert command.lease_ms == 0
            self.on_since_ns = None
            return
        assert command.engine_state is EngineState.ARMED
        assert self.warm
        assert self.declared
        assert self.armed_once
        assert self.latched_by is None
        assert not self.fault_stands
        assert self.good_frame_ns is not None
        assert 0 <= now_ns - self.good_frame_ns < STALE_NS
        assert now_ns - self.beam_heard_ns <= 100_000_000
        assert now_ns - self.recorder_heard_ns <= 1_000_000_000
        assert 0 < command.lease_ms <= CONFIG.safety.lease_ms
        self.on_since_ns = self.on_since_ns or now_ns
        assert now_ns - self.on_since_ns <= 2_000_000_000

    @invariant()
    def a_latched_engine_stays_latched_until_it_is_acknowledged(self) -> None:
        if getattr(self, "latched_by", None) is not None:
            assert self.engine.state is EngineState.LATCHED


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_the_machine_does_reach_beam_on() -> None:
    machine = AnySequence()
    machine.start(by_itself=False)
    machine.everything_in_order()
    machine.beam_on_is_justified()
    assert machine.command is not None
    assert machine.command.state is GateState.ON
