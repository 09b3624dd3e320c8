"""The confidence is a probability, falls with every sign of doubt, and gives the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gating.tracking.confidence import FEATURES, REASONS, WEIGHTS, Evidence, probability, reason_for_doubt

GOOD = Evidence(
    score=0.9,
    score_moved_back=0.95,
    rival_gap=0.35,
    precision_mm=0.08,
    flow_shift_mm=0.2,
    flow_scatter_mm=0.2,
    strain=0.01,
    disagreement_mm=0.2,
    excess_jump_mm=0.0,
    at_edge=False,
    drop=0.02,
    unseen_s=0.0,
    moving_elsewhere=0.0,
)
WORSE = {
    "score_moved_back": st.floats(-1.0, 0.95),
    "rival_gap": st.floats(-1.0, 0.35),
    "precision_mm": st.floats(0.08, 100.0),
    "flow_scatter_mm": st.floats(0.2, 100.0),
    "strain": st.floats(0.01, 5.0),
    "flow_shift_mm": st.floats(0.2, 100.0),
    "disagreement_mm": st.floats(0.2, 100.0),
    "excess_jump_mm": st.floats(0.0, 200.0),
    "unseen_s": st.floats(0.0, 100.0),
    "moving_elsewhere": st.floats(0.0, 2.0),
}


def test_good_evidence_gives_high_confidence():
    assert probability(GOOD) > 0.97


@given(st.fixed_dictionaries(WORSE))
def test_no_sign_of_doubt_can_raise_the_confidence(worse):
    assert probability(replace(GOOD, **worse)) <= probability(GOOD)


@pytest.mark.parametrize("name", [name for name in WORSE if name != "moving_elsewhere"])
def test_evidence_that_is_not_a_number_gives_no_confidence(name):
    assert probability(replace(GOOD, **{name: float("nan")})) == 0.0


def test_a_match_at_the_border_of_its_window_is_never_confident():
    assert probability(replace(GOOD, at_edge=True)) <= 0.5
    assert "border" in reason_for_doubt(replace(GOOD, at_edge=True))


@pytest.mark.parametrize("veto", [{"rival_gap": 0.0}, {"moving_elsewhere": 0.2}, {"moving_elsewhere": float("nan")}])
def test_a_rival_or_a_fixed_pattern_vetoes_confidence(veto):
    assert probability(replace(GOOD, **veto)) <= 0.5


def test_the_reason_names_what_is_worst():
    assert "another place" in reason_for_doubt(replace(GOOD, rival_gap=-0.1))
    assert "2.50 mm" in reason_for_doubt(replace(GOOD, precision_mm=2.5))


def test_every_feature_has_a_weight_that_is_not_negative_and_a_reason():
    assert len(WEIGHTS) == len(FEATURES)
    assert all(weight >= 0.0 for weight in WEIGHTS)
    assert set(REASONS) == set(FEATURES)
