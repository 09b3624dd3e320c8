"""Delivered dose is fast enough for a whole session, and between two frames."""

from __future__ import annotations

import tracemalloc

import pytest

from bench.dose_speed import breathing, measure
from gating.delivered.deliveries import gated_timeline, part_kernels, received
from gating.delivered.dose_cloud import whole
from tests.dose_bench import sphere, wide_slab


@pytest.mark.alone
def test_five_minutes_on_a_large_grid_and_a_live_frame_take_little():
    """The grid is 200x200x120 voxels of 2.5 mm; the limits are 30 s and 125 ms."""
    plan = wide_slab()
    found = measure(plan, [sphere(step_mm=1.0)], samples=5, frames=10)
    assert found.voxels == (121, 201, 201)
    assert found.assessed_s + found.moved_s < 30
    assert found.live_ms[0] < 125


def test_five_minutes_on_a_large_grid_take_less_than_2_gb():
    plan = wide_slab()
    tracemalloc.start()
    try:
        received(plan, part_kernels(plan, gated_timeline(breathing())), whole(plan.parts[0]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e9
