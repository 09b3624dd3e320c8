"""Our engine process with a tracker that fails on order: `faulty_engine FILE <engine options>`.

The order in FILE is carried out at the next frame: `raise`, `exit`, `hang`, `sleep S`, `collect N`, `memory`,
`fork`, or one of `WRONG`, a result that cannot be one. `unfinished` fails after the frame, `unmade` at the next start.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

import gating.service.service
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import IdleTracker, Tracker, TrackerSettings, TrackResult

WRONG: dict[str, Any] = {
    "confident": {"confidence": 7.0},
    "confidence-nan": {"confidence": math.nan},
    "confidence-none": {"confidence": None},
    "far": {"x_px": 1e9},
    "centre-nan": {"y_px": math.nan},
    "status": {"status": "fine"},
    "score": {"score": 40.0},
    "contour-nan": {"contour_px": np.full((4, 2), math.nan, np.float32)},
    "contour-empty": {"contour_px": np.empty((0, 2), np.float32)},
}


class FaultyTracker:
    """A tracker that works until it is ordered to fail."""

    def __init__(self, tracker: Tracker, orders: Path) -> None:
        self._tracker = tracker
        self._orders = orders
        self._unfinished = False

    def warm_up(self) -> None:
        """Warm up the tracker."""
        self._tracker.warm_up()

    def set_reference(self, pixels: Any, contour_px: Any, pixel_spacing_mm: tuple[float, float]) -> None:
        """Set the reference of the tracker."""
        self._tracker.set_reference(pixels, contour_px, pixel_spacing_mm)

    def track(self, pixels: Any, elapsed_s: float) -> TrackResult:
        """Carry out an order, if there is one, then track."""
        order = _taken(self._orders)
        result = self._tracker.track(pixels, elapsed_s)
        match order:
            case ["nothing"]:
                return None  # type: ignore[return-value]  # what a site's tracker might do
            case ["unfinished"]:
                self._unfinished = True
            case [wrong] if wrong in WRONG:
                return replace(result, **WRONG[wrong])
            case [_, *_]:
                _carry_out(order)
        return result

    def finish_frame(self) -> str:
        """Fail, if that was ordered."""
        if self._unfinished:
            self._unfinished = False
            raise RuntimeError("the tracker was ordered to fail after the frame")
        return self._tracker.finish_frame() if isinstance(self._tracker, IdleTracker) else ""

    def warm_caches(self) -> None:
        """Warm the caches of the tracker."""
        if isinstance(self._tracker, IdleTracker):
            self._tracker.warm_caches()


def _taken(orders: Path) -> list[str]:
    """Return the order, and remove it."""
    if not orders.exists():
        return []
    order = orders.read_text(encoding="ascii").split()
    orders.unlink()
    return order


def _carry_out(order: list[str]) -> None:
    match order:
        case ["raise"]:
            raise RuntimeError("the tracker was ordered to fail")
        case ["exit"]:
            raise SystemExit("the tracker was ordered to end the process")
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
        if orders.exists() and orders.read_text(encoding="ascii") == "unmade":
            orders.unlink()
            raise OSError("the tracker was ordered not to be made")
        return FaultyTracker(make_tracker(name, settings), orders)

    vars(gating.service.service)["make_tracker"] = wrapped
    from cinegate.verbs import main as command_line

    sys.argv = ["cinegate", "engine", *sys.argv[2:]]
    command_line()


if __name__ == "__main__":
    main()
