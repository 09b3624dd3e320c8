"""Baseline shift and the couch shift that is proposed for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinegate.verbs.following import read_motion
from gating.analysis.couch_shift import propose_shift
from gating.analysis.drift import baseline_over_time, baseline_shift, exhale_positions, session_exhale, too_short
from gating.pages.page import UNKNOWN
from tests.motion import breathing

WINDOW = (3.0, 3.0, 3.0)


def test_exhale_positions_are_found_breath_by_breath():
    t, p = breathing(60)
    when, where = exhale_positions(t, p)
    assert len(when) == pytest.approx(15, abs=1)
    np.testing.assert_allclose(where, 0, atol=0.5)


@given(ap=st.floats(-4, 4), si=st.floats(-4, 4), seed=st.integers(0, 50), irregular=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_baseline_shift_is_found_under_breathing(ap, si, seed, irregular):
    t, p = breathing(120, (0.0, 0.0, 0.0), seed=seed, irregular=irregular)
    p[t > 60] += (0.0, ap, si)
    shift = baseline_shift(t, p)
    np.testing.assert_allclose(shift.shift_mm, (0.0, ap, si), atol=0.5)
    assert (shift.uncertainty_mm < 0.5).all()


def test_the_speed_of_a_steady_drift_is_found():
    shift = baseline_shift(*breathing(180, (0.0, 1.5, -3.0)))
    np.testing.assert_allclose(shift.speed_mm_min, (0.0, 0.5, -1.0), atol=0.3)


def test_the_baseline_is_followed_over_the_session():
    when, shift = baseline_over_time(*breathing(180, (0.0, 1.5, -3.0)))
    np.testing.assert_allclose(np.diff(when), 10)
    assert 20 <= when[0] <= 25
    truth = np.outer((when - when[0]) / 180, (0.0, 1.5, -3.0))
    np.testing.assert_allclose(shift, truth, atol=0.5)
    assert len(baseline_over_time(*(column[:10] for column in breathing(60)))[0]) == 0


def test_too_little_motion_gives_no_shift():
    t, p = breathing(120)
    assert baseline_shift(t[:10], p[:10]) is None
    assert baseline_shift(t, np.full_like(p, np.nan)) is None


def test_a_session_whose_end_is_its_beginning_gives_no_shift():
    t, p = breathing(35)
    assert baseline_shift(t, p) is None
    assert session_exhale(t, p) is None
    assert too_short(t, p).endswith("s; 40 s are needed")
    assert too_short(*breathing(60)) == ""


def test_along_an_axis_that_is_not_shown_no_shift_is_known():
    t = np.arange(0, 60, 0.2)
    proposal = propose_shift(t, np.tile([0.0, 2.0, 4.0], (len(t), 1)), WINDOW, shown=(False, True, True))
    assert np.isnan([proposal.iec_mm[0], proposal.baseline.shift_mm[0], proposal.baseline.speed_mm_min[0]]).all()
    assert f"X {UNKNOWN} Y -4.0 Z +2.0 mm" in proposal.text
    assert proposal.worthwhile


def test_frames_without_a_target_are_left_out():
    t, p = breathing(120)
    p[t > 60] += (0.0, 0.0, 3.0)
    p[::7] = np.nan
    assert baseline_shift(t, p).shift_mm[2] == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize(
    ("position", "iec"), [("HFS", (-1, -3, 2)), ("HFP", (1, -3, -2)), ("FFS", (1, 3, 2)), ("FFP", (-1, 3, -2))]
)
def test_the_couch_shift_undoes_the_baseline_in_room_axes(position, iec):
    t = np.arange(0, 60, 0.2)
    p = np.tile([1.0, 2.0, 3.0], (len(t), 1))
    proposal = propose_shift(t, p, WINDOW, patient_position=position)
    np.testing.assert_allclose(proposal.iec_mm, iec, atol=1e-9)


def test_a_proposal_says_what_it_would_change():
    t = np.arange(0, 60, 0.2)
    proposal = propose_shift(t, np.tile([0.0, 0.0, 4.0], (len(t), 1)), WINDOW)
    assert (proposal.duty_before, proposal.duty_after) == (0.0, 1.0)
    assert proposal.worthwhile
    assert "Y -4.0" in proposal.text
    assert "0 % of the time now, 100 % then" in proposal.text


def test_a_shift_within_its_uncertainty_is_not_worthwhile():
    t, p = breathing(120)
    proposal = propose_shift(t, p, WINDOW, exhale_mm=session_exhale(t, p))
    assert not proposal.worthwhile
    assert proposal.text.startswith("no couch shift is worthwhile")


def test_an_unknown_patient_position_is_refused():
    t, p = breathing(60)
    with pytest.raises(ValueError, match="patient position is 'HFDL'; HFS, HFP, FFS or FFP is needed"):
        propose_shift(t, p, WINDOW, patient_position="HFDL")


def test_a_persistent_excursions_shift_is_proposed_to_half_a_millimetre(shared_data):
    t, p = read_motion(shared_data / "traces" / "Prostate_PersistentExcursion.txt")
    during = (t > 100) & (t < 125)
    truth = np.median(p[during], axis=0)
    proposal = propose_shift(t[t < 125], p[t < 125], WINDOW)
    left, posterior, superior = truth
    np.testing.assert_allclose(proposal.iec_mm, (-left, -superior, posterior), atol=0.5)
    assert proposal.duty_before < 0.1
    assert proposal.duty_after > 0.9
