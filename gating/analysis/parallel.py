"""The what-if sweep over many sessions in several processes. The results are the same as in one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from gating.analysis.replay_tracking import TrackedSession
from gating.analysis.whatif import Outcome, Setting, decided_setting, sweep
from gating.settings.config import Config

DECISIONS_WORTH_A_PROCESS: Final = 40
"""Number of sessions times settings that are decided in about the time that a process takes to start."""
SHARES_A_PROCESS: Final = 4
"""Parts that each process gets one after the other, so that progress can be told."""


def useful_processes(sessions: int, settings: Sequence[Setting]) -> int:
    """Return how many processes are worth starting on this computer."""
    decisions = sessions * len({decided_setting(setting) for setting in settings})
    return min(len(os.sched_getaffinity(0)), 1 + decisions // DECISIONS_WORTH_A_PROCESS)


def sweep_sessions(
    load: Callable[[Path], TrackedSession],
    paths: Sequence[Path],
    config: Config,
    settings: Sequence[Setting],
    processes: int,
    decided: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Path, int, list[Outcome]]]:
    """Track the targets of every session, and decide it with every setting.

    Parameters
    ----------
    load
        Reads a file and tracks its targets. With several processes, it and what it raises must be picklable.
    paths
        Files of the sessions.
    config
        Settings that are the same for all.
    settings
        Settings to compare.
    processes
        1: this process alone. More are spawned, so that none inherits a lock or a thread.
    decided
        Called for each decision of a session, for progress; settings that share their decisions count once.

    Yields
    ------
    tuple
        File, number of its frames, and one outcome per setting, in the order of `paths` and `settings`.

    Raises
    ------
    ValueError
        If `processes` is below 1. What `load` raises is passed on.
    """
    if not processes >= 1:
        raise ValueError(f"processes is {processes}; 1 or more are needed")
    if processes == 1:
        for path in paths:
            tracked = load(path)
            yield path, len(tracked.frames), list(_counted(sweep(tracked, config, settings, path.stem), decided))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for path, tracked in zip(paths, pool.map(load, paths), strict=True):
            yield path, len(tracked.frames), _shared_out(pool, tracked, config, settings, path.stem, processes, decided)


def _shared_out(
    pool: Executor,
    tracked: TrackedSession,
    config: Config,
    settings: Sequence[Setting],
    name: str,
    processes: int,
    decided: Callable[[], None],
) -> list[Outcome]:
    """Decide one session in several processes. Settings that share their decisions stay together."""
    groups: dict[Setting, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(decided_setting(setting), []).append(setting)
    together = list(groups.values())
    pieces = processes * SHARES_A_PROCESS
    shares = [[s for group in together[first::pieces] for s in group] for first in range(pieces)]
    work = partial(_decide, tracked, config, name)
    every = chain.from_iterable(pool.map(work, [s for s in shares if s]))
    found = {o.setting: o for o in _counted(every, decided)}
    return [found[setting] for setting in settings]


def _counted(outcomes: Iterable[Outcome], decided: Callable[[], None]) -> Iterator[Outcome]:
    """Yield the outcomes, and call `decided` for the first of each decision."""
    seen: set[Setting] = set()
    for outcome in outcomes:
        if (key := decided_setting(outcome.setting)) not in seen:
            seen.add(key)
            decided()
        yield outcome


def _decide(tracked: TrackedSession, config: Config, name: str, settings: list[Setting]) -> list[Outcome]:
    return list(sweep(tracked, config, settings, name))
