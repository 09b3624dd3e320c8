"""A leak is told from a queue that filled once."""

from __future__ import annotations

import numpy as np
import pytest

from bench.growth import growth, trend

MINUTES, PER_MINUTE = 10.0, 120
TIME = np.linspace(0, 1, int(MINUTES * PER_MINUTE))
NOISE = 0.1 * np.random.default_rng(1).standard_normal(len(TIME))
LIMIT_PERCENT, QUEUE_MB = 1.0, 40.0


def step(at: float, mb: float):
    return np.where(at <= TIME, mb, 0.0)


def flat(more_mb, room_mb: float = QUEUE_MB) -> bool:
    return growth((80 + NOISE + more_mb).tolist(), MINUTES).flat(LIMIT_PERCENT, room_mb)


def test_what_stays_the_same_is_flat():
    assert flat(0)


@pytest.mark.parametrize("mb", [2, 10, 100])
def test_a_steady_leak_is_not_flat_whatever_room_there_is(mb):
    assert not flat(mb * TIME, room_mb=1000)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_queue_that_filled_once_is_flat(at):
    assert flat(step(at, 39))


def test_a_queue_that_filled_and_was_given_back_in_part_is_flat():
    assert flat(step(0.3, 39) - step(0.4, 20) + step(0.7, 15))


def test_a_step_beyond_the_queue_is_not_flat():
    assert not flat(step(0.5, 45))


def test_a_process_without_a_queue_may_not_step():
    assert not flat(step(0.5, 5), room_mb=0)


def test_a_leak_beside_a_queue_that_filled_is_not_flat():
    assert not flat(step(0.5, 30) + 3 * TIME)


def test_a_leak_in_lumps_is_not_flat():
    assert not flat(np.floor(12 * TIME))


def test_nothing_measured_is_nothing_grown():
    assert growth([float("nan")], 1.0).growth_percent == 0


@pytest.mark.parametrize(("percent", "is_flat"), [(0, True), (2, True), (8, False)])
def test_a_trend_is_flat_by_the_upper_end_of_its_interval(percent, is_flat):
    assert trend(80 + NOISE + 0.8 * percent * TIME).flat(limit_percent=5) is is_flat


def test_what_few_samples_cannot_tell_is_not_flat():
    wild = [80, 96, 70, 90, 75]
    assert not trend(wild).flat(limit_percent=5)


def test_a_single_outlier_is_no_trend():
    assert trend(80 + NOISE + np.where(TIME > 0.999, 500, 0)).flat(limit_percent=1)
