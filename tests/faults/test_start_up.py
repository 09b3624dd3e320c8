"""From the start of the engine process to READY: the first start, and every later one."""

from __future__ import annotations

from bench.start_up import ready_s
from gating.latency.budgets import load_budgets

BUSY = 4.0
"""How much slower a shared machine may be than an idle one."""


def test_the_engine_compiles_at_its_first_start_and_later_ones_are_faster() -> None:
    budget = load_budgets().ready
    warm_s, cold_s = ready_s(cold=False), ready_s(cold=True)
    assert warm_s < BUSY * budget.warm_s
    assert warm_s < cold_s < BUSY * budget.cold_s
