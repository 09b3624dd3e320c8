"""Predictors: where each is exact, that none looks ahead, and that a bad one switches itself off."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bench_prediction import (
    SklearnRidge,
    StatsmodelsAutoReg,
    bench,
    markdown,
    predict_all,
    score,
)
from bench.motion_traces import read_trace
from gating.prediction import FOR_MACHINES, MAX_HORIZON_S, Kalman, Persistence, Ridge, Watched, make_predictor

EVERY = [*FOR_MACHINES]
pytestmark = pytest.mark.usefixtures("one_thread")


def uneven_times(seconds: float, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.08, 0.2, int(seconds / 0.14)))


def breathing(t: np.ndarray, period_s: float = 4.0) -> np.ndarray:
    phase = 2 * np.pi * t / period_s
    return np.stack([1 + 6 * np.cos(phase) ** 2, -2 * np.cos(phase - 0.4)], axis=1)


def misses(predictor, t, p, truth, horizon_s):
    said = predict_all(predictor, (t, p), horizon_s)
    return np.linalg.norm(said - truth(t + horizon_s), axis=1)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_predicted_before_the_first_position(name):
    assert np.isnan(make_predictor(name).predict(0.25)).all()


@pytest.mark.parametrize("name", EVERY)
def test_a_target_that_stands_still_is_predicted_where_it_is(name):
    t = uneven_times(20)
    said = predict_all(make_predictor(name), (t, np.tile([3.0, -2.0], (len(t), 1))), 0.25)
    np.testing.assert_allclose(said, np.tile([3.0, -2.0], (len(t), 1)), atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_later_positions_do_not_change_earlier_predictions(name):
    t = uneven_times(30)
    p = breathing(t)
    whole = predict_all(make_predictor(name), (t, p), 0.3)
    other = p.copy()
    other[150:] += 50.0
    np.testing.assert_array_equal(predict_all(make_predictor(name), (t, other), 0.3)[:150], whole[:150])


@pytest.mark.parametrize("name", EVERY)
def test_a_position_that_is_nan_or_not_later_is_skipped(name):
    t = uneven_times(20)
    clean, dirty = make_predictor(name), make_predictor(name)
    for when, position in zip(t, breathing(t), strict=True):
        clean.observe(when, position)
        dirty.observe(when, position)
        dirty.observe(when + 0.01, (np.nan, 1.0))
        dirty.observe(when - 0.01, (99.0, 99.0))
        np.testing.assert_array_equal(clean.predict(0.2), dirty.predict(0.2))


@pytest.mark.parametrize("name", ["ridge", "rls", "blend"])
def test_regular_breathing_is_learned_on_uneven_samples(name):
    t = uneven_times(80)
    late = t > 40
    ours = misses(make_predictor(name), t, breathing(t), breathing, 0.25)[late]
    still = misses(Persistence(), t, breathing(t), breathing, 0.25)[late]
    assert np.sqrt((ours**2).mean()) < 0.25 * np.sqrt((still**2).mean())


def test_constant_velocity_is_exact_for_constant_velocity():
    t = uneven_times(30)
    assert misses(Kalman(), t, np.outer(t, [3.0, -1.0]), lambda s: np.outer(s, [3.0, -1.0]), 0.4)[-1] < 0.02


def test_sliding_sums_give_the_ridge_regression_of_the_whole_window():
    t, window_s, span_s, penalty, horizon_s = np.arange(0, 60, 0.1), 12.0, 1.0, 0.01, 0.25
    p = breathing(t) + np.random.default_rng(3).normal(0, 0.2, (len(t), 2))
    said = predict_all(Ridge(window_s, span_s, penalty), (t, p), horizon_s)[-1]

    def at(when):
        return np.stack([np.interp(when, t, axis) for axis in p.T], axis=-1)

    lags_s = 0.1 * np.arange(1, 11)
    inside = np.flatnonzero((t >= t[-1] - window_s) & (t + horizon_s <= t[-1]))
    mean = p[inside].mean(axis=0)

    def row(index):
        return np.concatenate([p[index] - mean, (at(t[index] - lags_s) - p[index]).ravel(), [1.0]])

    x, moved = np.array([row(i) for i in inside]), at(t[inside] + horizon_s) - p[inside]
    gram = x.T @ x
    penalised = np.append(np.full(len(gram) - 1, gram.diagonal()[:-1].mean()), len(inside))
    gram += penalty * np.diag(penalised) + 1e-9 * np.eye(len(gram))
    now = row(len(t) - 1)
    leverage = now @ np.linalg.solve(gram, now)
    expected = p[-1] + now @ np.linalg.solve(gram, x.T @ moved) / (1 + leverage)
    np.testing.assert_allclose(said, expected, atol=1e-6)


def test_a_misleading_predictor_is_not_used():
    class Misleading(Persistence):
        def predict(self, horizon_s):
            return super().predict(horizon_s) + 5.0

    watched = Watched(Misleading())
    t = uneven_times(60)
    said = predict_all(watched, (t, breathing(t)), 0.25)
    assert not watched.believed
    np.testing.assert_array_equal(said, breathing(t))


def test_a_predictor_that_turns_bad_is_switched_off_and_comes_back():
    t = uneven_times(240)
    p = breathing(t)
    wild = (t > 80) & (t < 140)
    p[wild] = np.random.default_rng(1).normal(0, 4, (int(wild.sum()), 2))
    watched = Watched(Kalman())
    believed = []
    for when, position in zip(t, p, strict=True):
        watched.observe(when, position)
        watched.predict(0.1)
        believed.append(watched.believed)
    believed = np.array(believed)
    assert believed[t < 80][-1]
    assert not believed[(t > 110) & (t < 140)].any()
    assert believed[-1]


def test_the_horizon_is_capped():
    t = uneven_times(60)
    watched = make_predictor("ridge")
    predict_all(watched, (t, breathing(t)), MAX_HORIZON_S)
    np.testing.assert_array_equal(watched.predict(30.0), watched.predict(MAX_HORIZON_S))


def test_after_a_gap_learning_starts_anew():
    t = uneven_times(30)
    ridge, fresh = Ridge(), Ridge()
    predict_all(ridge, (t, breathing(t)), 0.25)
    after = t + t[-1] + 5.0
    np.testing.assert_array_equal(
        predict_all(ridge, (after, breathing(after)), 0.25), predict_all(fresh, (after, breathing(after)), 0.25)
    )


def test_a_long_session_is_remembered_only_as_far_as_needed():
    t = np.arange(0, 200, 0.016)
    ours = misses(Ridge(20.0), t, breathing(t), breathing, 0.25)
    assert ours[-500:].max() < 0.1


@given(scale=st.floats(0.01, 20), offset=st.floats(-300, 300))
@settings(max_examples=15, deadline=None)
def test_unit_and_origin_of_the_position_do_not_matter(scale, offset):
    t = uneven_times(20)
    p = breathing(t)
    plain = predict_all(Ridge(), (t, p), 0.25)
    other = predict_all(Ridge(), (t, scale * p + offset), 0.25)
    np.testing.assert_allclose((other - offset) / scale, plain, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
@given(
    p=st.lists(st.tuples(st.floats(), st.floats()), max_size=40),
    dt=st.lists(st.floats(0, 2), min_size=40, max_size=40),
    horizon_s=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_no_input_makes_a_predictor_fail(name, p, dt, horizon_s):
    predictor = make_predictor(name)
    with np.errstate(all="ignore"):
        for when, position in zip(np.cumsum(dt), p, strict=False):
            predictor.observe(float(when), position)
            predictor.predict(horizon_s)


def test_an_unknown_predictor_is_refused():
    with pytest.raises(ValueError, match=r"predictor is 'lstm'; one of persistence, .*, blend is needed"):
        make_predictor("lstm")


@pytest.mark.parametrize("name", ["LiverTraj_RegularBreathing70s_robot.txt", "LiverTraj_LargeSI70s_robot.txt"])
@pytest.mark.parametrize(("horizon_s", "share", "most_mm"), [(0.25, 0.6, 1.0), (0.5, 0.6, 1.3)])
def test_regular_liver_motion_is_predicted_to_the_goal(shared_data, name, horizon_s, share, most_mm):
    trace = read_trace(shared_data / "traces" / name)
    ours = score(predict_all(make_predictor("ridge"), trace, horizon_s), trace, horizon_s)["rmse_mm"]
    still = score(predict_all(Persistence(), trace, horizon_s), trace, horizon_s)["rmse_mm"]
    assert ours <= share * still
    assert ours <= most_mm


@pytest.mark.parametrize("horizon_s", [0.1, 0.25, 0.5])
def test_prediction_is_worse_than_persistence_on_none_of_the_traces(shared_data, horizon_s):
    for path in sorted((shared_data / "traces").iterdir()):
        trace = tuple(column[:2000] for column in read_trace(path))
        ours = score(predict_all(make_predictor("ridge"), trace, horizon_s), trace, horizon_s)["rmse_mm"]
        still = score(predict_all(Persistence(), trace, horizon_s), trace, horizon_s)["rmse_mm"]
        assert ours <= still, path.name


def test_a_regular_marker_is_predicted_to_the_goal(shared_data):
    trace = read_trace(shared_data / "traces" / "201205181211-LAC-1-N-320-6.csv")
    ours = score(predict_all(make_predictor("ridge"), trace, 0.25), trace, 0.25)["rmse_mm"]
    assert ours <= 0.6 * score(predict_all(Persistence(), trace, 0.25), trace, 0.25)["rmse_mm"]


def test_the_blend_is_better_than_ridge_where_breathing_is_regular(shared_data):
    t, p = (column[:300] for column in read_trace(shared_data / "traces" / "LiverTraj_RegularBreathing70s_robot.txt"))
    errors = {}
    for name in ("ridge", "blend"):
        predictor, said = make_predictor(name), []
        for when, position in zip(t, p, strict=True):
            predictor.observe(when, position)
            said.append(predictor.predict(0.4))
        errors[name] = np.linalg.norm(np.array(said)[100:-2] - p[102:], axis=1)
    assert np.sqrt(np.mean(errors["blend"] ** 2)) < 0.85 * np.sqrt(np.mean(errors["ridge"] ** 2))


def slow_ms(rate_hz: float) -> float:
    """Time of a prediction for which the kernel is fitted, which happens once a second."""
    t, blend, took_ns = np.arange(0, 25, 1 / rate_hz), make_predictor("blend"), []
    for when, position in zip(t, breathing(t), strict=True):
        begin_ns = time.process_time_ns()
        blend.observe(when, position)
        blend.predict(0.3)
        took_ns.append(time.process_time_ns() - begin_ns)
    return float(np.median(np.sort(took_ns)[-9:])) / 1e6


def test_a_fit_takes_no_longer_where_images_come_faster():
    assert slow_ms(50.0) < 6 * slow_ms(10.0)


@pytest.mark.parametrize("peer", [SklearnRidge, StatsmodelsAutoReg])
def test_steady_breathing_is_predicted_as_well_as_by_a_peer(shared_data, peer):
    trace = tuple(c[:400] for c in read_trace(shared_data / "traces" / "LiverTraj_RegularBreathing70s_robot.txt"))
    ours, theirs = (
        score(predict_all(predictor, trace, 0.25), trace, 0.25)["rmse_mm"]
        for predictor in (make_predictor("ridge"), peer())
    )
    assert ours <= 1.1 * theirs


@pytest.mark.slow
def test_the_document_holds_what_the_bench_prints(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = bench(shared_data / "traces" / "LiverTraj_RegularBreathing70s_robot.txt")
    document = (Path(__file__).parents[2] / "docs" / "gating.md").read_text()
    assert all(line in document for line in markdown(rows).splitlines())
