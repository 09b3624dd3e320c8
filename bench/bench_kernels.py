"""Kernels under pytest-benchmark, and their goals as ratios to peers in the same run: `pytest bench/bench_kernels.py`.

pytest-benchmark times its cases one after another, so they include the drift of the machine. The ratios therefore come
from the interleaved comparison; the cases show how one kernel changes over time.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from bench.kernel_comparison import compare_kernels, summarise
from gating.latency.budgets import load_budgets
from gating.tracking.zncc.matcher import Method, TemplateMatcher


@pytest.fixture(scope="module")
def frame() -> Any:
    rng = np.random.default_rng(5)
    scene = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 3.0)
    return ((scene - scene.min()) / np.ptp(scene) * 3000).astype(np.uint16)


@pytest.mark.parametrize("template_px", [32, 48, 64])
@pytest.mark.parametrize("method", ["exact", "coarse_to_fine", "dense"])
def test_match(benchmark: Any, frame: Any, template_px: int, method: Method) -> None:
    top = 128 - template_px // 2
    matcher = TemplateMatcher(frame[top : top + template_px, top : top + template_px], max_radius_px=16)
    matcher.match(frame, top, top, 16, method)
    benchmark.pedantic(matcher.match, args=(frame, top + 3, top - 2, 16, method), rounds=400, warmup_rounds=20)


@pytest.mark.parametrize("template_px", [32, 48, 64])
def test_opencv(benchmark: Any, frame: Any, template_px: int) -> None:
    top = 128 - template_px // 2
    template = frame[top : top + template_px, top : top + template_px].astype(np.float32)
    region = np.s_[top - 16 : top + template_px + 16, top - 16 : top + template_px + 16]
    cv2.setNumThreads(1)

    def match() -> Any:
        return cv2.matchTemplate(frame[region].astype(np.float32), template, cv2.TM_CCOEFF_NORMED)

    benchmark.pedantic(match, rounds=400, warmup_rounds=20)


def test_the_matcher_stays_ahead_of_its_peers(benchmark: Any) -> None:
    rows = benchmark.pedantic(compare_kernels, kwargs={"quick": True}, rounds=1)
    summary = summarise(rows)
    benchmark.extra_info.update(summary)
    assert summary["peaks_equal"]
    budget = load_budgets().kernels
    for name in budget.__struct_fields__:
        assert summary[name] > getattr(budget, name), name
