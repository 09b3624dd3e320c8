"""When the step is warmed: shortly before the next frame is due, and never for long."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from gating.messages import Pacing
from gating.service.cache_warming import MAX_MARGIN_SHARE, MAX_SHARE, MIN_MARGIN_NS, RESERVED_FACTOR, WarmingPlan
from tests.factories import frame

MS = 1_000_000
INTERVAL_NS = 160 * MS
RECEIVED_NS = 7_000 * MS
NARROW_MS = 0.2
"""Narrower than the scatter of arrivals asks for; then this is the margin."""


def planned(plan: WarmingPlan, pacing: Pacing = Pacing.REAL_TIME, interval_ns: int = INTERVAL_NS) -> int | None:
    plan.expect(frame(1, pacing=pacing).header, RECEIVED_NS, interval_ns)
    return plan.due_ns


def test_it_ends_the_margin_before_the_next_frame_is_due() -> None:
    plan = WarmingPlan(NARROW_MS)
    assert planned(plan) == RECEIVED_NS + INTERVAL_NS - NARROW_MS * MS
    plan.record_duration(2 * MS)
    assert planned(plan) == pytest.approx(RECEIVED_NS + INTERVAL_NS - (NARROW_MS + RESERVED_FACTOR * 1.8) * MS)


def test_at_high_rates_the_margin_is_a_share_of_the_interval() -> None:
    assert planned(WarmingPlan(1.5), interval_ns=3 * MS) == RECEIVED_NS + (1 - MAX_MARGIN_SHARE) * 3 * MS


def margins_ms(plan: WarmingPlan, scatter_ms: Iterable[float]) -> list[float]:
    """How long before each evenly paced frame the warming ends; arrivals scatter about that pace."""
    margins = []
    for index, off_ms in enumerate(scatter_ms):
        even_ns = RECEIVED_NS + index * INTERVAL_NS
        plan.expect(frame(1, pacing=Pacing.REAL_TIME).header, even_ns + round(off_ms * MS), INTERVAL_NS)
        assert plan.due_ns is not None
        margins.append((even_ns + INTERVAL_NS - plan.due_ns) / MS)
    return margins


def test_frames_of_an_even_pace_need_no_more_than_the_least_margin() -> None:
    assert margins_ms(WarmingPlan(2.5), np.zeros(20)) == pytest.approx([MIN_MARGIN_NS / MS] * 20)


def test_it_has_ended_before_nearly_all_of_the_frames_that_scatter() -> None:
    scatter_ms = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], 400)
    margins = np.array(margins_ms(WarmingPlan(2.5), scatter_ms))[:-1]
    assert np.mean(margins[50:] > -scatter_ms[51:]) > 0.98


def test_the_margin_is_never_wider_than_permitted() -> None:
    scatter_ms = np.resize([-4.0, 4.0], 100)
    assert max(margins_ms(WarmingPlan(2.5), scatter_ms)[10:]) < 2.5 + 1.0


def test_one_frame_that_came_early_is_forgotten_after_a_while() -> None:
    margins = margins_ms(WarmingPlan(2.5), [*np.zeros(10), -1.5, *np.zeros(300)])
    assert margins[11] > 1.5
    assert margins[-1] == pytest.approx(MIN_MARGIN_NS / MS, abs=0.05)


def test_there_is_one_for_every_frame() -> None:
    plan = WarmingPlan(1.5)
    due_ns = planned(plan)
    assert due_ns is not None
    assert [plan.is_due(due_ns - 1), plan.is_due(due_ns), plan.is_due(due_ns + 1)] == [False, True, False]
    assert plan.due_ns is None


@pytest.mark.parametrize("pacing", [Pacing.STEPPED, Pacing.UNPACED])
def test_a_stream_without_a_pace_of_its_own_is_not_warmed(pacing: Pacing) -> None:
    assert planned(WarmingPlan(1.5), pacing) is None


def test_it_can_be_switched_off() -> None:
    assert planned(WarmingPlan(0.0)) is None


def test_an_unknown_interval_is_not_warmed() -> None:
    assert planned(WarmingPlan(1.5), interval_ns=0) is None


def test_one_that_takes_too_long_is_left_out_and_tried_again_later() -> None:
    plan = WarmingPlan(1.5)
    plan.record_duration(round(1.5 * MAX_SHARE * INTERVAL_NS))
    tries = [planned(plan) is not None for _ in range(10)]
    assert not tries[0]
    assert tries[-1]
    assert tries == sorted(tries)


def test_a_stall_during_one_counts_for_half() -> None:
    plan = WarmingPlan(NARROW_MS)
    plan.record_duration(1 * MS)
    plan.record_duration(11 * MS)
    assert planned(plan) == pytest.approx(RECEIVED_NS + INTERVAL_NS - (NARROW_MS + RESERVED_FACTOR * 0.9 * 6.0) * MS)


def arrivals(plan: WarmingPlan, received_ns: Iterable[float], declared_ns: int = INTERVAL_NS) -> list[float]:
    """How far from each arrival the next one was expected, ms, once the first is known."""
    errors, expected_ns = [], None
    for at_ns in received_ns:
        if expected_ns is not None:
            errors.append((expected_ns - at_ns) / MS)
        plan.expect(frame(1, pacing=Pacing.REAL_TIME).header, round(at_ns), declared_ns)
        assert plan.due_ns is not None
        expected_ns = plan.due_ns + NARROW_MS * MS
    return errors


def test_scattered_arrivals_are_expected_at_their_even_pace() -> None:
    scatter = np.random.default_rng(3).uniform(-2.0, 2.0, 300) * MS
    scatter -= scatter.mean()
    even_ns = RECEIVED_NS + np.arange(300) * INTERVAL_NS
    expected_ns = arrivals(WarmingPlan(NARROW_MS), even_ns + scatter) + (even_ns + scatter)[1:] / MS
    assert np.abs(expected_ns - even_ns[1:] / MS)[100:].max() < 1.5


def test_a_pace_that_differs_from_the_declared_one_is_learned() -> None:
    errors = arrivals(WarmingPlan(NARROW_MS), RECEIVED_NS + np.arange(200) * 1.01 * INTERVAL_NS)
    assert abs(errors[0]) == pytest.approx(1.6)
    assert np.abs(errors[100:]).max() < 0.05


def test_after_a_pause_the_pace_starts_anew() -> None:
    plan = WarmingPlan(NARROW_MS)
    before = RECEIVED_NS + np.arange(20) * INTERVAL_NS
    after = before[-1] + 7.4 * INTERVAL_NS + np.arange(20) * INTERVAL_NS
    errors = arrivals(plan, [*before, *after])
    assert np.abs(errors[20:]).max() < 0.01
