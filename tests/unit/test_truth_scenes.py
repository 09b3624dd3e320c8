"""What the truth bench makes without any recording: motion, outlines carried by it, and the noise it was asked for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bench.truth.appearance import interior, rician, saturation_band, smooth_map
from bench.truth.breathing import move
from bench.truth.deformation import Deformation, Pose
from gating.geometry.contours import contour_centroid, mask_from_contour

SHAPE = (240, 220)
ANGLES = np.linspace(0.0, 2.0 * np.pi, 120, endpoint=False)
OUTLINE = np.array([100.0, 110.0]) + np.stack([30.0 * np.cos(ANGLES), 45.0 * np.sin(ANGLES)], axis=1)


def deformation(*, held: float = 0.0, ripple_mm: float = 0.0, back_px: float = 500.0) -> Deformation:
    rng = np.random.default_rng(4)
    return Deformation(
        SHAPE, OUTLINE, back_px=back_px, held=held, ripple_mm=ripple_mm, ripple_scale_px=30.0, beat_mm=0.0,
        reach_mm=20.0, rng=rng,
    )  # fmt: skip


def blobs() -> np.ndarray:
    """A smooth random picture, which interpolation does not change."""
    white = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    return cv2.GaussianBlur(white, (0, 0), 4.0) * 100.0


def sampled(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = points.T.astype(np.float32)
    return cv2.remap(image, x, y, cv2.INTER_CUBIC).ravel()


def trace(kind: str, seconds: float, *, lag_s: float = 0.0, drift_mm: float = 0.0, seed: int = 0):
    return move(kind, np.arange(0.0, seconds, 0.1), 40.0, lag_s, drift_mm, np.random.default_rng(seed))


def test_an_outline_is_compressed_and_expanded_as_asked():
    seen = deformation().carried(OUTLINE, Pose(20.0, -5.0, compression=0.2, expansion=0.1))
    assert np.ptp(seen, axis=0) == pytest.approx(np.ptp(OUTLINE, axis=0) * (1.1, 0.8), abs=0.05)
    assert contour_centroid(seen) == pytest.approx((95.0, 130.0), abs=0.05)


@pytest.mark.parametrize("degrees", [15.0, -15.0])
def test_an_outline_is_turned_as_asked(degrees):
    seen = deformation().carried(OUTLINE, Pose(0.0, 0.0, rotation_rad=np.radians(degrees)))
    tip = seen[0] - (100.0, 110.0)
    assert np.degrees(np.arctan2(tip[1], tip[0])) == pytest.approx(degrees, abs=0.1)


def test_a_point_of_the_outline_shows_what_it_showed_at_rest():
    motion, still = deformation(ripple_mm=3.0), blobs()
    pose = Pose(18.0, -4.0, compression=0.15, expansion=0.1, rotation_rad=0.1, ripple=1.0)
    columns, rows = motion.frame_maps(pose)
    frame = cv2.remap(still, columns, rows, cv2.INTER_CUBIC)
    there = sampled(frame, motion.carried(OUTLINE, pose))
    slope_per_px = float(np.abs(np.gradient(still)).max())
    assert np.abs(there - sampled(still, OUTLINE)).max() < 0.1 * slope_per_px


def test_the_motion_never_folds_near_the_target():
    columns, rows = deformation(ripple_mm=3.0).frame_maps(Pose(30.0, -8.0, 0.2, 0.12, 0.2, 1.0))
    by_row, by_column = np.gradient(columns), np.gradient(rows)
    area = by_row[1] * by_column[0] - by_row[0] * by_column[1]
    assert float(area[40:200, 40:180].min()) > 0.2


def test_a_motion_that_folds_is_refused():
    with pytest.raises(ValueError, match="the motion folds there"):
        deformation(ripple_mm=60.0).carried(OUTLINE, Pose(0.0, 0.0, ripple=1.0))


def test_a_held_target_shares_only_part_of_the_motion_around_it():
    motion = deformation(held=0.7)
    around = np.array([[100.0, 5.0]])
    seen = motion.carried(np.vstack([OUTLINE, around]), Pose(10.0, 0.0))
    assert seen[:-1] - OUTLINE == pytest.approx(np.tile((0.0, 3.0), (120, 1)), abs=0.02)
    assert seen[-1] - around[0] == pytest.approx((0.0, 10.0), abs=0.3)


def test_the_back_stays_while_the_organs_slide_along_it():
    seen = deformation(back_px=170.0).carried(np.array([[100.0, 110.0], [205.0, 110.0]]), Pose(20.0, 0.0))
    assert seen[:, 1] - 110.0 == pytest.approx((20.0, 0.0), abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_breath_holds_last_15_to_20_s_and_return_to_other_depths(seed):
    motion = trace("holds", 90.0, seed=seed)
    held = np.flatnonzero(np.diff((motion.si_mm > 22.0).astype(int)))
    lengths_s = (held[1::2] - held[0 : 2 * (len(held) // 2) : 2]) / 10.0
    depths = [float(np.median(motion.si_mm[a:b])) for a, b in zip(held[::2], held[1::2], strict=False)]
    assert len(depths) >= 3
    assert lengths_s.min() > 14.0
    assert lengths_s.max() < 21.0
    assert np.ptp(depths[:3]) > 8.0


def test_inspiration_into_a_hold_is_fast():
    motion = trace("holds", 90.0)
    assert 30.0 < np.diff(motion.si_mm).max() / 0.1 < 80.0


def test_the_rest_lags_behind_the_breath_as_asked():
    motion = trace("free", 60.0, lag_s=0.5)
    assert motion.depth[5:] * 40.0 == pytest.approx(motion.si_mm[:-5], abs=0.8)
    assert -4.0 * motion.ap_mm[5:] == pytest.approx(motion.si_mm[:-5], abs=0.8)


def test_the_baseline_drifts_as_asked():
    still, drifting = trace("free", 60.0), trace("free", 60.0, drift_mm=6.0)
    assert (drifting.si_mm - still.si_mm)[[0, -1]] == pytest.approx((0.0, 6.0), abs=0.01)


def test_an_unknown_motion_is_refused_by_name():
    with pytest.raises(ValueError, match="'swim' is unknown; known are free, holds, recorded"):
        trace("swim", 10.0)


@pytest.mark.parametrize("psf_px", [0.0, 0.8, 2.0])
def test_noise_has_the_level_that_was_asked_for(psf_px):
    signal = np.full((300, 300), 50.0, np.float32)
    noise = rician(signal, 2.0, psf_px, np.random.default_rng(0)) - signal
    assert float(noise.std()) == pytest.approx(2.0, rel=0.05)


def test_noise_is_correlated_as_its_point_spread_says():
    signal = np.full((400, 400), 50.0, np.float32)
    noise = rician(signal, 2.0, 1.5, np.random.default_rng(0)) - signal
    beside = float((noise[:, 2:] * noise[:, :-2]).mean() / noise.var())
    assert beside == pytest.approx(np.exp(-(2.0**2) / (4 * 1.5**2)), abs=0.05)


def test_noise_without_signal_is_rayleigh_distributed():
    noise = rician(np.zeros((300, 300), np.float32), 2.0, 1.0, np.random.default_rng(0))
    assert float(noise.mean()) == pytest.approx(2.0 * np.sqrt(np.pi / 2.0), rel=0.05)


def test_the_outline_keeps_its_own_texture_when_the_inside_changes():
    mask = mask_from_contour(OUTLINE, SHAPE)
    share = interior(SHAPE, mask, 10.0)
    x, y = np.round(OUTLINE).astype(int).T
    assert float(share[y, x].max()) < 0.2
    assert share[110, 100] == 1.0
    assert share[~mask].max() == 0.0


def test_the_saturation_band_is_dark_in_one_row_and_nowhere_else():
    band = saturation_band(100, 40.0).ravel()
    assert band[40] == pytest.approx(0.2)
    assert band[[30, 50]] == pytest.approx((1.0, 1.0), abs=1e-4)


def test_shading_is_smooth_and_bounded():
    shading = smooth_map(SHAPE, 70.0, np.random.default_rng(2))
    assert float(np.abs(shading).max()) == 1.0
    assert float(np.abs(np.gradient(shading)).max()) < 0.05
