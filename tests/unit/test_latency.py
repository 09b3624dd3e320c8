"""Latencies: nearest-rank percentiles of raw samples, stages from stamps of one clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gating.latency.stages import STAGES, stage_ms, summarise
from gating.messages import StageStamps

MS = 1_000_000


def test_stages_are_differences_of_their_stamps() -> None:
    stamps = StageStamps(
        published_ns=1 * MS,
        received_ns=2 * MS,
        decoded_ns=4 * MS,
        tracked_ns=7 * MS,
        decided_ns=11 * MS,
        sent_ns=16 * MS,
    )
    expected = {"transport": 1.0, "decode": 2.0, "track": 3.0, "decide": 4.0, "publish": 5.0, "engine": 14.0}
    assert stage_ms(stamps) == expected
    assert set(expected) < set(STAGES)


def test_a_stage_that_was_not_reached_is_left_out() -> None:
    assert stage_ms(StageStamps(received_ns=2 * MS, decoded_ns=3 * MS)) == {"decode": 1.0}


def test_no_samples_give_no_percentiles() -> None:
    assert summarise([]) == type(summarise([]))(None, None, None, None, 0)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=2000))
def test_percentiles_are_nearest_ranks_of_the_sorted_samples(samples: list[float]) -> None:
    ranked = sorted(samples)

    def oracle(fraction: float) -> float:
        return ranked[max(0, math.ceil(round(fraction * len(ranked), 9)) - 1)]

    summary = summarise(samples)
    assert (summary.p50, summary.p99, summary.p999) == (oracle(0.5), oracle(0.99), oracle(0.999))
    assert (summary.max, summary.n) == (ranked[-1], len(samples))


@pytest.mark.parametrize("n", [10, 500])
def test_the_tail_of_few_samples_is_their_maximum(n: int) -> None:
    assert summarise([float(k) for k in range(n)]).p999 == n - 1
