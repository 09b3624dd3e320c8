"""Decisions in 3D through the whole engine, on a phantom that two planes show in turn."""

from __future__ import annotations

import pytest

from bench.three_d import compare, scenarios
from gating.decision.reasons import GateReason
from gating.messages import GateState
from gating.settings.config import Config, GatingSettings, SafetySettings
from gating.settings.rules import CentreRule
from gating.settings.three_d import CouplingSettings, ThreeDSettings
from gating.settings.tracking import TrackerSettings
from tests.engine_bench import Bench


def test_a_loop_is_decided_safely_in_3d():
    found = compare(scenarios(20)[0])
    assert found.through_p95_mm < 1.5
    assert found.covered > 0.9
    assert found.beyond_bound == 0
    assert found.duty_3d > 0.1
    assert found.lost_to_bound > 0


def test_a_diagonal_within_each_axis_has_no_beam_in_3d():
    (diagonal,) = [one for one in scenarios(9) if one.name.startswith("diagonal")]
    found = compare(diagonal)
    assert found.unsafe_plane > 5
    assert (found.unsafe_3d, found.beyond_bound) == (0, 0)


def single_plane(*couplings: CouplingSettings) -> Bench:
    three_d = ThreeDSettings(on=True, couplings=couplings)
    gating = GatingSettings(resume_good_frames=1, rules=(CentreRule(),), three_d=three_d)
    safety = SafetySettings(arm_good_frames=3, max_beam_on_s=600)
    return Bench(Config(gating=gating, safety=safety, tracking=TrackerSettings(min_confidence=0.3)))


def test_one_plane_without_a_preparation_has_no_beam_in_3d():
    held = single_plane().steps(8)[-1].command
    assert (held.state, held.reason) == (GateState.HOLD, GateReason.POSITION_UNCERTAIN)
    assert "no other plane shows where it is across the sagittal plane" in held.detail


@pytest.mark.parametrize(("bound_mm", "state"), [(1.0, GateState.ON), (3.0, GateState.HOLD)])
def test_one_plane_is_judged_by_what_a_preparation_taught(bound_mm, state):
    taught = CouplingSettings(structure="target", along_lps=(0, 0, 1), across_lps=(1, 0, 0), slope=0.3, growth_mm_s=2,
                              bound_mm=bound_mm)  # fmt: skip
    outcome = single_plane(taught).steps(8)[-1]
    assert outcome.command.state is state
    (estimate,) = [message for message in outcome.messages if hasattr(message, "bound_mm")]
    assert estimate.bound_mm[0] == pytest.approx(bound_mm, abs=0.01)
