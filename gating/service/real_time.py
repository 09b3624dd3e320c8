"""Prepares a process for real time: scheduling, cores and memory, as far as the operating system permits."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pwd
import resource
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gating.settings.host import ANY_CORE, LAST_CORE, HostSettings

_MCL_CURRENT_AND_FUTURE: Final = 3
_PR_SET_NO_NEW_PRIVS: Final = 38
_LOOP_ABOVE, _CARRIERS_ABOVE, _WATCHDOG_ABOVE = 1, 2, 3
"""Added to the priority of the source: what ends the beam runs before what permits it, and threads that carry messages
run before the loops that make them."""
_LIBZMQ: Final = "ZMQbg"
"""Prefix of the names of libzmq's threads, which they give themselves some time after they start."""
_PRIORITIES_WITHIN_S: Final = 1.0
CORE_LATENCY: Final = Path("/dev/cpu_dma_latency")
_kept_open: list[int] = []
"""File descriptors of that device: the kernel keeps the cores awake while this process has it open."""


def prepare_process(
    settings: HostSettings,
    *,
    gating_loop: bool = False,
    watchdog: bool = False,
    message_threads: int = 0,
    helper_threads: Sequence[int] = (),
) -> list[str]:
    """Apply the settings to all threads of this process, and give up root if `run_as` names a user.

    Call it after warm-up and after the sockets are made, so that it includes libzmq's threads: real-time priority for
    the main thread alone is worse than none. It also excludes all present objects from later garbage collections, a
    full one of which takes 20 to 70 ms.

    Parameters
    ----------
    settings
        What to request.
    gating_loop
        Whether the calling thread is the engine's. It runs before the source, and on one core only, because the caches
        of another core hold nothing of it.
    watchdog
        Whether the calling thread ends the beam when the engine does not answer. It runs before the gating loop.
    message_threads
        Number of libzmq's threads to wait for, at most a second; see `gating.wire.sockets.message_threads`.
    helper_threads
        The kernel's numbers of the gating loop's helpers. They get its priority, and every core but its own.

    Returns
    -------
    list of str
        A sentence for each setting that could not be applied.

    Raises
    ------
    PermissionError
        If this process cannot become the user `run_as`. It must then not go on.
    """
    gc.collect()
    gc.freeze()
    steps: list[tuple[str, Callable[[], None]]] = []
    if settings.keep_cores_awake:
        steps.append(("keep the cores awake", _keep_cores_awake))
    if settings.lock_memory:
        steps.append(("lock its memory", _lock_memory))
    if settings.fifo_priority:
        own = settings.fifo_priority + _LOOP_ABOVE * gating_loop + _WATCHDOG_ABOVE * watchdog
        carriers = max(own + 1, settings.fifo_priority + _CARRIERS_ABOVE)
        request = f"run with SCHED_FIFO priority {own}, and {carriers} for the threads that carry its messages"
        steps.append((request, lambda: _prioritise(own, carriers, message_threads)))
    if gating_loop:
        core = settings.engine_core
        steps.append((f"keep to core {core}", lambda: _keep_to_core(core, helper_threads)))
    refused = []
    for request, step in steps:
        try:
            step()
        except TimeoutError as error:
            refused.append(f"could not {request}: {error}")
        except OSError as error:
            refused.append(
                f"not permitted to {request} ({error.strerror or error}); `cinegate doctor` says how to permit it"
            )
    if settings.run_as:
        become(settings.run_as)
    return refused


def become(user: str) -> None:
    """Give up root for good: take the user's ids and groups, with no way back, not even by a set-user-id program.

    Raises
    ------
    PermissionError
        If there is no such user, or this process is neither root nor that user.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise PermissionError(f"host.run_as is {user!r}; there is no such user") from None
    if os.geteuid() == 0 and entry.pw_uid != 0:
        os.initgroups(user, entry.pw_gid)
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getresuid() != (entry.pw_uid,) * 3 or entry.pw_uid == 0:
        raise PermissionError(f"host.run_as is {user!r}; only root becomes another user, and only one that is not root")


def _prioritise(own: int, carriers: int, message_threads: int) -> None:
    """Give libzmq's threads the priority `carriers`, and all others the priority `own`.

    It repeats until all threads of libzmq are found and every thread is seen to have its priority.

    Raises
    ------
    TimeoutError
        If that takes more than a second.
    """
    until_s = time.monotonic() + _PRIORITIES_WITHIN_S
    while True:
        names = _thread_names()
        named = {thread for thread, name in names.items() if name.startswith(_LIBZMQ)}
        changed = sum(_set_priority(thread, carriers if thread in named else own) for thread in names)
        if not changed and len(named) >= message_threads:
            return
        if time.monotonic() > until_s:
            found = f"{len(named)} of libzmq's {message_threads} threads were found"
            raise TimeoutError(f"{found}, and {changed} threads kept another priority" if changed else found)
        time.sleep(0.001)


def _thread_names() -> dict[int, str]:
    names = {}
    for entry in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            names[int(entry.name)] = (entry / "comm").read_text(encoding="utf-8")
    return names


def _set_priority(thread: int, priority: int) -> bool:
    """Set the priority of a thread. Return whether that changed anything."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        if (os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority) != (os.SCHED_FIFO, priority):
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
            return True
    return False


def _keep_to_core(core: int, helper_threads: Sequence[int]) -> None:
    permitted = os.sched_getaffinity(0)
    if core != ANY_CORE and len(permitted) > 1:
        own = {max(permitted) if core == LAST_CORE else core}
        os.sched_setaffinity(0, own)
        for thread in helper_threads:
            os.sched_setaffinity(thread, permitted - own)


def _keep_cores_awake() -> None:
    """Request a wake-up latency of 0.

    Source: Linux kernel documentation, power/pm_qos_interface: 32 bits, us, in force until the file is closed.
    """
    if not _kept_open:
        device = os.open(CORE_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(device, struct.pack("=i", 0))
        except OSError:
            os.close(device)
            raise
        _kept_open.append(device)


def _lock_memory() -> None:
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _call("mlockall", _MCL_CURRENT_AND_FUTURE)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
