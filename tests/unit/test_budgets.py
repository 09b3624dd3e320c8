"""Budgets: one validated file, and the engine that keeps to it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gating.clocks.clock import ManualClock
from gating.decision.reasons import GateReason
from gating.engine.budget import DecisionWatch
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.geometry.contours import box_contour
from gating.latency.budgets import DecisionBudget, load_budgets, parse_budgets
from gating.latency.stages import STAGES
from gating.messages import Event, GateState, Pacing, StageStamps
from gating.settings.config import Config, SafetySettings
from gating.targets.spec import TargetSpec
from gating.tracking.opencv_tracker import OpenCvTracker
from tests.factories import INTERVAL_NS, START_NS, frame, stream

BUDGET = DecisionBudget(max_ms=10.0, repeated=3, window=20)


@dataclass
class SlowTracker:
    """A tracker that takes as long over each frame as it is told."""

    clock: ManualClock
    takes_ms: float = 1.0

    def __post_init__(self) -> None:
        self._inner = OpenCvTracker(Config().tracking)

    def warm_up(self) -> None: ...

    def set_reference(self, pixels, contour_px, pixel_spacing_mm) -> None:
        self.clock.advance_ms(500)
        self._inner.set_reference(pixels, contour_px, pixel_spacing_mm)

    def track(self, pixels, elapsed_s):
        self.clock.advance_ms(self.takes_ms)
        return self._inner.track(pixels, elapsed_s)


class Bench:
    def __init__(self, *, hold: bool = True, pacing: Pacing = Pacing.REAL_TIME) -> None:
        self.clock = ManualClock(START_NS)
        self.tracker = SlowTracker(self.clock)
        safety = SafetySettings(arm_good_frames=2, hold_over_budget=hold)
        self.engine = Engine(
            Config(safety=safety),
            [TargetSpec("target", box_contour(36, 36, 24, 24))],
            lambda: self.tracker,
            self.clock,
            "s1",
            "e1",
            peers=OfflinePeers(),
            arm_by_itself=True,
            budget=BUDGET,
        )
        self.engine.warm_up()
        self.engine.open_stream(stream(pacing=pacing))
        self.pacing = pacing
        self.sequence = 0

    def step(self, takes_ms: float = 1.0):
        self.tracker.takes_ms = takes_ms
        self.clock.advance_to(START_NS + self.sequence * INTERVAL_NS + 1_000_000)
        outcome = self.engine.step(frame(self.sequence, pacing=self.pacing), self.clock.now_ns())
        self.sequence += 1
        self.engine.finish_frame()
        return outcome

    def armed(self) -> Bench:
        for _ in range(10):
            outcome = self.step()
        assert outcome.command.state is GateState.ON
        return self


def test_every_stage_that_is_reported_has_a_budget() -> None:
    assert set(STAGES) <= set(load_budgets().stage)


@pytest.mark.parametrize("stage", sorted(load_budgets().stage))
def test_budgets_of_a_stage_grow_towards_the_tail(stage: str) -> None:
    tail = load_budgets().stage[stage]
    assert tail.p50_ms <= tail.p99_ms <= tail.p999_ms <= tail.max_ms


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("conditions = 3", id="wrong type"),
        pytest.param("[decision]\nmax_ms = -1", id="negative"),
        pytest.param("[", id="torn"),
        pytest.param("surprise = 1", id="unknown key"),
    ],
)
def test_an_invalid_budgets_file_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^budgets: "):
        parse_budgets(text)


def stamps(decode_ms: float = 0.0, track_ms: float = 0.0) -> StageStamps:
    received_ns = 10**9
    decoded_ns = received_ns + round(decode_ms * 1e6)
    return StageStamps(received_ns=received_ns, decoded_ns=decoded_ns, tracked_ns=decoded_ns + round(track_ms * 1e6))


@given(st.floats(0, 5), st.floats(0, 5))
def test_a_decision_within_its_budget_is_no_fault(decode_ms: float, track_ms: float) -> None:
    assert DecisionWatch(BUDGET).observe(0, stamps(decode_ms, track_ms)) is None


def test_the_sentence_names_frame_stage_and_budget() -> None:
    fault = DecisionWatch(BUDGET).observe(17, stamps(1.0, 12.5))
    assert fault is not None
    assert fault.detail == "frame 17 took 13.5 ms (track 12.5 ms), the budget is 10 ms"


@pytest.mark.parametrize(("between", "repeated"), [(0, True), (8, True), (9, False)])
def test_only_decisions_within_the_window_count_as_repeated(between: int, repeated: bool) -> None:
    watch = DecisionWatch(BUDGET)
    for _ in range(2):
        assert watch.observe(0, stamps(track_ms=20.0)) is not None
        for _ in range(between):
            watch.observe(0, stamps(track_ms=1.0))
    last = watch.observe(0, stamps(track_ms=20.0))
    assert last is not None
    assert (last.reason is GateReason.OVER_BUDGET_REPEATEDLY) is repeated


def test_learning_the_reference_is_no_decision_over_budget() -> None:
    bench = Bench()
    bench.step()
    assert bench.engine.counters["over_budget"] == 0


def test_a_decision_over_budget_is_counted_reported_and_held() -> None:
    bench = Bench().armed()
    outcome = bench.step(takes_ms=30.0)
    assert bench.engine.counters["over_budget"] == 1
    assert (outcome.command.state, outcome.command.reason) == (GateState.HOLD, GateReason.OVER_BUDGET)
    said = [m for m in outcome.messages if isinstance(m, Event)]
    assert [event.code for event in said] == [GateReason.OVER_BUDGET]
    assert "track 30.0 ms" in said[0].text


def test_beam_comes_back_by_itself_after_one_slow_decision() -> None:
    bench = Bench().armed()
    bench.step(takes_ms=30.0)
    assert [bench.step().command.state for _ in range(2)] == [GateState.HOLD, GateState.ON]


def test_with_the_rule_switched_off_slow_decisions_are_only_counted() -> None:
    bench = Bench(hold=False).armed()
    assert bench.step(takes_ms=30.0).command.state is GateState.ON
    assert bench.engine.counters["over_budget"] == 1


def test_a_stream_without_a_pace_is_never_held_for_time() -> None:
    bench = Bench(pacing=Pacing.STEPPED).armed()
    assert bench.step(takes_ms=30.0).command.state is GateState.ON


def test_repeatedly_slow_decisions_latch_until_they_are_acknowledged() -> None:
    bench = Bench().armed()
    reasons = [bench.step(takes_ms=30.0).command.reason for _ in range(3)]
    assert reasons[-1] == GateReason.OVER_BUDGET_REPEATEDLY
    assert bench.step().command.reason == GateReason.OVER_BUDGET_REPEATEDLY
