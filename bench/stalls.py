"""The stall recorder: when this machine itself stood still, observed from outside the pipeline.

One watcher on each core reads the clock four times a millisecond. With SCHED_FIFO it runs before every ordinary
process, so only the machine (a stolen virtual core, an interrupt, the kernel) can make it late, not the load. Without
permission it spins at ordinary priority, and every process that takes its core counts as a stall; the result says so.

python -m bench.stalls CORE OUT.npy
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from gating.clocks.clock import MonotonicClock
from gating.wire.sockets import stop_on_signals

LOOK_S: Final = 0.00025
STALL_NS: Final = 300_000
"""If a watcher wakes later than this, its core stood still from when it should have woken. On an idle core it wakes
0.05 ms late as a rule, and 0.15 ms one time in a hundred."""


@dataclass
class Stalls:
    """The stalls that the watchers saw, once they have ended."""

    permitted: bool = True
    """Whether all watchers had real-time priority."""
    intervals_ns: list[tuple[int, int]] = field(default_factory=list)
    """Stalls of any core, in order and without overlap."""

    @property
    def longest_ms(self) -> float:
        """Longest stall, ms."""
        return max(((end - begin) / 1e6 for begin, end in self.intervals_ns), default=0.0)

    def within_ms(self, begin_ns: int, end_ns: int) -> float:
        """Return the time within a span in which at least one core stood still, ms."""
        return sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in self.intervals_ns) / 1e6


@contextmanager
def watched(folder: Path) -> Iterator[Stalls]:
    """Watch every allowed core. The stalls are known when the context ends."""
    found = Stalls()
    cores = sorted(os.sched_getaffinity(0))
    files = [folder / f"stalls-{core}.npz" for core in cores]
    processes = [
        subprocess.Popen([sys.executable, "-m", "bench.stalls", str(core), str(file)], stdin=subprocess.DEVNULL)
        for core, file in zip(cores, files, strict=True)
    ]
    try:
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        for file in files:
            if file.exists():
                with np.load(file) as seen:
                    found.permitted &= bool(seen["permitted"])
                    found.intervals_ns += [(int(begin), int(end)) for begin, end in seen["intervals_ns"]]
        found.intervals_ns = joined(found.intervals_ns)


def joined(intervals_ns: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of intervals, in order."""
    union: list[tuple[int, int]] = []
    for begin, end in sorted(intervals_ns):
        if union and begin <= union[-1][1]:
            union[-1] = union[-1][0], max(end, union[-1][1])
        else:
            union.append((begin, end))
    return union


def main(core: str, out: str) -> None:
    """Watch one core until SIGTERM."""
    stop = stop_on_signals()
    os.sched_setaffinity(0, {int(core)})
    permitted = True
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError:
        permitted = False
    clock = MonotonicClock()
    look_s = LOOK_S if permitted else 0.0
    intervals: list[tuple[int, int]] = []
    looked_ns = clock.now_ns()
    while not stop():
        if permitted:
            time.sleep(look_s)
        due_ns, looked_ns = looked_ns + round(look_s * 1e9), clock.now_ns()
        if looked_ns - due_ns > STALL_NS:
            intervals.append((due_ns, looked_ns))
    np.savez(out, intervals_ns=np.array(intervals, np.int64).reshape(-1, 2), permitted=permitted)


if __name__ == "__main__":
    main(*sys.argv[1:])
