"""Rules judged by the position in 3D: the bound, what it needs to be known, and what the beam is allowed by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.decision.reasons import GateReason
from gating.geometry.plane import ImagePlane
from gating.settings.config import GatingSettings
from gating.settings.rules import BoundaryRule, CentreRule, ExcursionRule, PredictionSettings
from gating.settings.three_d import CouplingSettings, ThreeDSettings
from gating.targets.boundary import GatingBoundary
from gating.targets.motion_3d import Place, StructureMotion
from gating.targets.observation import TargetObservation
from gating.targets.rules import Excursion, StructureRules
from gating.targets.structure import StructureGate
from gating.targets.windows import BoundaryWindow, CentreWindow
from gating.tracking.tracker import TrackResult, TrackStatus
from tests.factories import stream

S = 1_000_000_000
AXES = {
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "transversal": (1, 0, 0, 0, 1, 0),
    "oblique": (0.6, 0.8, 0, 0, 0, -1),
}
CONTOUR = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)


def plane_of(name: str) -> ImagePlane:
    return ImagePlane.of(stream(image_orientation=tuple(map(float, AXES[name.partition(" ")[0]]))))


def motion_of(*names: str, **changes) -> StructureMotion:
    motion = StructureMotion("GTV", ThreeDSettings(on=True, **changes))
    for name in names:
        motion.add_plane(name, plane_of(name))
    return motion


def breath_mm(t_s: float, lag_s: float = 0.4) -> np.ndarray:
    """A loop: left-right and anterior-posterior follow superior-inferior late."""
    si, late = ((np.sin(np.pi * (t_s - lag) / 4.0) ** 4) for lag in (0.0, lag_s))
    return np.array([5.0 * late, -6.0 * late, -12.0 * si])


def followed(motion: StructureMotion, names: list[str], dt_s: float, count: int):
    """Yield time, true displacement, plane and place of each frame; a plane shows its part of the displacement."""
    for index in range(count):
        name, truth = names[index % len(names)], breath_mm(index * dt_s)
        plane = plane_of(name)
        normal = np.cross(plane.along_columns, plane.along_rows)
        place = motion.see(name, tuple(truth - normal * (normal @ truth)), round(index * dt_s * S))
        motion.learn()
        yield index * dt_s, truth, normal, place


@pytest.mark.parametrize(
    "names",
    [
        ["sagittal", "coronal"],
        ["coronal", "transversal"],
        ["sagittal", "sagittal", "sagittal", "coronal"],
        ["sagittal 1", "sagittal 2", "coronal", "sagittal 3"],
        ["oblique", "sagittal"],
        ["coronal", "sagittal", "sagittal", "transversal", "coronal"],
    ],
)
def test_a_loop_is_followed_across_every_plane_within_1_5_mm(names):
    motion = motion_of(*sorted(set(names)))
    rows = [row for row in followed(motion, names, 0.125, 400) if not row[3].unknown]
    errors = [abs(normal @ (np.array(place.displacement_mm) - truth)) for _, truth, normal, place in rows]
    bounds = [np.abs(normal) @ place.bound_mm for _, _, normal, place in rows]
    assert len(rows) > 250
    assert np.percentile(errors, 95) < 1.5
    assert np.mean(np.less_equal(errors, bounds)) > 0.95


def test_parallel_planes_alone_do_not_tell_where_it_is_across_them():
    *_, (_, _, _, place) = followed(motion_of("sagittal 1", "sagittal 2"), ["sagittal 1", "sagittal 2"], 0.125, 100)
    assert place.unknown.startswith("no other plane shows where it is across the sagittal 2 plane")
    assert place.bound_mm[0] == math.inf


def test_a_direction_is_unknown_until_enough_errors_are_known():
    places = [row[3] for row in followed(motion_of("sagittal", "coronal"), ["sagittal", "coronal"], 0.125, 60)]
    assert "20 sightings in the" in places[20].unknown
    assert places[-1].unknown == ""
    assert max(places[-1].bound_mm) < 3.0


def test_what_a_preparation_taught_holds_from_the_first_frames_on():
    taught = CouplingSettings(structure="GTV", along_lps=(0, 0, 1), across_lps=(1, 0, 0), slope=-5 / 12, growth_mm_s=4,
                              bound_mm=2, lag_s=0.0, drift_mm_per_min=1.0)  # fmt: skip
    motion = motion_of("sagittal", couplings=(taught,))
    rows = list(followed(motion, ["sagittal"], 0.125, 480))
    assert all(not place.unknown for *_, place in rows)
    first, last = rows[0][3], rows[-1][3]
    assert (first.bound_mm[0], last.bound_mm[0]) == (2.0, pytest.approx(3.0, abs=0.01))
    assert rows[16][3].displacement_mm[0] == pytest.approx(5.0, abs=0.2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=2, max_size=8), st.sampled_from(["sagittal", "oblique"]), st.booleans())
def test_the_bound_never_shrinks_with_age(ages_s, name, prepared):
    taught = CouplingSettings(structure="GTV", along_lps=(0, 0, 1), across_lps=(1, 0, 0), slope=0.3, growth_mm_s=2,
                              bound_mm=1)  # fmt: skip
    motion = motion_of(name, "coronal", couplings=(taught,) if prepared else ())
    *_, (t_s, _, _, _) = followed(motion, ["coronal", name], 0.125, 80)
    bounds = [motion.see(name, (0.0, 0.0, 1.0), round((t_s + age_s) * S)).bound_mm for age_s in sorted(ages_s)]
    assert all((np.diff(bounds, axis=0) >= 0).ravel())


def test_nothing_is_bounded_where_the_clock_has_gone_back():
    motion = motion_of("sagittal", "coronal")
    *_, (t_s, _, _, _) = followed(motion, ["coronal", "sagittal"], 0.125, 80)
    assert motion.see("coronal", (0.0, 0.0, 1.0), round((t_s - 5) * S)).bound_mm[1] == math.inf


def test_a_clock_that_has_gone_back_makes_no_speed_and_no_session_shorter():
    taught = CouplingSettings(structure="GTV", along_lps=(0, 0, 1), across_lps=(1, 0, 0), slope=0.0, growth_mm_s=4,
                              bound_mm=2, lag_s=0.5, drift_mm_per_min=1.0)  # fmt: skip
    motion = motion_of("sagittal", couplings=(taught,))
    *_, (_, _, _, before) = followed(motion, ["sagittal"], 0.125, 480)
    after = [motion.see("sagittal", (0.0, 0.0, 2.0), round(number * 0.125 * S)) for number in range(9)]
    assert [place.displacement_mm[0] for place in after] == pytest.approx([0.0] * 9)
    assert after[0].bound_mm[0] == pytest.approx(before.bound_mm[0])
    assert after[-1].bound_mm[0] > before.bound_mm[0]


positions = st.tuples(*[st.floats(-6, 6)] * 3)
bounds = st.tuples(*[st.floats(0, 4)] * 3)
corners = st.tuples(*[st.floats(-1, 1)] * 3)


@given(positions, bounds, corners)
def test_beam_on_implies_that_the_whole_bound_is_inside(away_mm, bound_mm, corner):
    rules = StructureRules("GTV", [CentreWindow(CentreRule()), Excursion(ExcursionRule(distance_mm=4, duration_s=0))])
    seen = TargetObservation(0, CONTOUR, away_mm, bound_mm=bound_mm)
    rules.update(seen, None)
    rules.judge_bounded(seen)
    if rules.hold_reason(0) is None:
        reached = np.add(away_mm, np.multiply(corner, bound_mm))
        assert np.linalg.norm(reached) <= 3 + 1e-9


def test_a_diagonal_of_2_9_mm_each_breaks_a_3_mm_rule():
    away_mm = (2.9, 0.0, 2.9)
    window = CentreWindow(CentreRule())
    assert window.judge(TargetObservation(0, CONTOUR, away_mm)) == ""
    text = window.judge(TargetObservation(0, CONTOUR, away_mm, bound_mm=(0.0, 0.0, 0.0)))
    assert text == "centre +2.9/+0.0/+2.9 mm off in LR/AP/SI, the limit is an ellipsoid of 3/3/3 mm"


def test_a_bound_that_reaches_out_of_the_window_is_named():
    rules = StructureRules("GTV", [CentreWindow(CentreRule())])
    seen = TargetObservation(0, CONTOUR, (2.0, 0.0, 0.0), bound_mm=(1.5, 0.5, 0.5))
    rules.update(seen, None)
    rules.judge_bounded(seen)
    found = rules.hold_reason(0)
    assert found.reason is GateReason.POSITION_UNCERTAIN
    assert found.detail == (
        "GTV: may be centre +2.0/+0.0/+0.0 +- 1.5/0.5/0.5 mm off in LR/AP/SI, the limit is an ellipsoid of 3/3/3 mm"
    )


BOUNDARY = GatingBoundary(CONTOUR, (3.0, 3.0, 3.0, 3.0))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-3, 3)] * 2), st.tuples(*[st.floats(0, 3)] * 2), st.tuples(*[st.floats(-1, 1)] * 2))
def test_a_boundary_that_is_kept_is_kept_all_over_the_bound(shift_px, bound_px, corner):
    window = BoundaryWindow(BoundaryRule(max_out_fraction=0.05), BOUNDARY)
    seen = TargetObservation(0, CONTOUR + np.array(shift_px, np.float32), (0.0,) * 3, bound_mm=(0.0,) * 3,
                             bound_px=bound_px)  # fmt: skip
    if not window.judge(seen):
        reached = (seen.contour_px + np.multiply(corner, bound_px)).astype(np.float32)
        assert BOUNDARY.out_fraction(reached) <= 0.05 + 0.01


def gate_of(plane: ImagePlane, *rules) -> StructureGate:
    reference = TrackResult(30.0, 30.0, 1.0, 1.0, TrackStatus.TRACKED, CONTOUR, "", 1)
    gate = StructureGate("GTV", {"GTV": CONTOUR}, plane, reference, GatingSettings(rules=rules), PredictionSettings())
    gate.update(reference, 0, 0, place=Place((0.0,) * 3, (0.5,) * 3, (0.0,) * 3))
    return gate


def test_a_contour_is_carried_on_by_what_another_plane_shows():
    gate = gate_of(plane_of("coronal"), BoundaryRule(max_out_fraction=0.05))
    still = TrackResult(30.0, 30.0, 1.0, 1.0, TrackStatus.TRACKED, CONTOUR, "", 1)
    assert gate.hold_reason(0) is None
    for away_mm, reason in ((-9.0, GateReason.OUT_OF_WINDOW), (-4.0, GateReason.POSITION_UNCERTAIN), (0.0, None)):
        gate.carry_on(Place((0.0, 0.0, away_mm), (2.0, 0.5, 2.0), (0.0,) * 3), still, 0)
        found = gate.hold_reason(0)
        assert (found and found.reason) == reason


def test_what_a_planes_own_frame_showed_keeps_holding():
    gate = gate_of(plane_of("coronal"), CentreRule())
    away = TrackResult(34.0, 30.0, 1.0, 1.0, TrackStatus.TRACKED, CONTOUR, "", 1)
    gate.update(away, 0, 0, place=Place((8.0, 0.0, 0.0), (0.5,) * 3, (0.0,) * 3))
    gate.carry_on(Place((0.0,) * 3, (0.5,) * 3, (0.0,) * 3), away, 1)
    assert gate.hold_reason(1).reason is GateReason.OFF_CENTRE
