"""Messages to bytes and back: `pytest bench/bench_wire.py`. Tails come from raw samples, in `extra_info`."""

from __future__ import annotations

from typing import Any

import pytest

from bench.engine_steps import EngineBench
from bench.loop import bench_config
from bench.relay import packed_command
from bench.sampling import measure
from gating.latency.budgets import load_budgets
from gating.messages import GateCommand
from gating.wire.codec import decode, encode


@pytest.mark.parametrize("size_px", [128, 256, 512])
def test_decode_of_a_frame_keeps_to_its_budget(benchmark: Any, size_px: int) -> None:
    parts = EngineBench(bench_config(), size_px, "uint16").message()
    found = measure(benchmark, lambda: decode(parts))
    assert found["p50"] <= load_budgets().stage["decode"].p50_ms


def test_encode_of_a_command_takes_a_small_part_of_the_publish_budget(benchmark: Any) -> None:
    command = decode([b"gate", bytes(packed_command("s")[0])])
    assert isinstance(command, GateCommand)
    found = measure(benchmark, lambda: encode(command))
    assert found["p50"] <= 0.5 * load_budgets().stage["publish"].p50_ms
