"""A sampler for pytest-benchmark: one call per sample, no averages, and the tail in `extra_info`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from gating.latency.stages import summarise

SAMPLES: Final = 2000
WARM: Final = 50


def measure(benchmark: Any, call: Callable[[], object], samples: int = SAMPLES) -> dict[str, float]:
    """Time single calls; return percentiles, ms. The rounds of pytest-benchmark itself would average the tail away."""
    taken_ms: list[float] = []

    def once() -> None:
        began = time.perf_counter_ns()
        call()
        taken_ms.append((time.perf_counter_ns() - began) / 1e6)

    benchmark.pedantic(once, rounds=samples, warmup_rounds=WARM)
    del taken_ms[:WARM]
    summary = summarise(taken_ms)
    found = {name: float(getattr(summary, name) or 0.0) for name in ("p50", "p99", "p999", "max")}
    benchmark.extra_info.update({f"{name}_ms": round(value, 5) for name, value in found.items()}, n=summary.n)
    return found
