"""Delivered dose: the planned dose blurred by motion, against formulas; and what a session can and cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from scipy.special import ndtr

from drivers.phantom.water_plan import WaterPlan
from gating.analysis.uncertainty import Uncertainty
from gating.delivered.assessment import Question, assess
from gating.delivered.deliveries import DosePlan, gated_timeline, itv_plan, part_kernels, received, ungated_timeline
from gating.delivered.dose_cloud import motion_kernel, moved, whole
from gating.delivered.dvh import OnGrid, StructurePoints, dose_figures
from gating.delivered.live import LiveDose
from gating.delivered.spread import figure_spreads
from tests.dose_bench import FIELD_MM, FRAME_S, GY, PENUMBRA_MM, SESSION_S, grid, session, slab, sphere, water

MOTIONS = {
    "sine": lambda t: 8 * np.sin(2 * np.pi * t / 4),
    "step": lambda t: np.where(t < SESSION_S / 4, 0.0, 9.0),
    "drift": lambda t: 10 * t / SESSION_S,
}
PLANS = {"slab": slab, "water": water(WaterPlan())}


def gated(plan, motion, structure, **how):
    """The figures of a gated delivery."""
    kernels = part_kernels(plan, gated_timeline(motion), **how)
    placed = OnGrid(structure, plan.grid)
    return placed.figures(received(plan, kernels, placed.box), GY)


def test_a_still_target_receives_the_planned_dose_bit_for_bit():
    parts = grid(slab).parts[0], grid(water(WaterPlan())).parts[0]
    plan = DosePlan(grid(slab).grid, parts, (3.0, 1.7))
    kernels = part_kernels(plan, gated_timeline(session(np.zeros_like)))
    assert np.array_equal(received(plan, kernels, whole(parts[0])), plan.total)


@pytest.mark.parametrize("dose", PLANS)
@pytest.mark.parametrize("name", MOTIONS)
def test_motion_blurs_the_dose_as_the_formula_says(name, dose):
    structure, formula = sphere(step_mm=2.0), PLANS[dose]
    when_s = (np.arange(400) + 0.5) * SESSION_S / 400
    places = [structure.points_mm + np.array([0, 0, mm]) for mm in MOTIONS[name](when_s)]
    wanted = dose_figures(np.mean([formula(at) for at in places], axis=0), structure.volume_cm3)
    found = gated(grid(formula), session(MOTIONS[name]), structure)
    assert found.d98_gy == pytest.approx(wanted.d98_gy, rel=0.01)
    assert found.d2cc_gy == pytest.approx(wanted.d2cc_gy, rel=0.01)


def test_a_miss_of_6_mm_lowers_d98_by_what_the_penumbra_says():
    along = np.linspace(-15, 15, 3001)
    structure = StructurePoints("GTV", np.stack([0 * along, 0 * along, along], axis=1), 10.0)
    planned = gated(grid(slab), session(np.zeros_like), structure)
    missed = gated(grid(slab), session(lambda t: np.full_like(t, 6.0)), structure)
    # 98 % of the target lies within 14.4 mm of its middle on the side of the miss, and within 14.7 mm on both sides.
    assert planned.d98_gy == pytest.approx(GY * ndtr((FIELD_MM - 14.7) / PENUMBRA_MM), rel=0.003)
    assert missed.d98_gy == pytest.approx(GY * ndtr((FIELD_MM - 20.4) / PENUMBRA_MM), rel=0.005)


def test_one_sum_of_shifts_is_what_each_displacement_alone_would_give():
    plan, rng = grid(slab), np.random.default_rng(3)
    away, weights = rng.uniform(-7, 7, (12, 3)), rng.uniform(0, 1, 12)
    together = moved(plan.total, motion_kernel(plan.grid, away, weights))
    alone = sum(
        w / weights.sum() * moved(plan.total, motion_kernel(plan.grid, one[None], np.ones(1)))
        for one, w in zip(away, weights, strict=True)
    )
    np.testing.assert_allclose(together, alone, atol=1e-4 * GY)


def test_a_shift_is_that_of_a_library_on_an_oblique_grid():
    plan = grid(slab)
    plan.grid.SetDirection(np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]]).ravel().tolist())
    image = SimpleITK.GetImageFromArray(plan.total)
    image.CopyInformation(plan.grid)
    away = np.array([2.0, -3.0, 5.0])
    by_library = SimpleITK.Resample(image, SimpleITK.TranslationTransform(3, away.tolist()), SimpleITK.sitkBSpline)
    inner = (slice(6, -6),) * 3
    found = moved(plan.total, motion_kernel(plan.grid, away[None], np.ones(1)))
    np.testing.assert_allclose(found[inner], SimpleITK.GetArrayFromImage(by_library)[inner], atol=0.01 * GY)


def test_beams_in_turn_meet_the_motion_of_their_own_time():
    half = grid(lambda points: slab(points) / 2)
    tilted = grid(lambda points: slab(points) / 2 * (1 + points[..., 2] / 100))
    plan = DosePlan(half.grid, (half.parts[0], tilted.parts[0]), (1.0, 3.0))
    motion = session(lambda t: np.where(t < SESSION_S / 4, 0.0, 6.0))
    centre = StructurePoints("GTV", np.zeros((1, 3)), 1.0)
    assert gated(plan, motion, centre).mean_gy == pytest.approx(GY / 2 * (1 + 1.06), rel=2e-3)


def test_a_dose_rate_tells_how_much_of_the_plan_was_delivered():
    one = grid(slab)
    plan = DosePlan(one.grid, (one.parts[0], one.parts[0]), (10.0, 10.0))
    centre = StructurePoints("GTV", np.zeros((1, 3)), 1.0)
    # 40 s at 22.5 MU/min are 15 of 20 MU: the first beam, and half of the second.
    found = gated(plan, session(np.zeros_like), centre, dose_rate_mu_min=22.5)
    assert found.mean_gy == pytest.approx(1.5 * GY, rel=1e-3)


def test_time_without_a_position_is_left_out_and_told():
    motion = session(lambda t: np.where(t < SESSION_S / 2, 0.0, np.nan))
    found = assess(grid(slab), [sphere()], motion, Question(target="GTV", tracked="GTV", samples=0))
    by_name = {one.name: one for one in found.deliveries}
    assert by_name["gated"].unknown_s == pytest.approx(SESSION_S / 2, abs=0.2)
    figures = found.structures[0].figures
    assert figures["gated"].d98_gy == figures["planned"].d98_gy


def test_a_beam_that_was_never_on_gives_no_dose():
    with pytest.raises(ValueError, match="never on"):
        gated_timeline(session(np.zeros_like, beam_s=np.empty((0, 2))))


def test_gating_and_an_itv_cover_what_an_ungated_plan_misses():
    def breath(t):
        return -14 * np.sin(np.pi * t / 4) ** 4

    exhale = [(k * 4 - 0.7, k * 4 + 0.7) for k in range(1, 10)]
    found = assess(grid(water(WaterPlan())), [sphere()], session(breath, exhale), Question("GTV", "GTV", GY, samples=0))
    d98 = {name: one.d98_gy / GY for name, one in found.structures[0].figures.items()}
    assert d98["ungated"] < 0.9 < 0.99 < d98["gated"]
    assert d98["itv"] > 0.99
    volumes = {one.name: one.prescribed_cm3 for one in found.deliveries}
    assert volumes["itv planned"] > 1.2 * volumes["planned"]


def test_an_itv_plan_covers_every_phase_as_the_plan_covers_the_target():
    plan, motion = grid(slab), session(lambda t: 5 * np.sin(2 * np.pi * t / 4))
    wide, _ = itv_plan(plan, motion)
    centre = wide.total[:, 16, 16]
    z = np.arange(-60, 61, 2.5)
    assert centre[np.abs(z) <= 25].min() > 0.9 * GY
    assert centre[np.abs(z) > 42].max() < 0.02 * GY


def test_without_errors_the_spread_is_the_delivered_dose_itself():
    plan, motion, placed = grid(slab), session(MOTIONS["sine"]), OnGrid(sphere(), grid(slab).grid)
    (spread,) = figure_spreads(plan, motion, [placed], (), latency_sd_ms=0.0, samples=3)
    assert spread.p5.d98_gy == spread.p95.d98_gy
    assert spread.p5.d98_gy == pytest.approx(gated(plan, motion, sphere()).d98_gy, rel=1e-3)


def test_the_spread_of_a_constant_error_is_that_of_the_penumbra():
    along = np.linspace(-15, 15, 301)
    structure = StructurePoints("GTV", np.stack([0 * along, 0 * along, along], axis=1), 10.0)
    plan, placed = grid(slab), OnGrid(structure, grid(slab).grid)
    error = Uncertainty(name="constant", sd_mm=4.0, kind="systematic", source="this test")
    (spread,) = figure_spreads(plan, session(np.zeros_like), [placed], [error], latency_sd_ms=0.0, samples=200)
    # 5 % of all samples are further off than 1.96 SD.
    wanted = GY * ndtr((FIELD_MM - 14.4 - 1.96 * 4.0) / PENUMBRA_MM)
    assert spread.p5.d98_gy == pytest.approx(wanted, rel=0.1)


def test_a_latency_counts_where_the_beam_is_later_than_logged():
    motion = session(lambda t: np.where(t < 20, 0.0, 12.0), [(0.0, 19.8)])
    assert np.abs(gated_timeline(motion).displacement_mm).max() < 1
    late = gated_timeline(motion, later_ms=1200.0)
    assert (late.displacement_mm[:, 2] > 11).mean() == pytest.approx(1 / 20, abs=0.01)


def test_the_live_dose_is_the_one_after_the_session():
    plan, structure, motion = grid(slab), sphere(), session(MOTIONS["drift"])
    live = LiveDose(plan, structure, SESSION_S, GY)
    for away in motion.displacement_mm[:-1]:
        live.add(away, FRAME_S)
    after = gated(plan, motion, structure)
    assert live.figures().d98_gy == pytest.approx(after.d98_gy, rel=0.005)
    assert live.figures().mean_gy == pytest.approx(after.mean_gy, rel=0.002)


@pytest.mark.parametrize(("away", "beam_s"), [((0, 0, np.nan), 0.1), ((0, 0, 0), -0.1), ((0, 0, 0), np.inf)])
def test_the_live_dose_takes_no_unknown_number(away, beam_s):
    with pytest.raises(ValueError, match="finite numbers are needed"):
        LiveDose(grid(slab), sphere(), SESSION_S).add(away, beam_s)


def test_a_grid_that_does_not_hold_the_moving_target_is_refused():
    plan = grid(slab, half_mm=(40, 40, 20))
    with pytest.raises(ValueError, match=r"GTV with its motion reaches .* the dose grid does not hold it"):
        assess(plan, [sphere()], session(MOTIONS["step"]), Question("GTV", "GTV", samples=0))


def test_a_structure_smaller_than_2_cm3_has_no_d2cc():
    assert np.isnan(dose_figures(np.ones(10), 1.9).d2cc_gy)
    assert np.isnan(dose_figures(np.ones(10), 1.9).v100)


def test_the_motion_counts_from_the_middle_of_the_window():
    motion = replace(session(lambda t: np.full_like(t, 4.0)), window_mm=np.array([0.0, 0.0, 4.0]))
    assert np.abs(gated_timeline(motion).displacement_mm).max() == 0


def test_the_ungated_delivery_is_the_whole_session():
    motion = session(MOTIONS["sine"], [(0.0, 1.0)])
    assert ungated_timeline(motion).beam_on_s == pytest.approx(SESSION_S, abs=0.02)


def test_a_small_target_has_the_dose_of_its_points_not_of_voxels():
    """A sphere of 5 mm radius holds 33 voxel centres, but its edge lies in the penumbra."""
    structure = sphere(5.0, step_mm=0.5)
    edge = replace(structure, points_mm=structure.points_mm + np.array([0.4, -0.7, FIELD_MM - 1.3]))
    wanted = dose_figures(slab(edge.points_mm), edge.volume_cm3)
    found = gated(grid(slab), session(np.zeros_like), edge)
    assert found.d98_gy == pytest.approx(wanted.d98_gy, rel=0.02)
    assert found.mean_gy == pytest.approx(wanted.mean_gy, rel=0.005)
