"""The decision as a truth table, and as laws that hold for every input."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gating.decision.decide import DecisionLimits, GateDecision, TargetView, decide, first_decision
from gating.decision.reasons import GateReason, HoldReason
from gating.messages import EngineState, GateState

LIMITS = DecisionLimits(
    min_confidence=0.8,
    stale_ns=250_000_000,
    resume_good_frames=2,
    max_beam_on_ns=60_000_000_000,
    min_dwell_ns=0,
)
GOOD = TargetView("target", "tracked", 0.95, 10_000_000)
OUTSIDE = HoldReason(GateReason.OUT_OF_WINDOW, "second: 50.0 % outside the boundary, the limit is 10 %")
ON = GateDecision(GateState.ON, GateReason.IN_WINDOW, good_frames=5, since_ns=0)
HELD = GateDecision(GateState.HOLD, GateReason.OUT_OF_WINDOW, good_frames=0, since_ns=0)


def decision(
    view: TargetView | None = GOOD, *, previous=ON, state=EngineState.ARMED, fault=None, limits=LIMITS, now=1000
):
    views = [] if view is None else [view]
    return decide(state, fault, views, limits, previous, now, new_frame=True)


def test_a_good_target_keeps_the_beam_on():
    assert decision().state is GateState.ON


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (None, GateReason.NO_FRAME),
        (replace(GOOD, hold_reason=OUTSIDE), GateReason.OUT_OF_WINDOW),
        (TargetView("t", "tracked", 0.79, 0), GateReason.LOW_CONFIDENCE),
        (TargetView("t", "low_confidence", 0.95, 0), GateReason.LOW_CONFIDENCE),
        (TargetView("t", "lost", 0.95, 0, "far away"), GateReason.TARGET_LOST),
        (TargetView("t", "refused", 0.95, 0, "flat"), GateReason.FRAME_REFUSED),
        (TargetView("t", "tracked", 0.95, 250_000_000), GateReason.STALE_FRAME),
        (TargetView("t", "tracked", 0.95, -1), GateReason.CLOCK_FAULT),
        (TargetView("t", "tracked", math.nan, 0), GateReason.LOW_CONFIDENCE),
    ],
)
def test_the_first_bad_frame_holds_and_says_why(view, reason):
    held = decision(view)
    assert (held.state, held.reason, held.good_frames) == (GateState.HOLD, reason, 0)


def test_a_fault_of_the_stream_holds_whatever_the_target_does():
    held = decision(fault=HoldReason(GateReason.FRAME_GAP, "2 frames are missing"))
    assert (held.state, held.reason, held.detail) == (GateState.HOLD, GateReason.FRAME_GAP, "2 frames are missing")


@pytest.mark.parametrize(
    ("state", "reason"), [(EngineState.STARTING, GateReason.NOT_READY), (EngineState.READY, GateReason.NOT_ARMED)]
)
def test_an_engine_that_is_not_armed_holds(state, reason):
    held = decision(state=state)
    assert (held.state, held.reason) == (GateState.HOLD, reason)


def test_beam_comes_back_after_the_set_number_of_good_frames():
    first = decision(previous=HELD)
    second = decision(previous=first)
    assert (first.state, first.reason) == (GateState.HOLD, GateReason.SETTLING)
    assert second.state is GateState.ON


def test_a_tick_between_frames_counts_no_good_frame():
    held = HELD
    for now in range(100):
        held = decide(EngineState.ARMED, None, [GOOD], LIMITS, held, now, new_frame=False)
    assert held.state is GateState.HOLD


def test_beam_on_ends_at_its_longest_duration():
    held = decision(now=LIMITS.max_beam_on_ns + 1)
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.MAX_BEAM_ON)


def test_a_hold_lasts_at_least_the_minimum_dwell():
    limits = DecisionLimits(0.8, 250_000_000, 1, 10**12, min_dwell_ns=500)
    held = GateDecision(GateState.HOLD, GateReason.OUT_OF_WINDOW, good_frames=9, since_ns=600)
    assert decision(previous=held, limits=limits, now=1000).state is GateState.HOLD
    assert decision(previous=held, limits=limits, now=1100).state is GateState.ON


def test_one_bad_target_among_many_holds():
    bad = TargetView("second", "tracked", 0.95, 0, hold_reason=OUTSIDE)
    held = decide(EngineState.ARMED, None, [GOOD, bad, GOOD], LIMITS, ON, 0, new_frame=True)
    assert held.state is GateState.HOLD
    assert held.detail.startswith("second: 50.0 % outside")


hold_reasons = st.builds(
    HoldReason, st.sampled_from(sorted(set(GateReason) - {GateReason.IN_WINDOW})), st.text(max_size=5)
)
any_view = st.builds(
    TargetView,
    st.just("t"),
    st.sampled_from(["tracked", "low_confidence", "lost", "refused", "??"]),
    st.floats(),
    st.integers(-(2**40), 2**40),
    st.just(""),
    st.none() | hold_reasons,
)


@given(
    state=st.sampled_from(EngineState),
    fault=st.none() | hold_reasons,
    views=st.lists(any_view, max_size=3),
    previous=st.sampled_from([ON, HELD, first_decision(0)]),
    now=st.integers(0, 2**40),
    new_frame=st.booleans(),
)
def test_beam_on_means_armed_faultless_fresh_confident_and_inside(state, fault, views, previous, now, new_frame):
    result = decide(state, fault, views, LIMITS, previous, now, new_frame=new_frame)
    if result.state is GateState.ON:
        assert state is EngineState.ARMED
        assert fault is None
        assert views
        for view in views:
            assert view.status == "tracked"
            assert view.confidence >= LIMITS.min_confidence
            assert view.hold_reason is None
            assert 0 <= view.age_ns < LIMITS.stale_ns
        assert result.good_frames >= LIMITS.resume_good_frames or previous.state is GateState.ON
    else:
        assert result.reason is not GateReason.IN_WINDOW


class TestDelays:
    """Beam-on and beam-off delay, on a clock of 100 ms a frame."""

    OUT = replace(GOOD, hold_reason=OUTSIDE)

    def run(self, views, *, on_ms=0, off_ms=0):
        limits = replace(LIMITS, resume_good_frames=1, on_delay_ns=on_ms * 10**6, off_delay_ns=off_ms * 10**6)
        held, states = HELD, []
        for index, view in enumerate(views):
            held = decide(EngineState.ARMED, None, [view], limits, held, index * 10**8, new_frame=True)
            states.append(held.state is GateState.ON)
        return states

    def test_beam_waits_for_the_beam_on_delay(self):
        assert self.run([GOOD] * 5, on_ms=300) == [False, False, False, True, True]

    def test_the_beam_on_delay_starts_anew_after_a_bad_frame(self):
        assert self.run([GOOD, GOOD, self.OUT, GOOD, GOOD, GOOD], on_ms=200) == [False] * 5 + [True]

    def test_a_short_time_outside_is_bridged_by_the_beam_off_delay(self):
        assert self.run([GOOD, self.OUT, self.OUT, GOOD], off_ms=300) == [True] * 4

    def test_the_beam_off_delay_ends(self):
        assert self.run([GOOD, self.OUT, self.OUT, self.OUT, self.OUT], off_ms=300) == [True, True, True, True, False]

    @pytest.mark.parametrize("status", ["lost", "refused", "low_confidence"])
    def test_a_target_that_is_not_known_is_never_bridged(self, status):
        assert self.run([GOOD, TargetView("t", status, 0.95, 0)], off_ms=2000) == [True, False]

    def test_an_excursion_is_never_bridged(self):
        away = replace(GOOD, hold_reason=HoldReason(GateReason.EXCURSION, "away"))
        assert self.run([GOOD, away], off_ms=2000) == [True, False]


def test_a_broken_rule_holds_with_its_reason():
    held = decision(replace(GOOD, hold_reason=HoldReason(GateReason.OFF_CENTRE, "gtv: centre +4.0 mm off in SI")))
    assert (held.state, held.reason, held.detail[:4]) == (GateState.HOLD, GateReason.OFF_CENTRE, "gtv:")


def test_without_any_target_no_off_delay_bridges_the_hold():
    held = decision(None, limits=replace(LIMITS, off_delay_ns=10**9))
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.NO_FRAME)
