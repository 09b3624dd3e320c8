"""The engine believes only messages of its own session, and only a stream that its source has declared."""

from __future__ import annotations

import pytest

from gating.clocks.clock import ManualClock
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.messages import ControlRequest, EngineState, GateState, Heartbeat, SourceKind, StreamEnd
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from tests.engine_bench import BOX, CONFIG, Bench, drawn_on, states
from tests.factories import START_NS, beam_status, frame, stream


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def undeclared():
    clock = ManualClock(START_NS)
    engine = Engine(
        CONFIG,
        [TargetSpec("target", BOX)],
        lambda: make_tracker(CONFIG.tracker, CONFIG.tracking),
        clock,
        "s1",
        "e1",
        arm_by_itself=True,
    )
    engine.warm_up()
    return engine, clock


def step(engine, clock, sequence, **overrides):
    sent = frame(sequence, **overrides)
    clock.advance_to(sent.header.published_ns + 1_000_000)
    engine.observe_beam(beam_status())
    command = engine.step(sent, clock.now_ns()).command
    engine.finish_frame()
    return command


def ask(engine, action, session="s1"):
    return engine.control(ControlRequest(session_id=session, action=action, operator="dr_who", why="seen"))[0]


def test_frames_of_an_undeclared_stream_are_neither_learned_nor_armed(undeclared):
    engine, clock = undeclared
    commands = [step(engine, clock, sequence) for sequence in range(10)]
    assert {command.reason for command in commands} == {GateReason.UNDECLARED_STREAM}
    assert not engine.references
    assert not ask(engine, "arm").accepted
    assert "declared" in ask(engine, "arm").text


def test_a_late_declaration_lets_the_stream_begin(undeclared):
    engine, clock = undeclared
    for sequence in range(4):
        step(engine, clock, sequence)
    engine.open_stream(stream())
    assert GateState.ON in [step(engine, clock, sequence).state for sequence in range(4, 14)]


@pytest.mark.parametrize("kind", [pytest.param(one, id=str(one)) for one in SourceKind])
def test_undeclared_frames_count_as_a_phantom_whatever_they_say(undeclared, kind):
    engine, clock = undeclared
    assert step(engine, clock, 0, source_kind=kind).source_kind is SourceKind.PHANTOM


@pytest.mark.parametrize(
    ("declared", "frames", "counts_as"),
    [
        pytest.param("live", "phantom", "phantom", id="frames say phantom"),
        pytest.param("phantom", "live", "phantom", id="frames say live"),
        pytest.param("replay", "live", "replay", id="replay"),
        pytest.param("live", "live", "live", id="both live"),
    ],
)
def test_the_least_trusted_kind_is_in_force(undeclared, declared, frames, counts_as):
    engine, clock = undeclared
    engine.open_stream(stream(source_kind=SourceKind(declared)))
    assert step(engine, clock, 0, source_kind=SourceKind(frames)).source_kind == counts_as


def test_a_live_stream_never_arms_by_itself():
    bench = Bench(targets=[drawn_on(frame(0))], kind=SourceKind.LIVE)
    assert {outcome.command.engine_state for outcome in bench.steps(12)} == {EngineState.READY}
    assert bench.request("confirm").accepted
    assert bench.request("arm").accepted


def test_a_live_stream_to_arm_by_itself_is_answered_with_a_warning(undeclared):
    engine, _ = undeclared
    assert "an operator must arm" in engine.open_stream(stream(source_kind=SourceKind.LIVE))[-1].text


def test_frames_of_another_session_latch_though_they_agree(undeclared):
    engine, clock = undeclared
    engine.open_stream(stream())
    command = step(engine, clock, 0, session_id="s2")
    assert (command.engine_state, command.reason) == (EngineState.LATCHED, GateReason.SESSION_CHANGED)
    assert "'s2'" in command.detail
    assert "'s1'" in command.detail


def test_a_declaration_of_another_session_latches(undeclared):
    engine, _ = undeclared
    engine.open_stream(stream(session_id="s2"))
    assert engine.tick().command.reason is GateReason.SESSION_CHANGED


def test_the_end_of_another_session_latches(bench):
    bench.steps(6)
    ended = bench.engine.close_stream(StreamEnd(session_id="s2", source="t", frames_published=1, why="over"))
    assert (ended.command.state, ended.command.reason) == (GateState.HOLD, GateReason.SESSION_CHANGED)


def test_a_beam_interface_of_another_session_counts_as_silent(bench):
    assert GateState.ON in states(bench.steps(6))
    bench.clock.advance_ms(101)
    assert bench.engine.observe_beam(beam_status(session_id="s2"))
    assert bench.engine.tick().command.reason is GateReason.BEAM_SILENT


def test_a_recorder_of_another_session_is_told_once(bench):
    beat = Heartbeat(session_id="s2", role="recorder", process_id=1, state="recording", sent_ns=1)
    assert [len(bench.engine.observe_recorder(beat)) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("action", ["confirm", "arm", "disarm", "acknowledge", "stop", "status"])
def test_a_request_of_another_session_is_refused(bench, action):
    bench.steps(6)
    reply = ask(bench.engine, action, "s2")
    assert not reply.accepted
    assert "session 's2'" in reply.text
    assert bench.engine.state is EngineState.ARMED


def test_an_engine_that_was_disarmed_does_not_arm_by_itself(bench):
    bench.steps(6)
    assert bench.request("disarm").accepted
    assert {outcome.command.engine_state for outcome in bench.steps(8, start=6)} == {EngineState.READY}
    assert bench.request("arm").accepted
