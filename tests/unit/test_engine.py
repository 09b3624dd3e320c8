"""The engine step by step, on a manual clock, with the real tracker."""

from __future__ import annotations

import numpy as np
import pytest

from gating.clocks.clock import ManualClock
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.geometry.contours import box_contour
from gating.messages import (
    ARRIVAL_TIME_MEANS,
    ControlRequest,
    EngineState,
    Event,
    GateState,
    Heartbeat,
    StampMeaning,
    StreamEnd,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config, RecordingSettings, SafetySettings
from gating.targets.spec import TargetSpec
from tests.engine_bench import BOX, CONFIG, Bench, states
from tests.factories import INTERVAL_NS, START_NS, anatomy, beam_status, frame, stream


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_still_target_brings_beam_on_after_arming_and_settling(bench):
    outcomes = bench.steps(6)
    assert states(outcomes)[-1] is GateState.ON
    assert outcomes[-1].command.lease_ms == 100
    assert [o.command.reason for o in outcomes[:2]] == [GateReason.NOT_READY, GateReason.NOT_ARMED]


def test_the_reference_frame_is_answered_before_targets_are_learned(bench):
    outcome = bench.engine.step(frame(0), START_NS)
    assert (outcome.command.reason, bench.engine.references) == (GateReason.NOT_READY, ())
    assert sum(isinstance(m, TargetReference) for m in bench.engine.finish_frame()) == 1
    assert len(bench.engine.references) == 1


def test_a_frame_is_finished_once(bench):
    bench.engine.step(frame(0), START_NS)
    assert bench.engine.finish_frame() != []
    assert bench.engine.finish_frame() == []


def test_a_frame_that_was_not_finished_is_an_error_of_the_caller(bench):
    bench.engine.step(frame(0), START_NS)
    with pytest.raises(RuntimeError, match="call finish_frame"):
        bench.engine.step(frame(1), START_NS + INTERVAL_NS)


def test_an_internal_error_drops_what_the_frame_has_left_to_do(bench):
    bench.engine.step(frame(0), START_NS)
    bench.engine.latch_internal_error("ValueError inside the engine")
    assert bench.engine.finish_frame() == []
    assert bench.step(1).command.engine_state is EngineState.LATCHED


def test_a_rehearsal_leaves_no_trace():
    plain, rehearsed = Bench(), Bench()
    for sequence in range(8):
        pixels = anatomy(seed=sequence, shift=0.4 * sequence)
        if sequence:
            before = rehearsed.engine.warm_caches(rehearsed.newest)
            assert before.frame_sequence == sequence - 1
        one, other = plain.step(sequence, pixels), rehearsed.step(sequence, pixels)
        assert one.command == other.command
        assert one.messages == other.messages


def test_a_rehearsal_checks_as_much_of_the_frame_as_the_step_did(bench, monkeypatch):
    checked = []
    monkeypatch.setattr("gating.stream.stream.check_pixels", lambda sequence, *_: checked.append(sequence))
    bench.steps(2)
    bench.engine.warm_caches(bench.newest)
    assert checked == [0, 1, 1]


def test_a_hold_carries_no_lease(bench):
    assert bench.step(0).command.lease_ms == 0


def test_a_target_that_moves_out_holds_on_that_very_frame(bench):
    bench.steps(6)
    held = bench.step(6, anatomy(seed=6, shift=8.0)).command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.OUT_OF_WINDOW)


def test_every_decided_frame_gives_an_estimate_with_its_gate_and_reason(bench):
    for sequence in range(6):
        outcome = bench.step(sequence)
        estimate = next(m for m in outcome.messages if isinstance(m, TargetEstimate))
        assert estimate.frame_sequence == sequence
        assert (estimate.gate, estimate.reason) == (outcome.command.state, outcome.command.reason)
        assert estimate.x_px == pytest.approx(47.5, abs=0.3)


def test_the_first_frame_is_the_reference_and_is_announced(bench):
    reference = next(m for m in bench.step(0).messages if isinstance(m, TargetReference))
    assert reference.frame_sequence == 0
    assert reference.centre_px == pytest.approx((47.5, 47.5), abs=0.3)
    assert reference.centre_mm == pytest.approx((0.0, -1.0, 1.0), abs=0.7)


def test_between_frames_the_lease_is_renewed_until_the_frame_is_stale(bench):
    bench.steps(6)
    renewed = []
    for _ in range(300):
        bench.clock.advance_ms(1)
        bench.engine.observe_beam(beam_status())
        command = bench.engine.tick().command
        renewed.append(command.state is GateState.ON)
    limit_ms = 1.5 * 125 + 50
    assert sum(renewed) == pytest.approx(limit_ms, abs=2)
    assert renewed == sorted(renewed, reverse=True)
    assert command.reason is GateReason.STALE_FRAME


def test_arming_is_refused_before_enough_contiguous_frames():
    bench = Bench(arm_by_itself=False)
    bench.steps(2)
    early = bench.request("arm")
    bench.step(2)
    assert not early.accepted
    assert "2 contiguous good frames, 3 are needed" in early.text
    assert bench.request("arm").accepted


def test_arming_is_refused_before_ready():
    engine = Engine(CONFIG, [TargetSpec("target", BOX)], lambda: None, ManualClock(), "s1", "e1")
    request = ControlRequest(session_id="s1", action="arm", operator="dr_who")
    assert not engine.control(request)[0].accepted
    assert engine.state is EngineState.STARTING


def test_an_engine_that_does_not_arm_itself_gives_no_beam_unattended():
    bench = Bench(arm_by_itself=False)
    assert GateState.ON not in states(bench.steps(12))


def test_a_gap_holds_softly_and_resumes_by_itself(bench):
    bench.steps(6)
    gap = bench.step(8).command
    after = [bench.step(sequence).command.state for sequence in (9, 10, 11)]
    assert (gap.state, gap.reason) == (GateState.HOLD, GateReason.FRAME_GAP)
    assert after[-1] is GateState.ON


def test_a_change_of_geometry_latches_until_a_named_acknowledgement(bench):
    bench.steps(6)
    moved = bench.step(6, image_position_mm=(5.0, 0.0, 0.0))
    assert moved.command.engine_state is EngineState.LATCHED
    assert any(isinstance(m, Event) and m.severity == "fault" for m in moved.messages)
    assert GateState.ON not in states(bench.steps(6, start=7))
    assert not bench.request("arm").accepted
    assert not bench.request("acknowledge").accepted
    assert bench.request("acknowledge", why="slice was re-planned and is back").accepted
    assert GateState.ON not in states(bench.steps(8, start=13)), "an acknowledgement is not a second arming"
    assert bench.request("arm").accepted
    assert GateState.ON in states(bench.steps(4, start=21))


def test_a_refused_message_holds_until_the_next_good_frames(bench):
    bench.steps(6)
    held = bench.engine.refuse("header is 9 bytes").command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.MESSAGE_REFUSED)
    assert GateState.ON in states(bench.steps(4, start=6))
    assert bench.engine.counters["refused"] == 1


def test_the_end_of_the_stream_holds(bench):
    bench.steps(6)
    end = StreamEnd(session_id="s1", source="test", frames_published=6, why="the recording ended")
    held = bench.engine.close_stream(end).command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.STREAM_ENDED)


def test_a_silent_beam_interface_holds(bench):
    bench.steps(6)
    bench.clock.advance_ms(124)
    bench.engine.step(frame(7), bench.clock.now_ns())
    bench.clock.advance_ms(130)
    assert bench.engine.tick().command.state is GateState.HOLD


def test_a_required_recorder_that_never_spoke_holds():
    config = Config(safety=SafetySettings(arm_good_frames=3), recording=RecordingSettings(required=True))
    bench = Bench(config)
    assert {o.command.reason for o in bench.steps(6)[1:]} == {GateReason.RECORDER_BEHIND}
    heartbeat = Heartbeat(session_id="s1", role="recorder", process_id=1, state="recording", sent_ns=0)
    bench.engine.observe_recorder(heartbeat)
    assert GateState.ON in states(bench.steps(6, start=6))


def test_an_internal_error_latches(bench):
    bench.steps(6)
    held = bench.engine.latch_internal_error("ZeroDivisionError inside the engine").command
    assert (held.state, held.reason, held.engine_state) == (
        GateState.HOLD,
        GateReason.INTERNAL_ERROR,
        EngineState.LATCHED,
    )


def test_a_target_that_cannot_be_tracked_latches_with_one_sentence():
    bench = Bench(targets=[TargetSpec("target", box_contour(200, 200, 20, 20))])
    bench.step(0)
    held = bench.engine.tick().command
    assert held.reason is GateReason.TARGET_UNUSABLE
    assert held.detail


def test_an_untrackable_target_latches_though_the_next_frame_shows_it(bench):
    bench.step(0, np.full((96, 96), 200, np.uint16))
    held = bench.step(1).command
    assert (held.reason, held.engine_state) == (GateReason.TARGET_UNUSABLE, EngineState.LATCHED)
    assert states(bench.steps(8, start=2)) == [GateState.HOLD] * 8


def test_a_saturated_frame_holds_with_one_sentence_and_is_not_tracked(bench):
    bench.steps(6)
    bright = anatomy(seed=6).copy()
    bright[:40] = 65535
    outcome = bench.step(6, bright)
    assert (outcome.command.state, outcome.command.reason) == (GateState.HOLD, GateReason.FRAME_REFUSED)
    assert "42% of the pixels are saturated at 65535, the limit is 25%" in outcome.command.detail
    assert not [message for message in outcome.messages if isinstance(message, TargetEstimate)]
    following = bench.steps(6, start=7)
    assert GateReason.FRAME_GAP not in [one.command.reason for one in following]
    assert GateState.ON in states(following)


def test_an_acknowledged_target_is_learned_from_the_next_usable_frame(bench):
    bench.step(0, np.full((96, 96), 200, np.uint16))
    assert bench.engine.tick().command.reason is GateReason.TARGET_UNUSABLE
    assert bench.request("acknowledge", why="the contrast agent has arrived").accepted
    assert bench.engine.tick().command.engine_state is EngineState.READY
    bench.steps(6, start=1)
    assert bench.request("arm").accepted
    assert GateState.ON in states(bench.steps(4, start=7))


def test_a_stream_of_arrival_times_is_flagged_when_it_opens():
    arriving = stream(acquired_meaning=StampMeaning.ARRIVAL)
    engine = Engine(CONFIG, [TargetSpec("target", BOX)], lambda: None, ManualClock(), "s1", "e1")
    (_, event) = engine.open_stream(arriving)
    assert (event.severity, event.code) == ("warning", "arrival_time")
    assert ARRIVAL_TIME_MEANS in event.text


def test_stopping_holds(bench):
    bench.steps(6)
    assert bench.engine.stop().state is GateState.HOLD


@pytest.mark.parametrize("reason", [GateReason.STOPPING, GateReason.SESSION_ENDED])
def test_the_last_command_says_so_even_of_a_latched_engine(bench, reason):
    bench.steps(6)
    bench.step(6, image_position_mm=(5.0, 0.0, 0.0))
    last = bench.engine.stop(reason)
    assert (last.state, last.reason, last.engine_state) == (GateState.HOLD, reason, EngineState.LATCHED)


def test_all_targets_must_be_inside():
    second = TargetSpec("second", box_contour(10, 60, 20, 20))
    bench = Bench(targets=[TargetSpec("target", BOX), second])
    outcomes = bench.steps(6)
    names = {m.target for m in outcomes[-1].messages if isinstance(m, TargetEstimate)}
    assert names == {"target", "second"}


def test_the_same_frames_give_the_same_commands():
    def run():
        return [o.command for o in Bench().steps(8)]

    first, second = run(), run()
    assert first == second


def test_pixels_that_came_by_wire_are_read_only_and_accepted(bench):
    pixels = np.frombuffer(anatomy().tobytes(), np.uint16).reshape(96, 96)
    assert not pixels.flags.writeable
    bench.step(0, pixels)
    assert bench.step(1, pixels.copy() + 1).command.reason is GateReason.NOT_ARMED


def test_an_accepted_couch_shift_is_only_logged_with_its_operator(bench):
    bench.steps(6)
    assert not bench.request("accept_shift").accepted
    text = "proposed couch shift X +0.0 Y -4.0 Z +0.0 mm"
    request = ControlRequest(session_id="s1", action="accept_shift", operator="dr_who", why=text)
    reply, events = bench.engine.control(request)
    assert reply.accepted
    assert "accept_shift by dr_who" in events[0].text
    assert text in events[0].text
    assert bench.step(6).command.state is GateState.ON


def test_a_marked_event_is_logged_with_its_operator_and_changes_nothing(bench):
    bench.steps(6)
    assert not bench.request("mark").accepted
    request = ControlRequest(session_id="s1", action="mark", operator="dr_who", why="the patient coughed")
    reply, (event,) = bench.engine.control(request)
    assert reply.accepted
    assert (event.code, event.text) == ("mark", f"mark by dr_who: {reply.engine_state} (the patient coughed)")
    assert bench.step(6).command.state is GateState.ON


def test_stamps_that_were_certain_and_stay_uncertain_latch(bench):
    bench.steps(6)
    uncertain = [bench.step(number, acquired_uncertainty_ns=60_000_000).command for number in range(6, 100)]
    assert uncertain[0].reason is GateReason.STAMP_UNCERTAIN
    assert (uncertain[-1].engine_state, uncertain[-1].reason) == (EngineState.LATCHED, GateReason.CLOCK_FAULT)
    assert "stamps uncertain for 10 s" in uncertain[-1].detail


def test_stamps_that_are_uncertain_from_the_start_do_not_latch(bench):
    uncertain = [bench.step(number, acquired_uncertainty_ns=60_000_000).command for number in range(100)]
    assert {command.reason for command in uncertain[3:]} == {GateReason.STAMP_UNCERTAIN}
