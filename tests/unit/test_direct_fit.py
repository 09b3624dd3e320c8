"""The kernels of the direct fit against scipy and OpenCV, and the laws of the fit."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import least_squares

from gating.tracking.bending import AFFINE, BendingModes
from gating.tracking.direct_fit import CLIP, RIDGE, FitProblem, align, deviation_px, prepare_fit
from gating.tracking.local_contrast import LocalContrast
from gating.tracking.sampling import displace, sample, score_at, work_for

SHAPE, CENTRE, LENGTH_PX = (120, 140), np.array([68.0, 57.0]), 25.0
SEEDS, SHIFTS, GRADIENTS = st.integers(0, 1000), st.floats(-2.5, 2.5), st.floats(-0.06, 0.06)


def scene(seed: int = 3, sigma: float = 3.0) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), sigma)
    return (300.0 + 60.0 * field / field.std()).astype(np.float32)


def contrast(pixels: np.ndarray) -> np.ndarray:
    seen = LocalContrast(SHAPE, 41.0)
    seen.load(np.ascontiguousarray(pixels, np.float32))
    return seen.image


def lattice(step: int = 2) -> np.ndarray:
    rows, columns = np.mgrid[27:88:step, 38:99:step]
    return np.stack([columns.ravel(), rows.ravel()]).astype(np.float32)


def functions(count: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    modes = BendingModes(CENTRE - 30.0, CENTRE + 30.0, CENTRE, LENGTH_PX, count)
    return np.ascontiguousarray(modes.at(places.T)), modes.energies


def problem(image: np.ndarray, count: int = 0) -> FitProblem:
    places = lattice()
    basis, energies = functions(count, places)
    return prepare_fit(image, places, basis, energies, LENGTH_PX, 2.0)


def affine(dx: float = 0.0, dy: float = 0.0, gradients: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)) -> np.ndarray:
    """Coefficients (3, 2) of a shift in px and the gradients xx, xy, yx, yy."""
    xx, xy, yx, yy = (LENGTH_PX * gradient for gradient in gradients)
    return np.array([[dx, dy], [xx, yx], [xy, yy]])


def moved(pixels: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The frame in which what was at p is at p + motion(p)."""
    matrix = np.eye(2) + coefficients[1:AFFINE].T / LENGTH_PX
    back = np.column_stack([matrix, CENTRE + coefficients[0] - matrix @ CENTRE])
    size = (SHAPE[1], SHAPE[0])
    return np.asarray(cv2.warpAffine(pixels, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def work_with(motion: np.ndarray) -> np.ndarray:
    work = work_for(motion.shape[1])
    work[:2] = motion
    return work


def steepest_of(fit: FitProblem) -> np.ndarray:
    """The change of the image with each coefficient, (2 K, n)."""
    return (fit.basis[:, None] * fit.slopes).reshape(-1, fit.values.size)


def displaced(basis: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    motion = np.zeros((3, basis.shape[1]), np.float32)
    displace(basis, coefficients, motion)
    return motion


def end_error_px(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest distance between two motions over the template."""
    basis, _ = functions(len(found) - AFFINE, lattice())
    return float(np.linalg.norm(basis @ found - basis[:, :AFFINE] @ truth, axis=1).max())


def sampled_by_scipy(image: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values at (2, n) places, and which of them lie inside."""
    inside = (at[0] >= 0) & (at[1] >= 0) & (at[0] <= image.shape[1] - 1) & (at[1] <= image.shape[0] - 1)
    return map_coordinates(image.astype(np.float64), at[::-1], order=1, mode="nearest"), inside


@given(SEEDS, st.integers(0, 8))
@settings(max_examples=15, deadline=None)
def test_a_motion_is_the_sum_of_its_functions(seed, count):
    places = lattice(7)
    basis, _ = functions(count, places)
    coefficients = np.random.default_rng(seed).normal(0, 3, (AFFINE + count, 2))
    motion = displaced(np.ascontiguousarray(basis.T, np.float32), coefficients)
    np.testing.assert_allclose(motion[:2].T, basis @ coefficients, atol=1e-4)
    assert not motion[2].any()


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_an_image_is_sampled_as_scipy_does_and_left_alone_beyond(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (13, 17)).astype(np.float32)
    places, motion = rng.uniform(-3, 19, (2, 80)).astype(np.float32), rng.normal(0, 2, (2, 80)).astype(np.float32)
    values = np.full(80, 7.0, np.float32)
    sample(image, places, work_with(motion), values)
    expected, inside = sampled_by_scipy(image, places + motion)
    np.testing.assert_allclose(values, np.where(inside, expected, 7.0), atol=1e-4)


def test_corners_of_the_image_are_inside_and_nan_is_outside():
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    places = np.array([[0, 4, 4, -0.01, np.nan], [0, 0, 3, 0, 1]], np.float32)
    values = np.full(5, -1.0, np.float32)
    sample(image, places, work_for(5), values)
    assert values.tolist() == [0.0, 4.0, 19.0, -1.0, -1.0]


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_the_score_is_the_correlation_over_what_is_seen(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(200, 30, (13, 17)).astype(np.float32)
    places, motion = rng.uniform(0, 16, (2, 90)).astype(np.float32), rng.normal(0, 3, (2, 90)).astype(np.float32)
    seen, inside = sampled_by_scipy(image, places + motion)
    values = (seen + rng.normal(0, 20, 90)).astype(np.float32)
    score, share = score_at(image, places, work_with(motion), values)
    assert share == pytest.approx(inside.mean())
    assert score == pytest.approx(np.corrcoef(values[inside], seen[inside])[0, 1], abs=1e-5)


@pytest.mark.parametrize("flat", ["template", "frame"])
def test_a_flat_side_scores_0(flat):
    image, values = scene(), np.linspace(0, 1, lattice().shape[1], dtype=np.float32)
    if flat == "template":
        values = np.full_like(values, 90.1)
    else:
        image = np.full_like(image, 90.1)
    assert score_at(image, lattice(), work_for(values.size), values) == (0.0, 1.0)


def test_a_template_that_has_left_the_image_scores_0_and_is_not_seen():
    away = np.full_like(lattice(), 500.0)
    assert score_at(scene(), lattice(), work_with(away), np.ones(lattice().shape[1], np.float32)) == (0.0, 0.0)


def test_the_steepest_descent_images_are_derivatives_by_the_coefficients():
    image = contrast(scene())
    fit = problem(image, 4)
    base, _ = sampled_by_scipy(image, lattice())
    steepest = steepest_of(fit)
    for index in range(len(steepest)):
        coefficients = np.zeros((AFFINE + 4, 2))
        coefficients.flat[index] = 0.05
        seen, _ = sampled_by_scipy(image, lattice() + displaced(fit.basis, coefficients)[:2])
        slope = np.corrcoef((seen - base) / 0.05, steepest[index])[0, 1]
        assert slope > 0.97


def test_a_first_step_is_that_of_gauss_and_newton():
    image = contrast(scene())
    frame = contrast(moved(scene(), affine(0.4, -0.3)))
    fit = problem(image, 3)
    coefficients = np.zeros((AFFINE + 3, 2))
    align(fit, frame, coefficients, 1)
    seen, _ = sampled_by_scipy(frame, lattice())
    difference = np.clip(seen - fit.values, -CLIP, CLIP)
    noise = fit.shared * (difference**2).mean()
    steepest, penalty = steepest_of(fit).T.astype(np.float64), noise * fit.prior
    hessian = steepest.T @ steepest
    hessian += penalty + RIDGE * (hessian[0, 0] + hessian[1, 1]) / 2.0 * np.eye(len(hessian))
    np.testing.assert_allclose(coefficients.ravel(), -np.linalg.solve(hessian, steepest.T @ difference), atol=2e-4)


def test_the_fit_reaches_the_least_cost_that_scipy_finds():
    image = contrast(scene())
    truth = affine(1.1, -0.8, (0.03, -0.01, 0.02, -0.04))
    noise = np.random.default_rng(4).normal(0, 4, SHAPE)
    frame = contrast(moved(scene(), truth) + noise)
    fit = problem(image, 4)
    found = np.zeros((AFFINE + 4, 2))
    noise = fit.shared * align(fit, frame, found, 40)
    root = np.linalg.cholesky(noise * fit.prior + 1e-9 * np.eye(len(fit.prior))).T

    def residuals(x: np.ndarray) -> np.ndarray:
        seen, _ = sampled_by_scipy(frame, lattice() + (fit.basis.T @ x.reshape(-1, 2)).T)
        return np.concatenate([seen - fit.values, root @ x])

    best = least_squares(residuals, found.ravel(), diff_step=1e-3)
    basis = fit.basis.T.astype(np.float64)
    apart = basis @ (best.x.reshape(-1, 2) - found)
    assert np.sqrt((apart**2).sum(axis=1).mean()) < 0.08
    assert (residuals(found.ravel()) ** 2).sum() < 1.05 * 2.0 * best.cost


def fit_of_a_small_target(truth: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Coefficients found for a target of 28 px in the next frame; both have noise (the picture's deviation is 60)."""
    rng = np.random.default_rng(seed)
    first, second = (
        contrast(gaussian_filter(pixels + rng.normal(0, noise, SHAPE), 1.0))
        for pixels in (scene(), moved(scene(), truth))
    )
    places = lattice(1)
    places = np.ascontiguousarray(places[:, np.hypot(*(places - CENTRE[:, None])) <= 14.0], np.float32)
    modes = BendingModes(CENTRE - 14.0, CENTRE + 14.0, CENTRE, LENGTH_PX, 6)
    found = np.zeros((AFFINE + 6, 2))
    align(prepare_fit(first, places, modes.at(places.T), modes.energies, LENGTH_PX, 1.0), second, found, 40)
    return found


def test_a_clear_target_is_deformed_as_it_is():
    strained = fit_of_a_small_target(affine(gradients=(0.0, 0.0, 0.0, -0.08)), 1.0, 0)
    assert strained[2, 1] / LENGTH_PX == pytest.approx(-0.08, abs=0.01)


def test_noise_does_not_deform_a_target():
    """Two frames of a target at rest, with noise of twice its contrast: it may be shifted, hardly deformed."""
    gradients = np.array([fit_of_a_small_target(affine(), 120.0, seed) for seed in range(8)])[:, 1:AFFINE] / LENGTH_PX
    strain, turned = gradients + gradients.transpose(0, 2, 1), gradients - gradients.transpose(0, 2, 1)
    assert np.abs(strain).mean() / 2 < 0.015
    assert np.abs(turned[:, 0, 1]).mean() / 2 < 0.05


@given(SEEDS, SHIFTS, SHIFTS, GRADIENTS, GRADIENTS, GRADIENTS, GRADIENTS)
@settings(max_examples=20, deadline=None)
def test_a_known_affine_motion_is_found(seed, dx, dy, xx, xy, yx, yy):
    truth = affine(dx, dy, (xx, xy, yx, yy))
    found = np.zeros((AFFINE, 2))
    align(problem(contrast(scene(seed))), contrast(moved(scene(seed), truth)), found, 40)
    assert np.linalg.norm(found[0] - truth[0]) < 0.07
    assert end_error_px(found, truth) < 0.2


def test_opencvs_ecc_finds_the_same_affine_motion():
    truth = affine(1.4, -2.0, (0.03, -0.02, 0.04, -0.03))
    frame = moved(scene(), truth)
    found = np.zeros((AFFINE, 2))
    align(problem(contrast(scene())), contrast(frame), found, 40)
    corner = np.array([38.0, 27.0])
    start = np.column_stack([np.eye(2), corner]).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-8)
    template = np.ascontiguousarray(scene()[27:88, 38:99])
    matrix = cv2.findTransformECC(template, frame, start, cv2.MOTION_AFFINE, stop, None, 1)[1]
    shift = matrix @ np.array([*(CENTRE - corner), 1.0]) - CENTRE
    ecc = affine(*shift, tuple((matrix[:, :2] - np.eye(2)).ravel()))
    assert end_error_px(ecc, truth) < 0.1
    assert end_error_px(found, ecc) < 0.1


@given(st.floats(0.1, 10.0), st.floats(-500.0, 500.0), st.floats(-0.3, 0.3))
@settings(max_examples=12, deadline=None)
def test_gain_offset_and_shading_do_not_move_the_fit(gain, offset, slope):
    truth = affine(1.2, 0.7)
    shading = 1.0 + slope * np.linspace(-1, 1, SHAPE[1])
    frame = gain * (moved(scene(), truth) * shading) + offset
    found = np.zeros((AFFINE, 2))
    align(problem(contrast(scene())), contrast(frame), found, 40)
    assert end_error_px(found, truth) < 0.35


def test_a_composed_step_is_exact_for_affine_motions():
    image = contrast(scene())
    start, rest = affine(4.0, -3.0, (0.0, 0.3, -0.3, 0.0)), affine(0.3, 0.2)
    matrix = np.eye(2) + start[1:].T / LENGTH_PX
    truth = start.copy()
    truth[0] += matrix @ rest[0]
    found = start.copy()
    align(problem(image), contrast(moved(scene(), truth)), found, 1)
    assert np.linalg.norm(found[0] - truth[0]) < 0.06


def test_the_same_image_again_does_not_move():
    found = np.zeros((AFFINE + 6, 2))
    cost = align(problem(contrast(scene()), 6), contrast(scene()), found, 20)
    assert np.abs(found).max() < 1e-6
    assert cost == pytest.approx(0.0, abs=1e-9)


def test_without_steps_the_motion_stays_and_the_cost_is_told():
    fit, start = problem(contrast(scene())), affine(1.0, 2.0)
    found = start.copy()
    cost = align(fit, contrast(scene()), found, 0)
    assert np.array_equal(found, start)
    assert 0.0 < cost <= CLIP**2


def test_something_else_costs_more_than_noise():
    fit = problem(contrast(scene()))
    noisy = contrast(scene() + np.random.default_rng(1).normal(0, 5, SHAPE))
    costs = [align(fit, frame, np.zeros((AFFINE, 2)), 20) for frame in (noisy, contrast(scene(8)))]
    assert costs[1] > 5.0 * costs[0]


def test_a_hole_in_the_frame_moves_the_fit_little():
    truth = affine(1.0, -1.0)
    frame = moved(scene(), truth)
    frame[50:62, 60:75] = 900.0
    found = np.zeros((AFFINE, 2))
    align(problem(contrast(scene())), contrast(frame), found, 40)
    assert np.linalg.norm(found[0] - truth[0]) < 0.3


@pytest.mark.parametrize("pixels", ["flat", "far", "nan"])
def test_nothing_to_see_gives_finite_numbers_or_the_full_cost(pixels):
    found, frame = np.zeros((AFFINE + 4, 2)), contrast(scene())
    if pixels == "flat":
        frame = np.zeros_like(frame)
    else:
        found[0] = 5000.0 if pixels == "far" else np.nan
    cost = align(problem(contrast(scene()), 4), frame, found, 20)
    assert np.isfinite(cost)
    assert cost == CLIP**2 or pixels == "flat"
    assert np.isfinite(found).all() == (pixels != "nan")


def test_a_flat_template_does_not_move():
    found = np.zeros((AFFINE + 4, 2))
    align(problem(np.zeros(SHAPE, np.float32), 4), contrast(scene()), found, 20)
    assert not found.any()


@given(SEEDS, st.floats(0.0, 0.2))
@settings(max_examples=15, deadline=None)
def test_the_deviation_is_that_of_the_posterior_in_its_worst_direction(seed, cost):
    fit, rng = problem(contrast(scene(seed)), 4), np.random.default_rng(seed)
    function, noise = rng.normal(0.0, 1.0, AFFINE + 4), fit.shared * cost
    steepest = steepest_of(fit).astype(np.float64)
    hessian = steepest @ steepest.T + RIDGE * (np.square(steepest[:2]).sum() / 2.0 + 1e-9) * np.eye(len(steepest))
    mean = np.kron(function, np.eye(2))
    covariance = noise * mean @ np.linalg.inv(hessian + noise * fit.prior) @ mean.T
    assert deviation_px(fit, function, cost) == pytest.approx(math.sqrt(np.linalg.eigvalsh(covariance)[-1]), rel=1e-4)
