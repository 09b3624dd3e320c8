"""Contour propagation against motions known exactly."""

import cv2
import numpy as np
import pytest

from gating.geometry.contours import contour_centroid
from gating.tracking.contour import ContourFlow

ROWS, COLUMNS = np.mgrid[:160, :160].astype(np.float32)
ANGLE = np.linspace(0, 2 * np.pi, 90, endpoint=False)
CIRCLE = np.stack([80 + 22 * np.cos(ANGLE), 78 + 18 * np.sin(ANGLE)], 1).astype(np.float32)


def scene(seed=2):
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((160, 160)).astype(np.float32), (0, 0), 2.5)
    return 300 + 60 * field / field.std()


def moved(pixels, field):
    """Frame whose anatomy at p comes from p - field(p), and the outline found by fixed-point iteration."""
    back = cv2.remap(pixels, COLUMNS - field[0], ROWS - field[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    points = CIRCLE.copy()
    for _ in range(30):
        there = [cv2.remap(part, points[:, 0], points[:, 1], cv2.INTER_LINEAR).ravel() for part in field]
        points = CIRCLE + np.stack(there, 1)
    return back, points


def check(field, limit_px, shift=(0.0, 0.0), noise=0.0, scale_mm=1.0):
    pixels = scene()
    frame, truth = moved(pixels, field)
    frame = frame + noise * np.random.default_rng(5).standard_normal(frame.shape).astype(np.float32)
    result = ContourFlow(pixels, CIRCLE, 6.0, scale_mm).propagate(frame.astype(np.float32), *shift)
    error = np.linalg.norm(result.contour_px - truth, axis=1)
    assert np.mean(error) < limit_px
    assert np.hypot(*np.subtract(contour_centroid(result.contour_px), contour_centroid(truth))) < limit_px
    return result


def constant(dx, dy):
    return np.stack([np.full_like(ROWS, dx), np.full_like(ROWS, dy)])


def test_without_motion_nothing_moves():
    result = check(constant(0, 0), 0.02)
    assert result.score > 0.99
    assert result.shift_mm < 0.02


@pytest.mark.parametrize("dx", [0.3, -1.5, 4.0])
def test_the_flow_makes_up_for_what_the_match_leaves(dx):
    check(constant(dx, -dx / 2), 0.12)


def test_the_contour_takes_the_shift_of_the_match():
    result = check(constant(12.0, -9.0), 0.1, shift=(12.0, -9.0))
    assert result.shift_mm < 0.1


def test_a_stretch_is_followed():
    result = check(np.stack([0 * ROWS, 0.12 * (ROWS - 78)]), 0.25)
    assert result.strain == pytest.approx(0.13, abs=0.03)


def test_a_local_bulge_is_followed():
    bulge = 3.0 * np.exp(-((COLUMNS - 96) ** 2 + (ROWS - 78) ** 2) / (2 * 14.0**2))
    check(np.stack([bulge, 0 * ROWS]), 0.5)


def test_noise_does_not_tear_the_contour():
    check(constant(1.0, 1.0), 0.4, noise=25.0)


def test_doubt_grows_when_the_frame_shows_something_else():
    flow = ContourFlow(scene(), CIRCLE, 6.0, 1.0)
    same, other = flow.propagate(scene(), 0, 0), flow.propagate(scene(9), 0, 0)
    assert other.score < 0.6 < same.score
    assert other.precision_mm > 3 * same.precision_mm


def test_a_flat_frame_gives_a_contour_and_no_score():
    result = ContourFlow(scene(), CIRCLE, 6.0, 1.0).propagate(np.full((160, 160), 7.0, np.float32), 0, 0)
    assert np.isfinite(result.contour_px).all()
    assert result.score == 0.0
