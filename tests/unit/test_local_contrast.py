"""Local contrast against plain means and deviations, and what must not change it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from gating.tracking.contrast_kernels import TAPS, block_means, divide, gaussian_taps, smooth
from gating.tracking.local_contrast import LEAST_DEVIATION, Cells, LocalContrast, Picture, window_mm


def texture(shape: tuple[int, int] = (90, 130), seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fine, coarse = (gaussian_filter(rng.normal(0, 1, shape), sigma) for sigma in (1.5, 12.0))
    return (400.0 + 60.0 * fine / fine.std() + 90.0 * coarse / coarse.std()).astype(np.float32)


def contrast(image: np.ndarray, window_px: float) -> np.ndarray:
    seen = LocalContrast(image.shape, window_px)
    seen.load(image)
    return seen.image


def by_scipy(image: np.ndarray, side: int) -> np.ndarray:
    exact = image.astype(np.float64)
    mean = uniform_filter(exact, side, mode="reflect")
    variance = uniform_filter(exact**2, side, mode="reflect") - mean**2
    return np.asarray((exact - mean) / np.sqrt(variance + LEAST_DEVIATION**2 * variance.mean()))


@pytest.mark.parametrize(("window_px", "side"), [(3.0, 5), (7.0, 9), (11.0, 13), (17.0, 17)])
def test_a_narrow_window_gives_what_scipy_gives(window_px, side):
    np.testing.assert_allclose(contrast(texture(), window_px), by_scipy(texture(), side), atol=2e-4)


@pytest.mark.parametrize(("window_px", "side"), [(24.0, 25), (35.0, 37), (50.0, 51), (90.0, 91)])
def test_a_wide_window_gives_nearly_what_scipy_gives(window_px, side):
    ours, exact = contrast(texture((173, 191)), window_px), by_scipy(texture((173, 191)), side)
    assert np.corrcoef(ours.ravel(), exact.ravel())[0, 1] > 0.998
    assert np.sqrt(np.mean((ours - exact) ** 2)) < 0.06


@given(st.floats(0.01, 100.0), st.floats(-5000.0, 5000.0), st.sampled_from([9.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_gain_and_offset_drop_out(gain, offset, window_px):
    changed = np.float32(gain) * texture() + np.float32(offset)
    np.testing.assert_allclose(contrast(changed, window_px), contrast(texture(), window_px), atol=0.02)


def test_smooth_shading_hardly_changes_it():
    columns = np.linspace(-1.0, 1.0, 130, dtype=np.float32)
    seen = contrast(texture() * (1.0 + 0.5 * columns), 15.0)
    assert np.corrcoef(seen.ravel(), contrast(texture(), 15.0).ravel())[0, 1] > 0.98


@pytest.mark.parametrize("window_px", [9.0, 50.0])
def test_a_flat_image_has_no_contrast(window_px):
    assert np.abs(contrast(np.full((60, 70), 812.5, np.float32), window_px)).max() < 1e-3


@given(st.integers(16, 70), st.integers(16, 70), st.floats(1.0, 200.0))
@settings(max_examples=25, deadline=None)
def test_any_size_and_window_gives_finite_numbers_of_that_size(rows, columns, window_px):
    seen = contrast(texture((rows, columns)), window_px)
    assert seen.shape == (rows, columns)
    assert seen.flags.c_contiguous
    assert np.isfinite(seen).all()


def test_a_large_offset_does_not_cost_precision():
    np.testing.assert_allclose(contrast(texture() + 60000.0, 15.0), contrast(texture(), 15.0), atol=0.02)


def test_the_result_is_overwritten_by_the_next_image():
    seen = LocalContrast((90, 130), 30.0)
    seen.load(texture(seed=2))
    first = seen.image
    seen.load(texture())
    np.testing.assert_array_equal(first, contrast(texture(), 30.0))


def test_a_pixel_of_the_coarse_grid_is_the_contrast_of_block_means():
    picture = Picture((96, 129), 1.0, 30.0)
    picture.load(texture((96, 129)).astype(np.uint16))
    blocks = picture.smooth[:96, :129].reshape(32, 3, 43, 3).mean(axis=(1, 3))
    smooth = gaussian_filter(blocks.astype(np.float64), 0.7, mode="mirror", truncate=4.0)
    assert picture.step == 3
    assert np.corrcoef(picture.coarse.ravel(), by_scipy(smooth, 15).ravel())[0, 1] > 0.998


@pytest.mark.parametrize(("side_mm", "width_mm"), [(10.0, 20.0), (40.0, 28.0), (120.0, 50.0)])
def test_the_window_is_as_wide_as_the_targets_structures(side_mm, width_mm):
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * side_mm / 2.0
    assert window_mm(corners, 2.0) == pytest.approx(width_mm)


@given(st.integers(5, 60), st.integers(5, 60), st.floats(0.3, 1.2))
@settings(max_examples=20, deadline=None)
def test_smoothing_is_what_opencv_smooths(rows, columns, sigma_px):
    image = np.random.default_rng(rows).normal(300.0, 90.0, (rows, columns)).astype(np.float32)
    line, out = np.zeros(columns + 2 * TAPS - 2, np.float32), np.zeros_like(image)
    smooth(image, gaussian_taps(sigma_px), line, out)
    np.testing.assert_allclose(out, cv2.GaussianBlur(image, (9, 9), sigma_px), atol=2e-3)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_cells_hold_means_of_the_mirrored_image_and_of_its_squares(side):
    image = texture((37, 45))
    cells = Cells(image.shape, side)
    cells.load(image, np.float32(400.0))
    padding = [(0, -length % side) for length in image.shape]
    whole = np.pad(image.astype(np.float64) - 400.0, padding, mode="symmetric")
    blocks = whole.reshape(whole.shape[0] // side, side, whole.shape[1] // side, side)
    np.testing.assert_allclose(cells.values, blocks.mean(axis=(1, 3)), atol=2e-3)
    np.testing.assert_allclose(cells.squares, (blocks**2).mean(axis=(1, 3)), rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_division_is_by_maps_that_opencv_enlarges(side):
    rng = np.random.default_rng(side)
    image = rng.normal(0.0, 50.0, (48, 56)).astype(np.float32)
    grid = 48 // side, 56 // side
    means, spreads = rng.normal(0.0, 9.0, grid).astype(np.float32), rng.uniform(20.0, 60.0, grid).astype(np.float32)
    out = np.zeros_like(image)
    divide(image, np.float32(3.0), side, means, spreads, np.zeros((3, 58), np.float32), out)
    mean, spread = (cv2.resize(one, (56, 48), interpolation=cv2.INTER_LINEAR) for one in (means, spreads))
    np.testing.assert_allclose(out, (image - 3.0 - mean) / spread, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7])
def test_block_means_are_those_of_opencv(side):
    image = np.random.default_rng(side).uniform(0, 4000, (59, 83)).astype(np.float32)
    rows, columns = 59 // side, 83 // side
    means = np.zeros((rows, columns), np.float32)
    block_means(image, side, np.zeros(83, np.float32), means)
    whole = image[: rows * side, : columns * side]
    expected = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(means, expected, rtol=1e-6)
