"""What a cohort costs: serial, one worker and several side by side, the scheduler's pace, and larger numbers on paper.

python -m bench.cohort FOLDER --sessions 60       a folder of session logs; `cinegate phantom cohort` makes one
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from cinegate.cohort.batch import Done
from cinegate.cohort.run import CohortRun, batch_size, run_cohort
from cinegate.cohort.sources import find_logs
from cinegate.cohort.work import Figures, Verify, Work
from cinegate.cohort.workers import Workers, open_workers

WORK: Final[dict[str, Work]] = {"verify": Verify(), "figures": Figures()}
TASKS: Final = 3000
SESSIONS: Final = 100_000
CORES: Final = (10, 100, 1000)
BATCHES: Final = (1, 4, 16, 64)


class Timed(NamedTuple):
    """One way to work on a cohort."""

    name: str
    seconds: float
    cpu_s: float
    """Of this process."""
    run: CohortRun
    peak_mb: float


def measure(work: Work, logs: Sequence[str], folder: Path, most: int) -> list[Timed]:
    """Work on the logs in this process, in one worker and in several; the workers have started and are warm."""
    timed = [_timed("serial", work, logs, folder, None)]
    for count in dict.fromkeys((1, most)):
        with warm(count, work, logs[0], folder) as workers:
            timed.append(_timed(f"{count} workers" if count > 1 else "1 worker", work, logs, folder, workers))
    return timed


@contextmanager
def warm(count: int, work: Work, log: str, folder: Path) -> Iterator[Workers]:
    """Start workers and let each work once, so that imports and compiled kernels are loaded."""
    with open_workers(workers=count) as workers:
        copies = [folder / f"{count}-{number}-{Path(log).name}" for number in range(4 * count)]
        for copy in copies:
            copy.symlink_to(log)
        run_cohort(work, [str(copy) for copy in copies], folder / f"warm-{count}", workers, batch=1)
        yield workers


def _timed(name: str, work: Work, logs: Sequence[str], folder: Path, workers: Workers | None) -> Timed:
    if workers is None:  # as the workers: warm
        run_cohort(work, logs[:1], folder / "warm")
    began, cpu = perf_counter(), process_time()
    run = run_cohort(work, logs, folder / name.replace(" ", "-"), workers)
    seconds, cpu_s = perf_counter() - began, process_time() - cpu
    run.write(folder / f"{name}.jsonl")
    return Timed(name, seconds, cpu_s, run, max(one.peak_mb for one in run.done))


def scheduler_pace(workers: Workers) -> tuple[float, float]:
    """Return how many tasks that do nothing pass in a second, and what each costs this process, s of a core.

    Client and scheduler are one process here; on a cluster they are two.
    """
    began, cpu = perf_counter(), process_time()
    assert list(workers.each(_nothing, [[str(number)] for number in range(TASKS)])) == []
    return TASKS / (perf_counter() - began), (process_time() - cpu) / TASKS


def _nothing(_: Sequence[str]) -> list[Done]:
    return []


def table_of(timed: Sequence[Timed]) -> Table:
    """Return what was measured as a table."""
    table = Table("", "s", "ms a session", "overhead, ms a session", "times 1 worker", "peak memory, MB", "same bytes")
    first = Path(timed[0].run.store.folder).parent
    expected = (first / f"{timed[0].name}.jsonl").read_bytes()
    one = next(each for each in timed if each.name == "1 worker")
    for each in timed:
        sessions = len(each.run.done)
        inside = sum(done.seconds for done in each.run.done)
        share = each.seconds * (1 if each.name in ("serial", "1 worker") else len(os.sched_getaffinity(0)))
        table.add_row(
            each.name,
            f"{each.seconds:.2f}",
            f"{1e3 * each.seconds / sessions:.1f}",
            f"{1e3 * (share - inside) / sessions:.1f}",
            f"{one.seconds / each.seconds:.2f}",
            f"{each.peak_mb:.0f}",
            "yes" if (first / f"{each.name}.jsonl").read_bytes() == expected else "NO",
        )
    return table


def paper(session_s: float, task_s: float) -> Table:
    """Return what 100,000 sessions take on larger clusters: the longer of the workers' time and the scheduler's.

    Parameters
    ----------
    session_s
        What a session costs a worker in all, s of a core.
    task_s
        What a task costs the scheduler, s.
    """
    table = Table("cores", "sessions a task", "tasks/s asked", "workers, s", "scheduler, s", "in all, s", "limited by")
    for cores in CORES:
        for batch in BATCHES:
            work_s, scheduler_s = SESSIONS * session_s / cores, SESSIONS / batch * task_s
            limit = "scheduler" if scheduler_s > work_s else "workers"
            row = (cores / (batch * session_s), work_s, scheduler_s, max(work_s, scheduler_s))
            table.add_row(str(cores), str(batch), *(f"{number:,.0f}" for number in row), limit)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="session logs")
    parser.add_argument("--sessions", type=int, default=60, help="so many of them")
    parser.add_argument("--work", choices=sorted(WORK), default="verify")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    say: Callable[..., None] = Console(width=120).print
    logs = find_logs([asked.folder])[: asked.sessions]
    with tempfile.TemporaryDirectory(prefix="cinegate-bench-") as folder:
        timed = measure(WORK[asked.work], logs, Path(folder), asked.workers)
        say(
            f"cohort {asked.work}, {len(logs)} sessions, {batch_size(len(logs), asked.workers)} a task", table_of(timed)
        )
    with open_workers(workers=asked.workers) as workers:
        scheduler_pace(workers)
        pace, task_s = scheduler_pace(workers)
    session_s = timed[0].cpu_s / len(logs)
    say(f"{pace:.0f} tasks/s that do nothing; client and scheduler: {1e3 * task_s:.2f} ms of a core for each")
    say(f"a session: {1e3 * session_s:.0f} ms of a core; the scheduler keeps {session_s / task_s:.0f} cores busy")
    say(f"{SESSIONS} sessions on paper, from these constants", paper(session_s, task_s))


if __name__ == "__main__":
    main()
