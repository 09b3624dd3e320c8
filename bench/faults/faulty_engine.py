"""Our engine process with a tracker that fails on order: `faulty_engine FILE <engine options>`.

The order in FILE is carried out at the next frame: `raise`, `hang`, `sleep S`, `collect N`, `memory` or `fork`.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import gating.service.service
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import Tracker, TrackerSettings, TrackResult


class FaultyTracker:
    """A tracker that works until it is ordered to fail."""

    def __init__(self, tracker: Tracker, orders: Path) -> None:
        self._tracker = tracker
        self._orders = orders

    def warm_up(self) -> None:
        """Warm up the tracker."""
        self._tracker.warm_up()

    def set_reference(self, pixels: Any, contour_px: Any, pixel_spacing_mm: tuple[float, float]) -> None:
        """Set the reference of the tracker."""
        self._tracker.set_reference(pixels, contour_px, pixel_spacing_mm)

    def track(self, pixels: Any, elapsed_s: float) -> TrackResult:
        """Carry out an order, if there is one, then track."""
        if self._orders.exists():
            order = self._orders.read_text(encoding="ascii").split()
            self._orders.unlink()
            _carry_out(order)
        return self._tracker.track(pixels, elapsed_s)


def _carry_out(order: list[str]) -> None:
    match order:
        case ["raise"]:
            raise RuntimeError("the tracker was ordered to fail")
        case ["hang"]:
            while True:
                pass
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["collect", objects]:
            kept = [[number] for number in range(int(objects))]
            gc.unfreeze()
            gc.collect()
            kept.clear()
        case ["memory"]:
            _exhaust_memory()
        case ["fork"]:
            if os.fork() == 0:
                time.sleep(_CHILD_S)
                os._exit(0)
        case _:
            raise ValueError(f"unknown order {order}")


_CHILD_S: Final = 5.0
"""Fifty leases; while the child lives, no peer can tell that its engine is gone."""


def _exhaust_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20, hard))
    try:
        hoard = []
        while True:
            hoard.append(bytearray(8 * 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main() -> None:
    """Run `cinegate engine` with the tracker wrapped."""
    orders = Path(sys.argv[1])

    def wrapped(name: str, settings: TrackerSettings) -> Tracker:
        return FaultyTracker(make_tracker(name, settings), orders)

    vars(gating.service.service)["make_tracker"] = wrapped
    from cinegate.verbs import main as command_line

    sys.argv = ["cinegate", "engine", *sys.argv[2:]]
    command_line()


if __name__ == "__main__":
    main()
