"""Where a target is across its only plane: what motion and appearance tell of it on a volume phantom."""

from __future__ import annotations

import numpy as np
import pytest

from bench.out_of_plane import Estimate, Judged, Scenario, hull, judge


@pytest.fixture(scope="module")
def drifting():
    return judge(Scenario("drift", drift_mm_per_min=3.0), [10])


def within(judged):
    return np.mean(judged.error_mm[judged.known] <= judged.bound_mm[judged.known])


def test_appearance_notices_a_drift_that_the_coupling_does_not(drifting):
    assert within(drifting["coupling"]) < 0.5
    assert within(drifting["appearance"]) > 0.9
    assert within(drifting["both"]) > 0.9


def test_appearance_holds_the_beam_where_a_drift_leads_outside(drifting):
    assert drifting["coupling"].outside.mean() > 0.05
    assert drifting["both"].outside.mean() < 0.1 * drifting["coupling"].outside.mean()


def test_beam_needs_a_known_place_with_its_bound_inside_the_window():
    across_mm, bound_mm = np.array([0.0, 1.5, -2.5, 0.0]), np.array([1.0, 1.5, 1.0, 1.0])
    judged = Judged(across_mm, bound_mm, np.array([True, True, True, False]), np.array([3.1, 0.0, 0.0, 3.1]))
    assert judged.beam.tolist() == [True, True, False, False]
    assert judged.outside.tolist() == [True, False, False, False]


def test_appearance_never_narrows_the_bound_of_the_coupling():
    across_mm = np.linspace(-5, 5, 11)
    coupling = Estimate(np.zeros(11), np.full(11, 1.0), np.ones(11, bool))
    both = hull(coupling, Estimate(across_mm, np.full(11, 0.5), np.ones(11, bool)))
    assert (both.across_mm == coupling.across_mm).all()
    assert (both.bound_mm >= coupling.bound_mm).all()
    assert (both.bound_mm >= np.abs(across_mm) + 0.5).all()
