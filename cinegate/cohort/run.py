"""Work on a cohort: which sessions are done when and where, and the results in the order in which they were asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from cinegate.cohort.batch import Done, do_batch, kept_result
from cinegate.cohort.identity import code_version
from cinegate.cohort.store import ResultStore
from cinegate.cohort.work import Work
from cinegate.cohort.workers import Workers
from gating.settings.private_file import private_file

MOST_IN_A_BATCH: Final = 16
BATCHES_A_WORKER: Final = 8
"""So many batches or more for each worker, so that the last of them leaves the others idle for a short time only."""


@dataclass(frozen=True, slots=True)
class CohortRun:
    """What became of every session, in the order in which they were asked."""

    store: ResultStore
    done: list[Done]

    def results(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the result of each session that has one; one at a time is held in memory."""
        for one in self.done:
            kept = kept_result(self.store, one.key) if one.key and one.state in ("done", "kept") else None
            if kept is not None:
                yield one.source, kept["result"]

    def write(self, path: Path) -> None:
        """Write a line of JSON for each session: `log`, and `result` or `failed`.

        The bytes depend on the sessions, the settings and the code, and on nothing else.
        """
        with private_file(path).open("wb") as file:
            for one in self.done:
                kept = self.store.read(one.key) if one.key else None
                tail = kept if kept is not None else msgspec.json.encode({"failed": one.sentence})
                file.write(b'{"log":' + msgspec.json.encode(one.source) + b"," + tail[1:] + b"\n")


def run_cohort(
    work: Work,
    sources: Sequence[str],
    folder: Path,
    workers: Workers | None = None,
    finished: Callable[[], None] = lambda: None,
    batch: int = 0,
) -> CohortRun:
    """Do the work for every session.

    Parameters
    ----------
    work
        What is done with each.
    sources
        Paths or URLs of sessions, each once.
    folder
        Where results are kept; those of an earlier run are not computed again.
    workers
        None: this process, one session after the other.
    finished
        Called after each session, for progress.
    batch
        Sessions of one task; 0: as many as suit their number.

    Raises
    ------
    CohortError
        If a worker runs other code or does not see the folder.
    """
    store = ResultStore(folder, uuid4().hex[:12])
    store.open()
    try:
        task = partial(do_batch, work, store=store, version=code_version())
        if workers is None:
            found: Iterable[Done] = chain.from_iterable(task([source]) for source in sources)
        else:
            size = batch or batch_size(len(sources), workers.count)
            found = workers.each(task, [sources[at : at + size] for at in range(0, len(sources), size)])
        by_source = {}
        for done in found:
            by_source[done.source] = done
            finished()
    finally:
        store.close()
    return CohortRun(store, [by_source[source] for source in sources])


def batch_size(sessions: int, workers: int) -> int:
    """Return how many sessions one task does: enough that the scheduler keeps up, and every worker gets several."""
    return max(1, min(MOST_IN_A_BATCH, math.ceil(sessions / (max(1, workers) * BATCHES_A_WORKER))))
