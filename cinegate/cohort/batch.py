"""One task of a cohort: some sessions, one after the other, in one process."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cinegate.cohort.errors import CohortError
from cinegate.cohort.identity import code_version
from cinegate.cohort.sources import staged
from cinegate.cohort.store import ResultStore
from cinegate.cohort.work import Work, result_key
from gating.errors import CinegateError

MOST_KILLS: Final = 2
"""A session whose process has been killed so often is not tried again."""
KILLED: Final = f"its worker was killed {MOST_KILLS} times while it worked on this"


State = Literal["done", "kept", "failed", "killed"]


class Done(Struct, frozen=True, kw_only=True):
    """What became of one session."""

    source: str
    state: State
    """`kept`: an earlier run has done it. `failed`: it cannot be used. `killed`: it ends its worker."""
    key: str = ""
    """Of its result in the store; empty if none is kept."""
    sentence: str = ""
    """Why it failed, or what is to be listed of its result."""
    seconds: float = 0.0
    """That the work itself took; not reading, comparing and keeping."""
    peak_mb: float = 0.0
    """Most memory that the process has ever held, MB (10^6 bytes)."""

    @property
    def line(self) -> str:
        """State, source and sentence; where the sentence begins with the session's name, the source stands for it."""
        for name in (self.source, self.source.rpartition("/")[2]):
            if self.sentence.startswith(name):
                return f"{self.state}: {self.source}{self.sentence.removeprefix(name)}"
        return f"{self.state}: {self.source}: {self.sentence}"


def do_batch(work: Work, sources: Sequence[str], store: ResultStore, version: str) -> list[Done]:
    """Work on some sessions; each result is kept at once.

    Parameters
    ----------
    work
        What is done with each.
    sources
        Paths or URLs.
    store
        Where results are kept.
    version
        Of the code that asks, see `code_version`.

    Raises
    ------
    CohortError
        If this process runs other code, or does not see the folder of results.
    """
    if code_version() != version:
        raise CohortError(f"a worker runs {code_version()}, and this command {version}; they must be the same")
    if not store.is_seen():
        raise CohortError(f"a worker does not see {store.folder}; results need a folder that all workers share")
    _use_one_thread()
    return [_do_one(work, source, store, version) for source in sources]


def _do_one(work: Work, source: str, store: ResultStore, version: str) -> Done:
    if store.begin(source) > MOST_KILLS:
        done = Done(source=source, state="killed", sentence=KILLED)
    else:
        done = _worked(work, source, store, version)
    store.end(source)
    return replace(done, peak_mb=_peak_mb())


def _worked(work: Work, source: str, store: ResultStore, version: str) -> Done:
    try:
        with staged(source) as (path, content):
            key = result_key(content, path.name, work, version)
            kept = kept_result(store, key)
            if kept is not None:
                state: State = "failed" if "failed" in kept else "kept"
                return Done(source=source, state=state, key=key, sentence=listed(work, kept))
            began = perf_counter()
            result = _tried(work, path)
            seconds = perf_counter() - began
        store.write(key, result)
        state = "failed" if "failed" in result else "done"
        return Done(source=source, state=state, key=key, sentence=listed(work, result), seconds=seconds)
    except OSError as error:  # of the disk or the network: another try may succeed, so nothing is kept
        reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    except Exception as error:  # noqa: BLE001 - a fault in the code costs one session, and is not kept as its result
        reason = str(error) if isinstance(error, CohortError) else f"{type(error).__name__}: {error}"
    return Done(source=source, state="failed", sentence=reason)


def _tried(work: Work, path: Path) -> dict[str, object]:
    try:
        return {"result": work(path)}
    except CohortError:  # of what works, such as another version's interpreter; the session is not the cause
        raise
    except (CinegateError, ValueError) as error:
        return {"failed": str(error)}


def kept_result(store: ResultStore, key: str) -> dict[str, object] | None:
    """Return a kept result: `{"result": ...}`, or `{"failed": sentence}`; None if it is not there."""
    content = store.read(key)
    return None if content is None else msgspec.json.decode(content, type=dict[str, object])


def listed(work: Work, kept: dict[str, object]) -> str:
    """Return what is to be listed of a result, one sentence; empty if it is as it should be."""
    return str(kept["failed"]) if "failed" in kept else work.remark(kept["result"])


def _use_one_thread() -> None:
    """Keep OpenCV and the libraries of linear algebra to one thread; the cohort's processes fill the cores."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
