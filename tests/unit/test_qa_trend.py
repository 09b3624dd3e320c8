"""Control limits: how long they take to find a shift, and how seldom they signal without one."""

from __future__ import annotations

import numpy as np
import pytest

from bench.qa_run_lengths import Limits, run_lengths
from gating.analysis.trend import DECISION_SIGMA, SHEWHART_SIGMA, watch
from gating.qa.procedure import load_procedure

DAILY_BASELINE = load_procedure("daily").baseline_runs
NORMAL = np.random.default_rng(3).normal(100, 2, 50)


def series(*later: float) -> list[float]:
    return [*NORMAL.tolist(), *later]


def trend_of(values, tolerance=10.0, good=None):
    return watch(values, [True] * len(values) if good is None else good, 50, tolerance)


@pytest.mark.parametrize("baseline", [None, DAILY_BASELINE], ids=["known", "estimated"])
def test_a_shift_of_one_sigma_is_flagged_within_10_sessions(baseline: int | None) -> None:
    assert run_lengths(1.0, Limits(), baseline=baseline, series=8000).mean() <= 10


@pytest.mark.parametrize("baseline", [None, DAILY_BASELINE], ids=["known", "estimated"])
def test_a_step_of_three_sigma_is_flagged_within_2_sessions(baseline: int | None) -> None:
    assert run_lengths(3.0, Limits(), baseline=baseline, series=8000).mean() <= 2


@pytest.mark.parametrize("baseline", [None, DAILY_BASELINE], ids=["known", "estimated"])
def test_a_false_alarm_comes_at_most_once_in_200_sessions(baseline: int | None) -> None:
    assert run_lengths(0.0, Limits(), baseline=baseline, series=8000).mean() >= 200


def test_the_simulated_limits_are_those_that_watch_the_runs() -> None:
    """The same series through the simulation's law and through the trend itself."""
    random, lengths = np.random.default_rng(7), []
    for _ in range(150):
        values = np.concatenate([random.standard_normal(50), random.standard_normal(60) + 1])
        signals = watch(values, [True] * len(values), 50, 0.0).signals
        lengths.append(min(signals, default=109) - 49)
    simulated = run_lengths(1.0, Limits(), baseline=50, series=8000)
    assert np.mean(lengths) == pytest.approx(simulated.mean(), rel=0.25)


def test_a_sudden_step_signals_at_once() -> None:
    trend = trend_of(series(100.0, 110.0))
    assert list(trend.signals) == [51]
    assert f"{SHEWHART_SIGMA:g} is the limit" in trend.signals[51]


def test_a_slow_drift_signals_by_its_sum() -> None:
    trend = trend_of(series(*[103.0] * 8))
    assert "drifts above the baseline" in trend.signals[min(trend.signals)]
    assert f"{DECISION_SIGMA:g} is the limit" in trend.signals[min(trend.signals)]
    assert "below" in next(iter(trend_of(series(*[97.0] * 8)).signals.values()))


def test_a_shift_that_stays_signals_again() -> None:
    assert len(trend_of(series(*[103.0] * 30)).signals) >= 3


def test_nothing_signals_before_the_baseline_is_complete() -> None:
    trend = watch([1.0, 1.0, 99.0], [True] * 3, 50, 1.0)
    assert (trend.baseline, trend.signals) == (0, {})
    assert np.isnan(trend.centre)


def test_runs_out_of_tolerance_are_no_part_of_the_baseline() -> None:
    values = [*NORMAL[:10].tolist(), 500.0, *NORMAL[10:].tolist(), 100.0]
    trend = trend_of(values, good=[value < 200 for value in values])
    assert trend.baseline == 51
    assert trend.centre == pytest.approx(NORMAL.mean())


def test_a_value_that_never_changed_may_change_within_its_tolerance() -> None:
    assert trend_of([5.0] * 50 + [5.4], tolerance=10.0).signals == {}
    assert trend_of([5.0] * 50 + [7.0], tolerance=10.0).signals != {}


def test_sigma_is_the_mean_moving_range_of_the_baseline() -> None:
    trend = trend_of(series())
    assert trend.sigma == pytest.approx(np.abs(np.diff(NORMAL)).mean() / 1.128)
