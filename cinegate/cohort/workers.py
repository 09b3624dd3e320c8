"""Worker processes: on this computer, or those of a cluster of dask.distributed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from cinegate.cohort.batch import KILLED, Done
from cinegate.cohort.errors import CohortError
from drivers.extras import missing

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK: Final = "127.0.0.1"
MOST_AT_ONCE: Final = 64
"""Tasks per worker that the scheduler holds at a time, so that its memory does not grow with the cohort."""
CONNECT_S: Final = 10.0

QUIET: Final = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.scheduler.active-memory-manager.start": False,
}
"""What dask does beside the work; without this, each of its processes takes 3 % of a core while nothing is done."""


class Workers:
    """Processes that work on batches of sessions. `open_workers` makes them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def count(self) -> int:
        """How many threads work; one each in local workers."""
        return sum(worker["nthreads"] for worker in self._known("workers").values())

    @property
    def addresses(self) -> list[str]:
        """Where the scheduler and the workers listen."""
        return [self._known("address"), *self._known("workers")]

    def _known(self, what: str) -> Any:
        return self._client.scheduler_info(n_workers=-1)[what]

    @property
    def dashboard(self) -> str:
        """Address of the page on which the work can be watched."""
        return str(self._client.dashboard_link)

    def process_ids(self) -> list[int]:
        """Return the process of each worker."""
        import os

        return list(self._client.run(os.getpid).values())

    def each(self, task: Callable[[Sequence[str]], list[Done]], batches: Sequence[Sequence[str]]) -> Iterator[Done]:
        """Yield what became of every session, as it is done.

        A batch whose worker was killed is done again by another. If that happens too often for the scheduler, each of
        its sessions becomes a task of its own; one that ends its worker even so is given up.

        Raises
        ------
        Exception
            What a task raised.
        """
        from distributed import as_completed

        waiting, running = deque(batches), dict[Any, Sequence[str]]()
        under_way, most = as_completed(with_results=True, raise_errors=False), MOST_AT_ONCE * max(1, self.count)
        while waiting or running:
            if len(running) <= most // 2:  # many at a time: the scheduler is told of them in one message
                more = [waiting.popleft() for _ in range(min(len(waiting), most - len(running)))]
                futures = self._client.map(task, more, pure=False, retries=0)
                running |= dict(zip(futures, more, strict=True))
                under_way.update(futures)
            future, result = next(under_way)
            batch = running.pop(future)
            found = _found(future.status, result, batch)
            if found is None:
                waiting.extendleft([source] for source in batch)
            else:
                yield from found


def _found(status: str, result: Any, batch: Sequence[str]) -> list[Done] | None:
    """Return what a task found; None if its sessions are to be done one by one. Raises what the task raised."""
    from distributed import KilledWorker

    if status == "finished":
        found: list[Done] = result
        return found
    _, error, traceback = result
    if not isinstance(error, KilledWorker):
        raise error.with_traceback(traceback)
    return None if len(batch) > 1 else [Done(source=batch[0], state="killed", sentence=KILLED)]


@contextmanager
def open_workers(scheduler: str = "", workers: int = 1, memory_mb: int = 2000) -> Iterator[Workers]:
    """Start worker processes on this computer, or connect to the scheduler of a cluster, while the block runs.

    Local workers talk over loopback alone, with TLS and certificates that live in memory, so that no other user of the
    computer can hand them work. To a cluster, dask's own configuration gives certificates (`distributed.comm.tls`).

    Parameters
    ----------
    scheduler
        Address of a cluster, such as `tls://10.0.0.2:8786`; empty for local workers.
    workers
        Number of local workers.
    memory_mb
        Memory at which a local worker is ended (at 95 % of it) and started again, MB.

    Raises
    ------
    CohortError
        If dask.distributed is not installed, or the cluster does not answer.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise CohortError(missing("a cohort on several processes", "distributed", "cohort")) from None
    with ExitStack() as opened:
        if scheduler:
            try:
                client = Client(scheduler, timeout=CONNECT_S)
            except (OSError, ValueError) as error:
                raise CohortError(f"scheduler {scheduler} does not answer: {error}") from None
        else:
            opened.enter_context(dask.config.set(QUIET))
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                security=True,
                dashboard_address=f"{LOOPBACK}:0",
                memory_limit=memory_mb * 10**6,
                silence_logs=logging.CRITICAL,  # the list of results says what became of a killed worker's sessions
            )
            client = Client(opened.enter_context(cluster))
        yield Workers(opened.enter_context(client))
