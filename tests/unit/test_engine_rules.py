"""Every reason of a decision rule, reached through the whole engine with the real tracker.

The tracker may be in doubt here: these tests are about rules, and a synthetic image gives it reason to be.
"""

from __future__ import annotations

import numpy as np
import pytest

from gating.decision.reasons import GateReason
from gating.geometry.contours import box_contour
from gating.messages import GateState
from gating.settings.config import Config, GatingSettings, SafetySettings
from gating.settings.rules import (
    AvoidanceRule,
    BoundaryRule,
    BreathHoldRule,
    CentreRule,
    ExcursionRule,
    OverlapRule,
    PredictionSettings,
)
from gating.settings.tracking import TrackerSettings
from gating.targets.spec import TargetSpec
from tests.engine_bench import BOX, Bench
from tests.factories import INTERVAL_NS, anatomy

DT_S = INTERVAL_NS / 1e9


def bench(*rules, prediction=PredictionSettings(), targets=None, **gating) -> Bench:  # noqa: B008 - frozen
    config = Config(
        gating=GatingSettings(resume_good_frames=1, rules=rules, **gating),
        safety=SafetySettings(arm_good_frames=3, max_beam_on_s=600),
        prediction=prediction,
        tracking=TrackerSettings(min_confidence=0.3),
    )
    return Bench(config, targets=targets)


def command(run: Bench, sequence: int, shift_px: float):
    return run.step(sequence, anatomy(seed=sequence, shift=shift_px)).command


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (CentreRule(si_mm=3), GateReason.OFF_CENTRE),
        (OverlapRule(min_overlap=0.9), GateReason.LOW_OVERLAP),
        (OverlapRule(min_overlap=0.9, measure="volume"), GateReason.LOW_OVERLAP),
        (BoundaryRule(max_out_fraction=0.05), GateReason.OUT_OF_WINDOW),
        (BreathHoldRule(plateau_s=0.3, flat_mm=4), GateReason.NOT_HELD),
    ],
)
def test_a_target_that_moves_8_mm_breaks_each_rule_with_its_reason(rule, reason):
    run = bench(rule)
    assert [command(run, sequence, 0.0).state for sequence in range(6)][-1] is GateState.ON
    held = command(run, 6, 4.0)
    assert (held.state, held.reason) == (GateState.HOLD, reason)
    assert held.detail.startswith("target: ")


def test_a_boundary_may_stand_elsewhere_than_the_reference():
    run = bench(BoundaryRule(shift_lps_mm=(0.0, 0.0, -8.0)))
    assert [command(run, sequence, 0.0).reason for sequence in range(5)][-1] is GateReason.OUT_OF_WINDOW
    assert [command(run, sequence, 4.0).state for sequence in range(5, 8)][-1] is GateState.ON


def test_an_excursion_holds_after_its_time_and_ends_by_itself():
    run = bench(ExcursionRule(distance_mm=4, duration_s=1.0))
    for sequence in range(6):
        command(run, sequence, 0.0)
    commands = [command(run, sequence, 4.0) for sequence in range(6, 16)]
    first = next(i for i, c in enumerate(commands) if c.state is GateState.HOLD)
    assert commands[first].reason is GateReason.EXCURSION
    assert (first + 1) * DT_S <= 1.0
    assert command(run, 16, 0.0).state is GateState.ON


def test_an_organ_that_comes_near_holds():
    organ = box_contour(40, 8, 16, 10)
    targets = [TargetSpec("target", BOX), TargetSpec("bowel", organ)]
    far = AvoidanceRule(structure="bowel", target="target", max_in_fraction=0.0)
    assert [o.command.state for o in bench(far, targets=targets).steps(6)][-1] is GateState.ON
    near = AvoidanceRule(
        structure="bowel",
        target="target",
        margins=BoundaryRule().margins.__class__(superior_mm=40),
        max_in_fraction=0.0,
    )
    held = bench(near, targets=targets).steps(6)[-1].command
    assert held.reason is GateReason.ORGAN_IN_WINDOW
    assert held.detail.startswith("bowel: ")


def test_a_predicted_exit_holds_before_the_measured_one():
    def first_hold(prediction):
        run = bench(CentreRule(si_mm=6), prediction=prediction)
        found = [command(run, i, 5 * np.sin(2 * np.pi * i / 24)) for i in range(120)]
        return [c.reason for c in found[60:]]

    seen = first_hold(PredictionSettings())
    ahead = first_hold(PredictionSettings(method="ridge", horizon_ms=250))
    assert GateReason.PREDICTED_OUT in ahead
    on_seen, on_ahead = (np.array([r is GateReason.IN_WINDOW for r in x]) for x in (seen, ahead))
    assert not (on_ahead & ~on_seen).any()
    assert on_ahead.sum() < on_seen.sum()


def test_prediction_is_learned_anew_where_the_source_clock_begins_anew():
    """An operator went on after the latch; predictors ignore what seems to come before what they know."""
    run = bench(CentreRule(si_mm=6), prediction=PredictionSettings(method="ridge", horizon_ms=250))
    reasons = []
    for number in range(220):
        seen = anatomy(seed=number, shift=5 * np.sin(2 * np.pi * number / 24))
        raw = number if number < 100 else number - 100
        reasons.append(run.step(number, seen, acquired_ns=raw * INTERVAL_NS).command.reason)
        if number == 100:
            assert reasons[-1] is GateReason.CLOCK_FAULT
            assert run.request("acknowledge", "the clock was set").accepted
        elif number > 100:
            run.request("arm")
    before, after = reasons[54:78], reasons[154:178]  # of the same phase
    assert after.count(GateReason.PREDICTED_OUT) == before.count(GateReason.PREDICTED_OUT) > 0


def test_without_rules_and_prediction_the_common_boundary_decides_as_ever():
    run = bench()
    reasons = [command(run, i, 6 * np.sin(2 * np.pi * i / 24)).reason for i in range(48)]
    assert GateReason.OUT_OF_WINDOW in reasons
    assert GateReason.IN_WINDOW in reasons
