"""Frames that the log lacks: which of them an engine answers for."""

from __future__ import annotations

import pytest

from gating.decision.reasons import GateReason
from gating.messages import EngineState, GateState, Heartbeat
from gating.settings.config import Config, RecordingSettings, SafetySettings
from tests.engine_bench import Bench, states

CONFIG = Config(safety=SafetySettings(arm_good_frames=3), recording=RecordingSettings(required=True))


def heartbeat(lost: int, *, process_id: int = 1, frames: int = 100) -> Heartbeat:
    counters = {"frames": frames, "frames_lost": lost}
    return Heartbeat(
        session_id="s1", role="recorder", process_id=process_id, state="recording", sent_ns=0, counters=counters
    )


def begun(lost: int) -> Bench:
    """An armed engine whose first heartbeat of the recorder counts some frames as lost."""
    bench = Bench(CONFIG)
    bench.engine.observe_recorder(heartbeat(lost))
    assert GateState.ON in states(bench.steps(6))
    return bench


def test_frames_lost_to_all_are_a_gap_to_the_log_alone_an_audit_loss():
    bench = begun(0)
    bench.engine.observe_recorder(heartbeat(2))
    assert bench.step(8).command.reason is GateReason.FRAME_GAP
    assert bench.step(9).command.engine_state is EngineState.ARMED
    bench.engine.observe_recorder(heartbeat(3))
    assert bench.step(10).command.reason is GateReason.AUDIT_LOSS


def test_a_recorder_that_hears_of_a_gap_first_has_lost_nothing():
    bench = begun(0)
    bench.engine.observe_recorder(heartbeat(2))
    assert bench.engine.tick().command.engine_state is EngineState.ARMED
    assert bench.step(8).command.reason is GateReason.FRAME_GAP


def test_what_was_lost_before_an_engine_is_not_its_loss():
    bench = begun(lost=5)
    bench.engine.observe_recorder(heartbeat(5))
    assert bench.step(6).command.engine_state is EngineState.ARMED


def test_a_loss_in_an_engines_life_latches_whatever_was_lost_before():
    bench = begun(lost=5)
    bench.engine.observe_recorder(heartbeat(6))
    command = bench.step(6).command
    assert (command.reason, command.engine_state) == (GateReason.AUDIT_LOSS, EngineState.LATCHED)
    assert command.detail == "session log lost 1 frames that the engine has seen"


@pytest.mark.parametrize(
    "later",
    [{"process_id": 2, "frames": 200}, {"process_id": 1, "frames": 3}],
    ids=["another process", "the same number in a new container"],
)
def test_earlier_losses_do_not_cover_those_of_a_later_recorder(later):
    bench = begun(lost=5)
    bench.engine.observe_recorder(heartbeat(0, **later))
    assert bench.step(6).command.engine_state is EngineState.ARMED
    bench.engine.observe_recorder(heartbeat(1, **later))
    assert bench.step(7).command.reason is GateReason.AUDIT_LOSS


def test_acknowledged_losses_do_not_latch_again_but_further_ones_do():
    bench = begun(0)
    bench.engine.observe_recorder(heartbeat(1))
    assert bench.step(6).command.reason is GateReason.AUDIT_LOSS
    assert bench.request("acknowledge", "seen").accepted
    assert {outcome.command.engine_state for outcome in bench.steps(6, start=7)} == {EngineState.READY}
    bench.engine.observe_recorder(heartbeat(2))
    assert bench.step(13).command.reason is GateReason.AUDIT_LOSS
