"""What a process asks of the operating system so that frames do not wait: where permitted, and said where not."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

_MCL_CURRENT_AND_FUTURE: Final = 3


class HostSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[host]` table: what source, engine and beam interface ask of the operating system."""

    fifo_priority: Annotated[
        int, Meta(ge=0, le=80, description="SCHED_FIFO priority of every thread; 0 leaves the ordinary scheduler")
    ] = 10
    lock_memory: Annotated[bool, Meta(description="keep every page in memory")] = False


def prepare_process(settings: HostSettings) -> list[str]:
    """Apply the settings to every thread that there is; return a sentence for each that was not permitted.

    Call it after warm-up and after the sockets are made: libzmq's own threads have to be included. Real-time priority
    for the main thread alone is worse than none.
    """
    steps: list[tuple[str, Callable[[], None]]] = []
    if settings.lock_memory:
        steps.append(("lock its memory", _lock_memory))
    if settings.fifo_priority:
        wish = f"run with SCHED_FIFO priority {settings.fifo_priority}"
        steps.append((wish, lambda: _every_thread(_fifo(settings.fifo_priority))))
    refused = []
    for wish, step in steps:
        try:
            step()
        except OSError as error:
            refused.append(
                f"not permitted to {wish} ({error.strerror or error}); `cinegate doctor` says how to permit it"
            )
    return refused


def _every_thread(change: Callable[[int], None]) -> None:
    for entry in Path("/proc/self/task").iterdir():
        change(int(entry.name))


def _fifo(priority: int) -> Callable[[int], None]:
    return lambda thread: os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))


def _lock_memory() -> None:
    _call("mlockall", _MCL_CURRENT_AND_FUTURE)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
