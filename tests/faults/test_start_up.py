"""From the start of the engine process to READY, as at a first start and at every later one."""

from __future__ import annotations

from bench.start_up import start_up
from gating.budgets import load_budgets

BUSY = 4.0
"""So much longer may a shared machine compute than an idle one waits."""


def test_the_engine_compiles_at_its_first_start_and_is_quicker_at_later_ones() -> None:
    budget = load_budgets().ready
    warm, cold = start_up(cold=False), start_up(cold=True)
    assert warm.cpu_s < BUSY * budget.warm_s
    assert 2 * warm.cpu_s < cold.cpu_s < BUSY * budget.cold_s
