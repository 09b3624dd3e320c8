"""What further targets cost: the step with 1, 3 and 10 of them, in two threads and, in turns with it, in one."""

from __future__ import annotations

import gc
from typing import Any, Final

import numpy as np

from bench.engine_steps import EngineBench
from bench.loop import bench_config
from bench.results import tail
from gating.service.workers import Workers

NUMBERS: Final = (1, 3, 10)
TRACKERS: Final = {"rigid": "rigid", "contour": "template"}
SIZE_PX: Final = 350
FRAMES: Final = 600
WARM: Final = 40


def target_rows(frames: int = FRAMES) -> list[dict[str, Any]]:
    """Return a row for each tracker and number of targets, times from received bytes to packed command in ms."""
    return [_row(name, n, frames) for name in TRACKERS for n in NUMBERS]


def _row(name: str, n: int, frames: int) -> dict[str, Any]:
    workers = Workers()
    config = bench_config(TRACKERS[name])
    together, serial = (
        EngineBench(config, SIZE_PX, "uint16", n, workers), EngineBench(config, SIZE_PX, "uint16", n)
    )  # fmt: skip
    workers.open()
    gc.collect()
    gc.disable()
    try:
        taken = np.array([(together.step(), serial.step()) for _ in range(WARM + frames)])[WARM:]
    finally:
        gc.enable()
        workers.close()
    in_two, in_one = (tail(taken[:, column]) for column in range(2))
    row = {"n": n, "tracker": name, "size_px": SIZE_PX, "frames": frames}
    row |= {f"{key}_ms": value for key, value in in_two.items()}
    return row | {f"serial_{key}_ms": value for key, value in in_one.items()}
