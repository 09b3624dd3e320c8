"""The two layers of a preparation: claims that are right come back as they were, and held ones are seen through."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gating.geometry.contours import box_contour
from gating.tracking.layers import LARGEST_GROWTH, growth
from gating.tracking.memory_remarks import layer_remarks

BOX = box_contour(40, 40, 26, 24)
AXIS = np.array([0.0, 1.0])
BREATH_MM = 6.0 * (1.0 - np.cos(np.linspace(0.0, 6.0 * np.pi, 40)))


def texture(seed: int) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(0.0, 1.0, (110, 110)), 2.5)
    return np.asarray(300.0 + 60.0 * field / field.std(), np.float32)


def frames(pattern: float, noise: float = 5.0) -> np.ndarray:
    """Anatomy that breathes, 1 mm pixels, under a pattern that stands still and is `pattern` times as strong."""
    rng, anatomy, fixed = np.random.default_rng(3), texture(1), pattern * (texture(2) - 300.0)
    moves = [np.array([[1.0, 0.0, 0.0], [0.0, 1.0, away]]) for away in BREATH_MM]
    seen = [cv2.warpAffine(anatomy, move, (110, 110), borderMode=cv2.BORDER_REFLECT) + fixed for move in moves]
    return np.clip(np.array(seen) + rng.normal(0.0, noise, (len(seen), 110, 110)), 0, 65535).astype(np.uint16)


def grown(claimed_mm: np.ndarray, pattern: float, noise: float = 5.0) -> float | None:
    away_mm = np.column_stack([np.zeros(len(claimed_mm)), claimed_mm])
    return growth(frames(pattern, noise), BOX, away_mm, 1.0, AXIS)


@pytest.mark.parametrize("pattern", [0.0, 1.0])
def test_right_claims_come_back_with_or_without_a_fixed_pattern(pattern):
    assert grown(BREATH_MM, pattern) == pytest.approx(1.0, abs=0.08)
    assert layer_remarks(grown(BREATH_MM, pattern)) == ()


def test_a_target_that_a_pattern_holds_is_claimed_to_move_too_little():
    held = grown(0.4 * BREATH_MM, 1.0)
    assert held > 1.5
    (remark,) = layer_remarks(held)
    assert f"moves {held:.1f} times as far" in remark


def test_hardly_any_claimed_motion_says_nothing():
    assert grown(0.1 * BREATH_MM, 1.0) is None
    assert layer_remarks(None) == ()


@pytest.mark.parametrize("ratio", [1.0, LARGEST_GROWTH, float("nan")])
def test_up_to_the_limit_nothing_is_remarked(ratio):
    assert layer_remarks(ratio) == ()


def test_frames_that_do_not_change_are_no_error():
    still = np.repeat(frames(0.0, 0.0)[:1], 12, axis=0)
    away_mm = np.column_stack([np.zeros(12), np.linspace(0.0, 5.0, 12)])
    assert growth(still, BOX, away_mm, 1.0, AXIS) is not None
