"""From the start of the engine process to READY, in processor time: the first start, and every later one."""

from __future__ import annotations

from bench.start_up import start_up
from gating.latency.budgets import load_budgets

BUSY = 4.0
"""How much longer a shared machine may compute than an idle one waits."""


def test_the_engine_compiles_at_its_first_start_and_later_ones_are_faster() -> None:
    budget = load_budgets().ready
    warm, cold = start_up(cold=False), start_up(cold=True)
    assert warm.cpu_s < BUSY * budget.warm_s
    assert 2 * warm.cpu_s < cold.cpu_s < BUSY * budget.cold_s
