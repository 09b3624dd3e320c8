"""Contours, masks and boxes agree with each other, pixel for pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gating.geometry.contours import box_contour, contour_centroid, contour_from_mask, mask_from_contour

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_a_mask_with_holes_and_parts_survives_a_round_trip_by_contour(mask):
    assert np.array_equal(mask_from_contour(contour_from_mask(mask), mask.shape), mask)


@given(MASKS)
def test_the_centroid_of_a_masks_contour_is_the_mean_of_its_pixel_centres(mask):
    rows, columns = np.nonzero(mask)
    if len(rows):
        assert contour_centroid(contour_from_mask(mask)) == pytest.approx((columns.mean(), rows.mean()), abs=1e-4)


def test_a_box_covers_exactly_its_pixels():
    mask = mask_from_contour(box_contour(60, 64, 40, 34), (176, 140))
    expected = np.zeros((176, 140), bool)
    expected[64:98, 60:100] = True
    assert np.array_equal(mask, expected)
    assert contour_centroid(box_contour(60, 64, 40, 34)) == (79.5, 80.5)


@given(st.floats(3, 20), st.floats(20, 40), st.floats(20, 40))
def test_filling_a_circle_covers_the_pixel_centres_within_its_radius(radius, x, y):
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    mask = mask_from_contour(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1), (64, 64))
    rows, columns = np.mgrid[:64, :64]
    distance = np.hypot(columns - x, rows - y)
    sure = abs(distance - radius) > 1e-3
    assert np.array_equal(mask[sure], (distance < radius)[sure])


def test_a_contour_outside_the_image_covers_nothing():
    assert not mask_from_contour(box_contour(200, 200, 10, 10), (50, 50)).any()


def test_a_contour_that_leaves_the_image_is_cut_off_at_its_border():
    assert mask_from_contour(box_contour(-5, -5, 10, 10), (50, 50)).sum() == 25


def test_an_empty_mask_has_an_empty_contour_and_no_centre():
    contour = contour_from_mask(np.zeros((5, 5), bool))
    assert contour.shape == (0, 2)
    assert np.isnan(contour_centroid(contour)).all()


def test_a_box_without_area_is_refused():
    with pytest.raises(ValueError, match="width and height must be above 0"):
        box_contour(1, 1, 0, 4)
