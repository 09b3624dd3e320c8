"""The displacements that figures count are those that the rules judged: in the plane, or in 3D."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from gating.analysis.motion import motion_from_session
from gating.report.summary import displacement_mm, summarise_data
from gating.session.summary_data import SessionData, read_data
from tests.unit.session_bench import write_session

JUDGED_MM = (1.0, -2.0, 3.0)
JUDGED_RANGE_MM = (1.0, 2.0, 3.0)
LOST, UNPLACED = 5, 7


@pytest.fixture
def data(tmp_path) -> SessionData:
    return read_data(write_session(tmp_path / "s1.mcap"))


@pytest.fixture
def in_3d(data) -> SessionData:
    """The session as one that was judged in 3D; in one frame the target is lost, in another it has no place in 3D."""
    estimates = [replace(one, status="tracked", displacement_mm=JUDGED_MM) for one in data.estimates["GTV"]]
    estimates[LOST] = replace(estimates[LOST], status="not_found", displacement_mm=None)
    estimates[UNPLACED] = replace(estimates[UNPLACED], displacement_mm=None)
    data.estimates["GTV"] = estimates
    return data


def test_in_3d_the_figures_count_what_the_plot_shows(in_3d):
    (motion,) = motion_from_session(in_3d)
    plotted = displacement_mm(in_3d.estimates["GTV"], in_3d.references["GTV"])
    np.testing.assert_array_equal(motion.displacement_mm, plotted)
    np.testing.assert_array_equal(np.unique(motion.displacement_mm[:LOST], axis=0), [JUDGED_MM])
    assert motion.shown == (True, True, True)


def test_in_3d_a_frame_without_a_place_has_no_displacement(in_3d):
    (motion,) = motion_from_session(in_3d)
    assert np.flatnonzero(np.isnan(motion.displacement_mm).all(axis=1)).tolist() == [LOST, UNPLACED]


def test_in_3d_every_axis_has_a_range(in_3d):
    in_3d.estimates["GTV"][0] = replace(in_3d.estimates["GTV"][0], displacement_mm=(0.0, 0.0, 0.0))
    (motion,) = summarise_data(in_3d).motion
    assert (motion.range_lr_mm, motion.range_ap_mm, motion.range_si_mm) == JUDGED_RANGE_MM


def test_in_the_plane_another_plane_adds_no_displacement(data):
    """The other plane's coordinate counts from where that plane lies, not from the target's reference."""
    (alone,) = motion_from_session(data)
    data.estimates["GTV"] = [
        replace(one, position_mm=(20.0, *one.position_mm[1:]), ages_ms=(125.0, 0.0, 0.0))
        for one in data.estimates["GTV"]
    ]
    (beside,) = motion_from_session(data)
    np.testing.assert_allclose(beside.displacement_mm, alone.displacement_mm, atol=1e-9)
    assert beside.shown == (False, True, True)
