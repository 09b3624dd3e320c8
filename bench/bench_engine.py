"""The engine step without sockets: `pytest bench/bench_engine.py`. Ratios compare pairs that took turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.engine_steps import EngineBench
from bench.loop import bench_config
from bench.sampling import measure
from gating.latency.budgets import load_budgets


@pytest.mark.parametrize(
    ("tracker", "size_px", "budget"), [("rigid", 256, "engine_rigid"), ("template", 350, "engine")]
)
def test_a_step_keeps_to_its_budget_at_the_median(benchmark: Any, tracker: str, size_px: int, budget: str) -> None:
    bench = EngineBench(bench_config(tracker), size_px, "uint16")
    messages = iter([bench.message() for _ in range(700)])
    found = measure(benchmark, lambda: bench.step(next(messages)), samples=500)
    assert found["p50"] <= load_budgets().stage[budget].p50_ms


def test_the_rigid_step_is_quicker_than_the_step_with_opencv(benchmark: Any) -> None:
    ours, theirs = (EngineBench(bench_config(tracker), 256, "uint16") for tracker in ("rigid", "opencv"))
    pairs = []

    def pair() -> None:
        pairs.append((ours.step(), theirs.step()))

    benchmark.pedantic(pair, rounds=200, warmup_rounds=20)
    rigid, opencv = np.median(np.array(pairs), axis=0)
    benchmark.extra_info.update(rigid_ms=round(rigid, 4), opencv_ms=round(opencv, 4), ratio=round(rigid / opencv, 3))
    assert rigid <= load_budgets().ratio.loop_over_opencv_p50 * opencv
