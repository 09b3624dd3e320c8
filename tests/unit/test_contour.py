"""Contour propagation against motions known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.geometry.contours import contour_centroid
from gating.tracking.carrying import centroid_of
from gating.tracking.contour import MAX_PRECISION_MM, ContourFit, Propagation
from gating.tracking.local_contrast import Picture, window_mm
from gating.tracking.saturation_band import SaturationBands

ROWS, COLUMNS = np.mgrid[:160, :160].astype(np.float32)
ANGLE = np.linspace(0, 2 * np.pi, 90, endpoint=False)
CENTRE = (80.0, 78.0)
CIRCLE = np.stack([80 + 22 * np.cos(ANGLE), 78 + 18 * np.sin(ANGLE)], 1).astype(np.float32)


def scene(seed: int = 2) -> np.ndarray:
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((160, 160)).astype(np.float32), (0, 0), 2.5)
    return 300 + 60 * field / field.std()


class Watched:
    """A scene with an outlined target, and its fit to other frames."""

    def __init__(self, pixels: np.ndarray, bands: SaturationBands | None = None) -> None:
        self.picture = Picture((160, 160), 1.0, window_mm(CIRCLE, 1.0), bands or SaturationBands())
        self.picture.load(pixels)
        self.fit = ContourFit(self.picture, CIRCLE, CENTRE, 6.0, 1.0)

    def propagate(self, frame: np.ndarray, dx: float = 0.0, dy: float = 0.0) -> Propagation:
        self.picture.load(np.asarray(frame, np.float32))
        return self.fit.propagate(self.picture, dx, dy, 1.0)


def moved(pixels: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frame whose anatomy at p comes from p - field(p), and the outline found by fixed-point iteration."""
    back = cv2.remap(pixels, COLUMNS - field[0], ROWS - field[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    points = CIRCLE.copy()
    for _ in range(30):
        there = [cv2.remap(part, points[:, 0], points[:, 1], cv2.INTER_LINEAR).ravel() for part in field]
        points = CIRCLE + np.stack(there, 1)
    return back, points


def followed(
    field: np.ndarray, shift: tuple[float, float] = (0.0, 0.0), noise: float = 0.0
) -> tuple[Propagation, float]:
    """The outline carried to a moved scene, and the mean distance of its points from the truth."""
    frame, truth = moved(scene(), field)
    frame = frame + noise * np.random.default_rng(5).standard_normal(frame.shape)
    result = Watched(scene()).propagate(frame, *shift)
    return result, float(np.linalg.norm(result.contour_px - truth, axis=1).mean())


def constant(dx: float, dy: float) -> np.ndarray:
    return np.stack([np.full_like(ROWS, dx), np.full_like(ROWS, dy)])


def affine(xx: float, xy: float, yx: float, yy: float) -> np.ndarray:
    x, y = COLUMNS - CENTRE[0], ROWS - CENTRE[1]
    return np.stack([xx * x + xy * y, yx * x + yy * y]).astype(np.float32)


def bulge(height_px: float, width_px: float = 14.0) -> np.ndarray:
    hill = height_px * np.exp(-((COLUMNS - 96) ** 2 + (ROWS - 78) ** 2) / (2 * width_px**2))
    return np.stack([hill, 0 * hill])


def test_without_motion_nothing_moves():
    result, error_px = followed(constant(0, 0))
    assert error_px < 0.01
    assert result.score > 0.999
    assert result.content_px == pytest.approx(CENTRE, abs=0.01)
    assert max(result.shift_mm, result.strain, result.bending_mm, result.cost) < 0.01


@pytest.mark.parametrize("dx", [0.3, -1.5, 4.0])
def test_the_fit_makes_up_for_what_the_match_leaves(dx):
    result, error_px = followed(constant(dx, -dx / 2))
    assert error_px < 0.06
    assert result.shift_mm == pytest.approx(abs(dx) * np.hypot(1, 0.5), abs=0.06)


def test_the_contour_takes_the_shift_of_the_match():
    result, error_px = followed(constant(12.0, -9.0), (12.0, -9.0))
    assert error_px < 0.05
    assert result.shift_mm < 0.05
    assert result.content_px == pytest.approx((92.0, 69.0), abs=0.05)


@given(*[st.floats(-0.06, 0.06)] * 4, *[st.floats(-2.0, 2.0)] * 2)
@settings(max_examples=15, deadline=None)
def test_an_affine_motion_is_followed(xx, xy, yx, yy, dx, dy):
    result, error_px = followed(affine(xx, xy, yx, yy) + constant(dx, dy))
    assert error_px < 0.3
    assert np.isfinite(result.contour_px).all()


def test_a_stretch_is_followed_and_told():
    result, error_px = followed(affine(0, 0, 0, 0.12))
    assert error_px < 0.25
    assert result.strain == pytest.approx(0.13, abs=0.03)


@pytest.mark.parametrize("degrees", [-15.0, 5.0, 15.0])
def test_a_rotation_is_followed(degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    back = affine(1 - cosine, -sine, sine, 1 - cosine)
    assert followed(back)[1] < 0.3


def test_a_local_bulge_is_followed_and_told():
    result, error_px = followed(bulge(3.0))
    assert error_px < 0.5
    assert result.bending_mm > 0.05


def test_the_centre_of_the_outline_and_that_of_the_content_may_differ():
    frame, truth = moved(scene(), bulge(4.0, 9.0))
    result = Watched(scene()).propagate(frame)
    inside = cv2.fillPoly(np.zeros((160, 160), np.uint8), [CIRCLE.round().astype(np.int32)], 1) > 0
    content = CENTRE[0] + float(bulge(4.0, 9.0)[0][inside].mean())
    assert result.content_px[0] == pytest.approx(content, abs=0.35)
    assert contour_centroid(result.contour_px)[0] == pytest.approx(contour_centroid(truth)[0], abs=0.5)


def test_noise_does_not_tear_the_contour():
    assert followed(constant(1.0, 1.0), noise=25.0)[1] < 0.4


@pytest.mark.parametrize(("gain", "offset"), [(0.2, 0.0), (3.0, 0.0), (1.0, 5000.0)])
def test_gain_and_offset_change_nothing(gain, offset):
    frame, truth = moved(scene(), constant(1.3, -0.8))
    result = Watched(scene()).propagate(gain * frame + offset)
    assert np.linalg.norm(result.contour_px - truth, axis=1).mean() < 0.06
    assert result.score > 0.99


def test_shading_moves_the_contour_little():
    frame, truth = moved(scene(), constant(1.3, -0.8))
    result = Watched(scene()).propagate(frame * (1.0 + 0.3 * (COLUMNS - 80) / 80))
    assert np.linalg.norm(result.contour_px - truth, axis=1).mean() < 0.15


def test_doubt_grows_when_the_frame_shows_something_else():
    watched = Watched(scene())
    same, other = watched.propagate(scene()), watched.propagate(scene(9))
    assert other.score < 0.6 < same.score
    assert other.precision_mm > 3 * same.precision_mm


def test_the_last_motion_that_was_kept_is_begun_with_as_well():
    frame, truth = moved(scene(), constant(9.0, -7.0))
    watched, blind = Watched(scene()), Watched(scene())
    watched.fit.keep(watched.propagate(frame, 9.0, -7.0))
    again, lost = watched.propagate(frame, -9.0, 9.0), blind.propagate(frame, -9.0, 9.0)
    assert np.linalg.norm(again.contour_px - truth, axis=1).mean() < 0.06
    assert np.linalg.norm(lost.contour_px - truth, axis=1).mean() > 1.0


def test_under_a_stretch_a_shift_alone_scores_less():
    result, _ = followed(affine(0, 0, 0, 0.12))
    assert result.score_shifted < result.score - 0.05


def test_a_flat_frame_gives_a_contour_and_no_score():
    result = Watched(scene()).propagate(np.full((160, 160), 7.0))
    assert np.isfinite(result.contour_px).all()
    assert result.score == 0.0


def test_a_flat_template_is_known_to_be_imprecise():
    result = Watched(np.full((160, 160), 7.0, np.float32)).propagate(scene())
    assert np.isfinite(result.contour_px).all()
    assert result.precision_mm == MAX_PRECISION_MM


def test_a_target_carried_out_of_the_image_says_how_far_and_has_no_score():
    result = Watched(scene()).propagate(scene(), 300.0, 0.0)
    assert result.beyond_image_px > 100.0
    assert result.score == 0.0


def test_what_was_filled_in_a_band_does_not_count():
    pixels = scene()
    pixels[74:81] = scene(9)[74:81]
    frame, truth = moved(scene(), constant(0.0, 2.0))
    frame[74:81] = scene(9)[74:81]
    errors = []
    for bands in (SaturationBands(rows=((74, 80),)), SaturationBands()):
        result = Watched(pixels, bands).propagate(frame, 0.0, 2.0)
        errors.append(np.linalg.norm(result.contour_px - truth, axis=1).mean())
    assert errors[0] < 0.7 * errors[1]


def test_a_contour_around_no_pixel_is_refused():
    picture = Picture((160, 160), 1.0, 20.0)
    picture.load(scene())
    with pytest.raises(ValueError, match="covers no pixel"):
        ContourFit(picture, CIRCLE + 500, CENTRE, 6.0, 1.0)


@given(st.integers(0, 1000), st.integers(3, 80))
@settings(max_examples=25, deadline=None)
def test_the_compiled_centroid_is_the_plain_one(seed, points):
    outline = np.random.default_rng(seed).uniform(0, 350, (points, 2)).astype(np.float32)
    assert centroid_of(outline) == pytest.approx(contour_centroid(outline), rel=1e-6, abs=1e-6)


def test_a_line_has_no_compiled_centroid():
    assert np.isnan(centroid_of(np.array([[1, 1], [2, 2], [3, 3]], np.float32))).all()
