"""The confidence is a probability, falls with every sign of doubt, and gives the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gating.settings.safeguards import SAFEGUARDS
from gating.tracking.confidence import (
    ALONE,
    FEATURES,
    PREPARED,
    REASONS,
    VETO_LIMIT,
    probability,
    reason_for_doubt,
)
from gating.tracking.evidence import Evidence

GOOD = Evidence(
    score=0.9,
    score_moved_back=0.95,
    rival_gap=0.35,
    precision_mm=0.08,
    fit_shift_mm=0.2,
    bending_mm=0.2,
    strain=0.01,
    disagreement_mm=0.2,
    excess_jump_mm=0.0,
    at_edge=False,
    drop=0.02,
    unseen_s=0.0,
    moving_elsewhere=0.0,
    cost=0.03,
    score_shifted=0.92,
    usual_score=0.93,
)
MODELS = {"alone": GOOD, "prepared": replace(GOOD, prepared=True)}
WORSE = {
    "score_moved_back": st.floats(-1.0, 0.95),
    "rival_gap": st.floats(-1.0, 0.35),
    "precision_mm": st.floats(0.08, 100.0),
    "bending_mm": st.floats(0.2, 100.0),
    "strain": st.floats(0.01, 5.0),
    "fit_shift_mm": st.floats(0.2, 100.0),
    "disagreement_mm": st.floats(0.2, 100.0),
    "excess_jump_mm": st.floats(0.0, 200.0),
    "unseen_s": st.floats(0.0, 100.0),
    "moving_elsewhere": st.floats(0.0, 2.0),
    "objections": st.floats(0.0, 1.0),
    "beyond_image_px": st.floats(0.0, 50.0),
    "cost": st.floats(0.03, 0.25),
    "rest_score": st.floats(-1.0, 1.0),
    "score_shifted": st.floats(-1.0, 0.92),
    "unprepared_mm": st.floats(0.0, 100.0),
    "ways_apart_mm": st.floats(0.0, 50.0),
}
VETOES = ("moving_elsewhere", "objections", "beyond_image_px", "rest_score")
"""Evidence that is no part of the sum."""


@pytest.mark.parametrize("good", MODELS.values(), ids=MODELS)
def test_good_evidence_gives_high_confidence(good):
    assert probability(good) > 0.95


@pytest.mark.parametrize("good", MODELS.values(), ids=MODELS)
@given(worse=st.fixed_dictionaries(WORSE))
def test_no_sign_of_doubt_can_raise_the_confidence(good, worse):
    assert probability(replace(good, **worse)) <= probability(good)


@pytest.mark.parametrize("name", WORSE)
def test_evidence_that_is_not_a_number_gives_no_confidence(name):
    assert probability(replace(MODELS["prepared"], **{name: float("nan")})) <= (VETO_LIMIT if name in VETOES else 0.0)


@pytest.mark.parametrize("good", MODELS.values(), ids=MODELS)
def test_a_frame_that_fits_no_template_is_lost(good):
    assert probability(replace(good, score_moved_back=0.6, score_shifted=0.6, cost=0.2)) < 0.2


def test_a_veto_holds_the_beam_at_every_limit_that_needs_no_override():
    least = next(one.lowest for one in SAFEGUARDS if one.setting == "tracking.min_confidence")
    assert least > VETO_LIMIT


def test_a_match_at_the_border_of_its_window_is_never_confident():
    assert probability(replace(GOOD, at_edge=True)) <= VETO_LIMIT
    assert "border" in reason_for_doubt(replace(GOOD, at_edge=True))


@pytest.mark.parametrize(
    "veto",
    [
        {"rival_gap": 0.0},
        {"moving_elsewhere": 0.2},
        {"moving_elsewhere": float("nan")},
        {"objections": 0.5},
        {"rest_score": 0.7},
        {"cost": 0.15},
    ],
)
def test_what_cannot_be_told_apart_is_never_confident(veto):
    assert probability(replace(GOOD, **veto)) <= VETO_LIMIT


def test_where_the_structure_fits_badly_two_ways_count_only_near_what_was_prepared():
    apart = replace(MODELS["prepared"], cost=0.2, ways_apart_mm=0.5)
    near, far = replace(apart, unprepared_mm=3.9), replace(apart, unprepared_mm=4.1)
    assert probability(near) > VETO_LIMIT >= probability(far)
    assert "misfit 0.20" in reason_for_doubt(far)
    assert "within 4 mm" in reason_for_doubt(far)


def test_where_the_structure_fits_badly_fit_and_match_must_agree():
    apart = replace(MODELS["prepared"], cost=0.2, ways_apart_mm=0.5)
    together, contrary = replace(apart, fit_shift_mm=1.9), replace(apart, fit_shift_mm=2.1)
    assert probability(together) > VETO_LIMIT >= probability(contrary)
    assert "2.1 mm apart" in reason_for_doubt(contrary)


def test_the_reason_names_what_is_worst():
    assert "another place" in reason_for_doubt(replace(GOOD, rival_gap=-0.1))
    assert "2.50 mm" in reason_for_doubt(replace(GOOD, precision_mm=2.5))


@pytest.mark.parametrize("model", [ALONE, PREPARED], ids=MODELS)
def test_every_feature_has_a_weight_that_is_not_negative_and_a_reason(model):
    assert len(model.weights) == len(model.usual) == len(FEATURES)
    assert all(weight >= 0.0 for weight in model.weights)
    assert set(REASONS) == set(FEATURES)
