"""Where the anatomy around a target has moved: found to a grid step, also at the image's edge, without errors."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.geometry.contours import box_contour
from gating.tracking.surroundings import Surroundings
from gating.tracking.template import SearchRegion

SHAPE = (200, 180)
TARGET = box_contour(80, 90, 20, 20)
CENTRE = (89.5, 99.5)
COST = 0.1 / 60.0


def scene(dx=0.0, dy=0.0, seed=3):
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((300, 280)).astype(np.float32), (0, 0), 3.0)
    move = np.array([[1, 0, dx - 50], [0, 1, dy - 50]], np.float32)
    pixels = cv2.warpAffine(400 + 80 * field / field.std(), move, SHAPE[::-1])
    pixels[int(90 + dy) : int(110 + dy), int(80 + dx) : int(100 + dx)] = 400
    return np.clip(pixels, 0, 65535).astype(np.uint16)


SURROUNDINGS = Surroundings(scene(), TARGET, 6.0, 1.0, 60)


def reach(x=CENTRE[0], y=CENTRE[1], radius=60.0):
    return SearchRegion(x, y, radius, 16.0, COST)


@given(st.integers(-35, 35), st.integers(-40, 40))
@settings(max_examples=15, deadline=None)
def test_a_target_that_shows_nothing_itself_is_placed_to_a_step(dx, dy):
    found = SURROUNDINGS.find(scene(dx, dy), reach())
    assert abs(found.x_px - CENTRE[0] - dx) <= found.step_px
    assert abs(found.y_px - CENTRE[1] - dy) <= found.step_px


def test_a_place_scores_its_match_less_the_cost_of_its_distance():
    found = SURROUNDINGS.find(scene(10, 30), reach())
    distance = np.hypot(found.x_px - CENTRE[0], found.y_px - CENTRE[1])
    there = found.worth_at(found.x_px, found.y_px)
    assert there == pytest.approx(float(found.worth.max()))
    assert 0.6 < there + COST * (distance - 16.0) <= 1.0
    assert found.worth_at(*CENTRE) < 0.5
    assert found.worth_at(-500.0, 20.0) == -1.0


def test_half_the_surroundings_may_lie_beyond_the_image():
    found = SURROUNDINGS.find(scene(0, 85), reach(y=CENTRE[1] + 60))
    assert abs(found.y_px - CENTRE[1] - 85) <= found.step_px


def test_a_flat_frame_scores_nothing_anywhere():
    found = SURROUNDINGS.find(np.zeros(SHAPE, np.uint16), reach())
    assert float(found.worth.max()) <= 0.0
