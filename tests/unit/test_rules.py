"""Each decision rule against plain geometry and plain time; NaN breaks every one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.decision.reasons import GateReason, HoldReason
from gating.geometry.contours import box_contour
from gating.geometry.plane import ImagePlane
from gating.settings.config import GatingSettings
from gating.settings.rules import (
    AvoidanceRule,
    BoundaryRule,
    BreathHoldRule,
    CentreRule,
    ExcursionRule,
    Margins,
    OverlapRule,
    PredictionSettings,
)
from gating.targets.boundary import GatingBoundary
from gating.targets.breath_hold import BreathHold
from gating.targets.from_settings import check_rules, rules_of
from gating.targets.observation import TargetObservation
from gating.targets.rules import Excursion, StructureRules
from gating.targets.structure import StructureGate
from gating.targets.windows import AvoidanceWindow, BoundaryWindow, CentreWindow, OverlapWindow, sphere_overlap
from gating.tracking.tracker import TrackResult, TrackStatus
from tests.factories import stream

BOX = box_contour(20, 20, 20, 20)
NAN = np.full(3, np.nan)
NO_MARGINS = Margins(superior_mm=0, inferior_mm=0, anterior_mm=0, posterior_mm=0, left_mm=0, right_mm=0)


def observation(lps_mm=(0.0, 0.0, 0.0), contour=BOX, at_s=0.0) -> TargetObservation:
    return TargetObservation(round(at_s * 1e9), np.asarray(contour, np.float32), np.array(lps_mm, float))


def test_the_boundary_rule_is_kept_up_to_its_limit():
    rule = BoundaryWindow(BoundaryRule(max_out_fraction=0.1), GatingBoundary(BOX, (0, 0, 0, 0)))
    assert rule.judge(observation(contour=BOX + np.float32((2, 0)))) == ""
    assert rule.judge(observation(contour=BOX + np.float32((3, 0)))) == "15.0 % outside the boundary, the limit is 10 %"


def gate(*rules, contours=None, max_out_fraction=0.1) -> StructureGate:
    gating = GatingSettings(rules=rules, max_out_fraction=max_out_fraction, margins=NO_MARGINS)
    reference = TrackResult(30.0, 30.0, 1.0, 1.0, TrackStatus.TRACKED, BOX, "", 1)
    return StructureGate("t", contours or {"t": BOX}, ImagePlane.of(stream()), reference, gating, PredictionSettings())


def seen(contour, x_px=30.0) -> TrackResult:
    return TrackResult(x_px, 30.0, 1.0, 1.0, TrackStatus.TRACKED, np.asarray(contour, np.float32), "", 1)


def test_a_structure_without_rules_follows_the_common_boundary():
    common = gate()
    common.update(seen(BOX + np.float32((3, 0)), 33.0), 0, 0)
    assert common.out_fraction == pytest.approx(0.15)
    assert common.hold_reason(0).detail == "t: 15.0 % outside the boundary, the limit is 10 %"
    common.update(seen(BOX + np.float32((2, 0)), 32.0), 0, 0)
    assert common.hold_reason(0) is None


def test_a_contour_that_is_not_finite_is_outside_the_common_boundary():
    common = gate()
    common.update(seen(BOX * np.nan), 0, 0)
    assert common.hold_reason(0).reason is GateReason.OUT_OF_WINDOW


def test_a_structure_that_was_not_seen_yet_holds():
    assert gate().hold_reason(0) == HoldReason(GateReason.OUT_OF_WINDOW, "t: not seen yet")


def test_other_rules_measure_the_common_boundary_without_judging_it():
    centred = gate(CentreRule(si_mm=100, ap_mm=100, lr_mm=100))
    centred.update(seen(BOX + np.float32((8, 0)), 38.0), 0, 0)
    assert centred.out_fraction == pytest.approx(0.4)
    assert centred.hold_reason(0) is None


def test_the_boundary_shown_is_that_of_the_first_boundary_rule():
    wide = BoundaryRule(margins=NO_MARGINS, max_out_fraction=0.5)
    narrow = BoundaryRule(margins=NO_MARGINS, max_out_fraction=0.2)
    both = gate(CentreRule(si_mm=100, ap_mm=100, lr_mm=100), wide, narrow)
    both.update(seen(BOX + np.float32((6, 0)), 36.0), 0, 0)
    assert both.out_fraction == pytest.approx(0.3)
    assert both.hold_reason(0).detail == "t: 30.0 % outside the boundary, the limit is 20 %"


def test_area_overlap_is_the_share_of_the_target_in_its_reference():
    rule = OverlapWindow(OverlapRule(min_overlap=0.8), GatingBoundary(BOX, (0, 0, 0, 0)), 10.0)
    assert rule.judge(observation(contour=BOX + np.float32((4, 0)))) == ""
    assert rule.judge(observation(contour=BOX + np.float32((5, 0)))).startswith("area overlap 75.0 %")


def test_volume_overlap_is_that_of_two_spheres():
    rule = OverlapWindow(OverlapRule(min_overlap=1.0, measure="volume"), GatingBoundary(BOX, (0, 0, 0, 0)), 10.0)
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (400_000, 3))
    points = points[(points**2).sum(axis=1) <= 100]
    for away_mm in (2.0, 7.0, 15.0):
        both = ((points - (0, 0, away_mm)) ** 2).sum(axis=1) <= 100
        said = float(rule.judge(observation((0, 0, away_mm))).split()[2])
        assert said == pytest.approx(100 * both.mean(), abs=0.3)


@pytest.mark.parametrize("distance_mm", [0.0, 2.9, 3.1, 8.0, 14.0, 22.9, 23.1])
def test_the_overlap_of_a_sphere_with_a_larger_one(distance_mm):
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (100_000, 3))
    points = points[(points**2).sum(axis=1) <= 100]
    inside = ((points - (0, 0, distance_mm)) ** 2).sum(axis=1) <= 13**2
    assert sphere_overlap(distance_mm, 10.0, 13.0) == pytest.approx(inside.mean(), abs=0.005)


@pytest.mark.parametrize("measure", ["area", "volume"])
def test_an_envelope_lets_the_target_move_within_its_margin(measure):
    for margins, held in ((NO_MARGINS, True), (Margins(), False)):
        moved = gate(OverlapRule(min_overlap=0.96, measure=measure, margins=margins))
        moved.update(seen(BOX + np.float32((1, 0)), 31.0), 0, 0)
        assert (moved.hold_reason(0) is not None) is held


def test_the_volume_counts_motion_that_another_plane_shows():
    """A structure that leaves along the normal of this plane stayed whole in it."""
    both = gate(OverlapRule(min_overlap=0.8, measure="volume"))
    both.update(seen(BOX, 30.0), 0, 0, (0.0, 0.0, 0.0))
    assert both.hold_reason(0) is None
    both.update(seen(BOX, 30.0), 0, 0, (9.0, 0.0, 0.0))
    assert both.hold_reason(0).reason is GateReason.LOW_OVERLAP


def test_the_centre_window_names_the_axis():
    rule = CentreWindow(CentreRule(lr_mm=3, ap_mm=2, si_mm=4, shift_lps_mm=(0.0, 0.0, 8.0)))
    assert rule.judge(observation((3.0, -2.0, 12.0))) == ""
    assert rule.judge(observation((0.0, -2.5, 8.0))) == "centre -2.5 mm off in AP, the limit is 2 mm"


def test_an_organ_that_enters_a_targets_region_holds():
    organ = box_contour(50, 20, 10, 10)
    region = GatingBoundary(BOX, (0, 5, 0, 0))
    rule = AvoidanceWindow(AvoidanceRule(structure="organ", max_in_fraction=0.2), region)
    assert rule.judge(observation(contour=organ)) == ""
    assert rule.judge(observation(contour=organ - (7, 0))) == ""
    assert rule.judge(observation(contour=organ - (9, 0))) == "40.0 % inside the region of target, the limit is 20 %"


def test_an_organ_that_is_not_seen_is_not_known_to_be_out():
    rule = AvoidanceWindow(AvoidanceRule(structure="organ"), GatingBoundary(BOX, (0, 0, 0, 0)))
    assert rule.judge(observation(contour=np.empty((0, 2)))) != ""


class TestExcursion:
    RULE = ExcursionRule(distance_mm=3, duration_s=5)

    def times_broken(self, away_mm, dt_s=0.2):
        rule = Excursion(self.RULE)
        violation = []
        for index, away in enumerate(away_mm):
            rule.update(observation((0, 0, away), at_s=index * dt_s))
            violation.append(bool(rule.violation(round(index * dt_s * 1e9))))
        return np.array(violation)

    def test_a_short_excursion_is_tolerated(self):
        assert not self.times_broken([0] * 5 + [4] * 24 + [0] * 5).any()

    def test_a_persistent_excursion_holds_within_its_time(self):
        violation = self.times_broken([0] * 5 + [4] * 40)
        last_inside = 4
        assert np.flatnonzero(violation)[0] * 0.2 - last_inside * 0.2 <= 5.0 + 1e-9
        assert violation[np.flatnonzero(violation)[0] :].all()

    def test_an_excursion_ends_when_the_target_comes_back(self):
        violation = self.times_broken([4] * 40 + [0])
        assert violation[39]
        assert not violation[40]

    def test_time_counts_between_frames(self):
        rule = Excursion(self.RULE)
        rule.update(observation())
        rule.update(observation((0, 0, 4.0), at_s=0.2))
        assert rule.violation(4_900_000_000) == ""
        assert rule.violation(5_000_000_000) == "more than 3 mm away for 5.0 s, the limit is 5 s"

    def test_a_target_that_is_not_found_counts_as_away(self):
        rule = Excursion(self.RULE)
        rule.update(observation())
        rule.update(observation(NAN, at_s=0.2))
        assert rule.violation(5_000_000_000)


class TestBreathHold:
    RULE = BreathHoldRule(flat_mm=2, plateau_s=2, reproducibility_mm=2.5, max_hold_s=15)

    def update(self, position_mm, dt_s=0.2):
        rule = BreathHold(self.RULE)
        texts = []
        for index, si_mm in enumerate(position_mm):
            rule.update(observation((0, 0, si_mm), at_s=index * dt_s))
            texts.append(rule.violation(round(index * dt_s * 1e9)))
        return texts, rule

    def test_free_breathing_is_no_hold(self):
        texts, _ = self.update(8 * np.sin(2 * np.pi * np.arange(200) * 0.2 / 4))
        assert set(texts) == {"no plateau of 2 s yet"}

    def test_beam_on_only_in_plateaus(self):
        t = np.arange(0, 40, 0.2)
        held = (t % 20 >= 8) & (t % 20 < 18)
        breathing = 6 - 6 * np.cos(2 * np.pi * t / 4)
        texts, _ = self.update(np.where(held, 0.3 * np.sin(t), breathing + 3))
        kept = np.array([text == "" for text in texts])
        assert kept[held & (t % 20 >= 10.2)].all()
        assert not kept[~held].any()

    def test_a_hold_elsewhere_is_not_used(self):
        texts, _ = self.update([6.0] * 30)
        assert texts[-1] == "hold is 6.0 mm from the reference, the limit is 2.5 mm"

    def test_a_hold_is_not_used_beyond_its_time(self):
        texts, rule = self.update([0.0] * 100)
        assert texts.index("hold lasts 15 s, the limit is 15 s") == 75
        assert rule.state(round(10e9)).left_s == pytest.approx(5.0)


def test_a_broken_rule_that_no_delay_bridges_is_named_first():
    rules = StructureRules("gtv", [CentreWindow(CentreRule(si_mm=1)), Excursion(ExcursionRule(duration_s=0))])
    rules.update(observation((0, 0, 9.0)), None)
    hold_reason = rules.hold_reason(0)
    assert (hold_reason.reason, hold_reason.detail[:4]) == (GateReason.EXCURSION, "gtv:")


def test_prediction_only_takes_beam_away():
    rules = StructureRules("gtv", [CentreWindow(CentreRule(si_mm=3))])
    rules.update(observation((0, 0, 1.0)), observation((0, 0, 4.0)))
    hold_reason = rules.hold_reason(0)
    assert hold_reason.reason is GateReason.PREDICTED_OUT
    assert hold_reason.detail == "gtv: will be centre +4.0 mm off in SI, the limit is 3 mm"
    rules.update(observation((0, 0, 4.0)), observation((0, 0, 1.0)))
    assert rules.hold_reason(0).reason is GateReason.OFF_CENTRE


def test_a_structure_follows_its_own_rules_and_those_of_every_target():
    everyone, own, organ = CentreRule(), OverlapRule(structure="a"), AvoidanceRule(structure="duodenum", target="a")
    rules = (everyone, own, organ)
    assert rules_of("a", rules) == [everyone, own]
    assert rules_of("b", rules) == [everyone]
    assert rules_of("duodenum", rules) == [organ]


def test_a_rule_for_an_unknown_structure_is_refused():
    with pytest.raises(ValueError, match=r"gating.rules.0 names the structure 'liver'; the structures are target"):
        check_rules([OverlapRule(structure="liver")], {"target"})


WINDOWS = st.sampled_from(
    [
        BoundaryWindow(BoundaryRule(), GatingBoundary(BOX, (2, 2, 2, 2))),
        OverlapWindow(OverlapRule(min_overlap=0.01, measure="volume"), GatingBoundary(BOX, (0, 0, 0, 0)), 10.0),
        OverlapWindow(OverlapRule(min_overlap=0.01), GatingBoundary(BOX, (0, 0, 0, 0)), 10.0),
        CentreWindow(CentreRule()),
        AvoidanceWindow(AvoidanceRule(structure="o"), GatingBoundary(BOX, (0, 0, 0, 0))),
    ]
)


@given(window=WINDOWS, where=st.sampled_from([0, 1, 2]))
def test_nan_breaks_every_window(window, where):
    away, contour = np.zeros(3), BOX.copy()
    away[where], contour[where % 4] = np.nan, np.nan
    assert window.judge(observation(away, contour)) != ""


@given(shift=st.lists(st.floats(-12, 12), min_size=2, max_size=2), si=st.floats(0.5, 8), ap=st.floats(0.5, 8))
@settings(max_examples=40, deadline=None)
def test_a_gate_measures_the_centre_in_patient_millimetres(shift, si, ap):
    plane = ImagePlane.of(stream())
    reference = TrackResult(30.0, 30.0, 1.0, 1.0, TrackStatus.TRACKED, BOX, "", 1)
    gating = GatingSettings(rules=(CentreRule(si_mm=si, ap_mm=ap),))
    gate = StructureGate("t", {"t": BOX}, plane, reference, gating, PredictionSettings())
    found = TrackResult(30 + shift[0], 30 + shift[1], 1.0, 1.0, TrackStatus.TRACKED, BOX, "", 1)
    gate.update(found, 0, 0)
    inside = abs(2 * shift[0]) <= ap and abs(-2 * shift[1]) <= si
    assert (gate.hold_reason(0) is None) == inside
