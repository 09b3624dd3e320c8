"""The what-if sweep over many sessions, on as many cores as there are: what every process gives is what one would."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from gating.analysis.replay_tracking import TrackedSession
from gating.analysis.whatif import Outcome, Setting, decided_setting, sweep
from gating.settings.config import Config

DECISIONS_WORTH_A_PROCESS: Final = 40
"""Sessions times settings that are decided in about the time that another process takes to start."""


def useful_processes(sessions: int, settings: Sequence[Setting]) -> int:
    """Return how many processes are worth starting here."""
    decisions = sessions * len({decided_setting(setting) for setting in settings})
    return min(len(os.sched_getaffinity(0)), 1 + decisions // DECISIONS_WORTH_A_PROCESS)


def sweep_sessions(
    load: Callable[[Path], TrackedSession],
    paths: Sequence[Path],
    config: Config,
    settings: Sequence[Setting],
    processes: int,
) -> Iterator[tuple[Path, int, list[Outcome]]]:
    """Follow every session and decide it under every setting.

    Parameters
    ----------
    load : follows one file; with several processes it must be picklable, and so must what it raises.
    processes : 1 for this one alone; more are started anew (spawn), so that none inherits a lock or a thread.

    Yields
    ------
    File, number of its frames, and one outcome per setting; files and settings in their order.

    Raises
    ------
    ValueError
        If there are no processes to work with, and whatever `load` raises.
    """
    if not processes >= 1:
        raise ValueError(f"processes is {processes}; 1 or more are needed")
    if processes == 1:
        for path in paths:
            followed = load(path)
            yield path, len(followed.frames), list(sweep(followed, config, settings, path.stem))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for path, followed in zip(paths, pool.map(load, paths), strict=True):
            yield path, len(followed.frames), _shared_out(pool, followed, config, settings, path.stem, processes)


def _shared_out(
    pool: Executor, followed: TrackedSession, config: Config, settings: Sequence[Setting], name: str, processes: int
) -> list[Outcome]:
    """Decide one session in several processes: settings that share their decisions stay together."""
    groups: dict[Setting, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(decided_setting(setting), []).append(setting)
    together = list(groups.values())
    shares = [[s for group in together[first::processes] for s in group] for first in range(processes)]
    work = partial(_decide, followed, config, name)
    found = {o.setting: o for outcomes in pool.map(work, [s for s in shares if s]) for o in outcomes}
    return [found[setting] for setting in settings]


def _decide(followed: TrackedSession, config: Config, name: str, settings: list[Setting]) -> list[Outcome]:
    return list(sweep(followed, config, settings, name))
