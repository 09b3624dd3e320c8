"""The gating boundary against an independent rasteriser and against plain geometry."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from gating.geometry.contours import box_contour
from gating.targets.boundary import GatingBoundary, grown

BOX = box_contour(20, 30, 40, 20)


def ellipse(x: float, y: float, a: float, b: float, n: int = 60) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + a * np.cos(t), y + b * np.sin(t)], axis=1).astype(np.float32)


def test_the_reference_contour_lies_inside_its_own_boundary():
    assert GatingBoundary(BOX, (0, 0, 0, 0)).out_fraction(BOX) == 0.0


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((3, 0), 1 / 40), ((-3, 0), 2 / 40), ((0, 6), 2 / 20), ((0, -6), 3 / 20), ((0, 3), 0.0), ((500, 0), 1.0)],
)
def test_each_direction_has_its_own_margin(shift, expected):
    boundary = GatingBoundary(BOX, (1, 2, 3, 4))
    assert boundary.out_fraction(BOX + np.float32(shift)) == pytest.approx(expected, abs=1e-6)


def test_a_concavity_of_the_boundary_is_outside():
    bay = np.array([(20, 20), (35, 20), (35, 45), (45, 45), (45, 20), (60, 20), (60, 60), (20, 60)], np.float32)
    across = np.array([(20, 25), (60, 25), (60, 35), (20, 35)], np.float32)
    assert GatingBoundary(bay, (0, 0, 0, 0)).out_fraction(across) == pytest.approx(10 / 40, abs=1e-6)


@given(x=st.floats(-9, 9), y=st.floats(-9, 9), a=st.floats(4, 12), b=st.floats(4, 12))
@settings(max_examples=40, deadline=None)
def test_out_fraction_agrees_with_an_independent_rasteriser(x, y, a, b):
    reference = ellipse(32, 32, 9, 7)
    moved = ellipse(32 + x, 32 + y, a, b)
    fraction = GatingBoundary(reference, (0, 0, 0, 0)).out_fraction(moved)
    fine = 8
    masks = [polygon2mask((64 * fine, 64 * fine), (c[:, ::-1] + 0.5) * fine - 0.5) for c in (reference, moved)]
    expected = (masks[1] & ~masks[0]).sum() / masks[1].sum()
    assert fraction == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "contour",
    [
        np.empty((0, 2), np.float32),
        np.full((5, 2), np.nan, np.float32),
        np.zeros((3, 2), np.float32),
        BOX * np.float32(1e6),
        np.tile(np.array([[20, 30], [60, 50], [20, 50]], np.float32), (1000, 1)),
    ],
    ids=["empty", "not a number", "a point", "far away", "crossed too often"],
)
def test_a_degenerate_contour_is_wholly_outside(contour):
    assert GatingBoundary(BOX, (3, 3, 3, 3)).out_fraction(contour) == 1.0


def test_the_outline_surrounds_the_target_by_the_margins():
    outline = GatingBoundary(BOX, (1, 2, 3, 4)).outline_px
    np.testing.assert_allclose(outline.min(axis=0) - BOX.min(axis=0), (-1, -3), atol=0.3)
    np.testing.assert_allclose(outline.max(axis=0) - BOX.max(axis=0), (2, 4), atol=0.3)


@given(data=st.data(), margins=st.tuples(*[st.sampled_from([0.0, 0.3, 1.0, 2.5, 4.0, 7.3])] * 4))
@settings(max_examples=40, deadline=None)
def test_a_mask_grows_by_a_quarter_ellipse_in_each_direction(data, margins):
    cells = data.draw(st.lists(st.tuples(st.integers(0, 17), st.integers(0, 21)), min_size=1, max_size=6))
    mask = np.zeros((18, 22), np.bool_)
    mask[tuple(np.transpose(cells))] = True
    left, right, up, down = np.maximum(margins, 0.25)
    rows, columns = np.indices(mask.shape)
    reached = np.zeros_like(mask)
    for row, column in cells:
        x, y = columns - column, rows - row
        reached |= (x / np.where(x < 0, left, right)) ** 2 + (y / np.where(y < 0, up, down)) ** 2 <= 1
    np.testing.assert_array_equal(grown(mask, margins), reached)


def test_a_boundary_with_wide_margins_takes_no_time():
    GatingBoundary(BOX, (0, 0, 0, 0))  # imports
    began = time.process_time()
    GatingBoundary(BOX, (13.3, 13.3, 13.3, 13.3))
    assert time.process_time() - began < 0.5
