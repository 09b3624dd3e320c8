"""The tracker's compiled steps against plain numpy and scipy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares

from gating.tracking.motion_fit import fit_affine, motion_at, score_at
from gating.tracking.rivals import best_two


@given(seed=st.integers(0, 10_000), apart=st.floats(0.5, 30.0), cost=st.floats(0.0, 0.1))
@settings(max_examples=60, deadline=None)
def test_the_best_and_the_best_apart_are_those_of_a_full_map(seed, apart, cost):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, (rng.integers(3, 24), 32)).astype(np.float32)[:, : rng.integers(3, 32)]
    row, column, step = 4.3, 7.9, 2.0
    rows, columns = np.indices(scores.shape)
    distance = step * np.hypot(rows - row, columns - column)
    doubt = [doubted(score) for score in scores.ravel().tolist()]
    preference = scores - cost * np.maximum(distance - 3.0, 0.0) * np.reshape(doubt, scores.shape)
    best = np.unravel_index(np.argmax(preference), scores.shape)
    far = np.hypot(rows - best[0], columns - best[1]) * step > apart
    r, c, value, r2, _, rival = best_two(scores, row, column, step, 3.0, cost, apart)
    assert (r, c) == best
    assert np.isclose(value, preference.max())
    assert (r2 >= 0) == far.any()
    if far.any():
        assert np.isclose(rival, preference[far].max())


def doubted(score):
    """Slope of log(1 - r^2) at 0.9 over that at the score, at least 1; as at 0.2 below that."""
    slope = [2 * r / (1 - r * r) for r in (0.9, max(score, 0.2))]
    return max(slope[0] / slope[1], 1.0)


def flow_problem(seed):
    rng = np.random.default_rng(seed)
    rows, columns = (index.ravel() for index in np.indices((12, 14)))
    basis = np.column_stack([np.ones(rows.size), (rows - 6) / 6.0, (columns - 7) / 7.0])
    truth = rng.normal(0, 1, (3, 2))
    flow = np.zeros((24, 28, 2), np.float32)
    flow[2 * rows, 2 * columns] = basis @ truth + rng.normal(0, 0.05, (rows.size, 2))
    return rng, rows, columns, np.ascontiguousarray(basis), truth, flow


def fitted(flow, rows, columns, basis, texture, rounds=2):
    affine, rest = np.empty((3, 2)), np.zeros((12, 14, 3), np.float32)
    mean, scatter = fit_affine(flow, rows, columns, basis, texture, 2.0, 0.0, rounds, affine, rest)
    return affine, rest, mean, scatter


def test_without_reweighting_the_fit_is_weighted_least_squares():
    rng, rows, columns, basis, _, flow = flow_problem(1)
    texture = rng.uniform(0.1, 1, rows.size)
    affine, *_ = fitted(flow, rows, columns, basis, texture, rounds=0)
    seen = flow[2 * rows, 2 * columns].astype(float)
    root = np.sqrt(texture)[:, None]
    np.testing.assert_allclose(affine, np.linalg.lstsq(basis * root, seen * root, rcond=None)[0], atol=1e-9)


def test_many_rounds_reach_the_cauchy_estimate_and_ignore_an_outlier():
    _, rows, columns, basis, truth, flow = flow_problem(2)
    flow[:6, :6] += 40.0
    texture = np.ones(rows.size)
    affine, *_ = fitted(flow, rows, columns, basis, texture, rounds=200)
    seen = flow[2 * rows, 2 * columns].astype(float)

    def deviation(x):
        return np.linalg.norm(seen - basis @ x.reshape(3, 2), axis=1) / 2.0

    robust = least_squares(deviation, truth.ravel(), loss="cauchy").x.reshape(3, 2)
    np.testing.assert_allclose(affine, robust, atol=2e-3)
    np.testing.assert_allclose(affine, truth, atol=0.1)


def test_the_residual_is_the_weighted_deviation_and_the_scatter_its_rms():
    rng, rows, columns, basis, _, flow = flow_problem(3)
    texture = rng.uniform(0.1, 1, rows.size)
    affine, rest, mean, scatter = fitted(flow, rows, columns, basis, texture)
    deviation = flow[2 * rows, 2 * columns] - basis @ affine
    np.testing.assert_allclose(rest[rows, columns, :2], deviation * rest[rows, columns, 2:], atol=1e-5)
    np.testing.assert_allclose(mean, rest[rows, columns, 2].mean(), rtol=1e-6)
    expected = np.sqrt((texture * (deviation**2).sum(axis=1)).sum() / texture.sum())
    np.testing.assert_allclose(scatter, expected, rtol=1e-6)


def places_and_basis(rng, count=50):
    places = rng.uniform(-4.0, 32.0, (count, 2))
    return places, np.column_stack([np.ones(count), places / 10.0])


def test_motion_at_a_point_is_affine_plus_the_interpolated_residual():
    rng = np.random.default_rng(4)
    places, basis = places_and_basis(rng)
    rest = rng.uniform(0.1, 1.0, (12, 14, 3)).astype(np.float32)
    affine, motion = rng.normal(0, 1, (3, 2)), np.empty((len(places), 2))
    motion_at(places, basis, rest, 0.2, affine, motion)
    smooth = rest[..., :2] / (rest[..., 2:] + 0.2)
    half = (places[:, ::-1] / 2.0).T
    expected = basis @ affine
    expected += np.column_stack(
        [map_coordinates(smooth[..., k], half, order=1, mode="grid-constant", output=float) for k in (0, 1)]
    )
    np.testing.assert_allclose(motion, expected, atol=1e-5)


def test_the_score_is_the_correlation_with_the_region_at_the_moved_places():
    rng = np.random.default_rng(5)
    places, _ = places_and_basis(rng, 200)
    motion = rng.normal(0, 2, places.shape)
    region = rng.integers(0, 256, (24, 28)).astype(np.uint8)
    at = (places + motion)[:, ::-1].T
    seen = map_coordinates(region.astype(float), at, order=1, mode="grid-constant")
    values = seen + rng.normal(0, 40, len(seen))
    values -= values.mean()
    values /= np.linalg.norm(values)
    expected = np.corrcoef(values, seen)[0, 1]
    np.testing.assert_allclose(score_at(region, places, motion, values), expected, rtol=1e-6)


def test_a_flat_region_scores_0():
    places = np.array([[3.0, 3.0], [5.0, 6.0], [7.0, 4.0]])
    values = np.array([1.0, 0.0, -1.0]) / np.sqrt(2.0)
    assert score_at(np.full((12, 12), 90, np.uint8), places, np.zeros((3, 2)), values) == 0.0
