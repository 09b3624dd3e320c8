"""What a process asks of the operating system: applied to every thread, or reported in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

THREADED = """
import os, threading, time, resource
from pathlib import Path
from gating.service.real_time import HostSettings, prepare_process
{limit}
threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
said = prepare_process(HostSettings(fifo_priority={priority}, lock_memory={lock}, keep_cores_awake={awake}))
policies = {{os.sched_getscheduler(int(entry.name)) for entry in Path("/proc/self/task").iterdir()}}
print(len(said), policies, *said)
"""


def run(priority: int = 0, lock: bool = False, awake: bool = False, limit: str = "", then: str = "") -> str:
    """Ask in a process of its own, so that the tests keep their priority."""
    program = THREADED.format(priority=priority, lock=lock, awake=awake, limit=limit) + then
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    ).stdout


def test_without_a_request_the_ordinary_scheduler_stays() -> None:
    assert run() == "0 {0}\n"


def test_every_thread_gets_the_priority_or_a_refusal_is_reported() -> None:
    said = run(priority=10)
    assert said == "0 {1}\n" or ("{0}" in said and "SCHED_FIFO priority 10" in said)


def test_what_is_not_permitted_is_reported_and_changes_nothing() -> None:
    said = run(
        lock=True, limit="resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0)); os.geteuid() or os.seteuid(65534)"
    )
    assert said.startswith("1 {0} not permitted to lock its memory")
    assert "cinegate doctor" in said


def test_cores_stay_awake_while_the_process_lives_or_say_why_not() -> None:
    said = run(
        awake=True, then="print(*(os.readlink(entry) for entry in os.scandir('/proc/self/fd') if entry.is_symlink()))"
    )
    assert "/dev/cpu_dma_latency" in said or "not permitted to keep the cores awake" in said


def test_later_garbage_collections_skip_what_is_loaded() -> None:
    counted = "import gc; print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1_000)"
    assert run(then=counted).splitlines()[-1] == "True True"


def test_asking_twice_keeps_the_cores_awake_once() -> None:
    again = (
        "said = prepare_process(HostSettings(fifo_priority=0));"
        "held = [os.readlink(entry) for entry in os.scandir('/proc/self/fd')].count('/dev/cpu_dma_latency');"
        "print(len(said), held)"
    )
    held = run(awake=True, then=again).splitlines()[-1]
    assert held in ("0 1", "1 0")


PRIORITIES = """
import zmq
from gating.wire.sockets import message_threads, open_socket
context = zmq.Context()
open_socket(context, zmq.PUB, 1)
settings, expected = HostSettings(fifo_priority=10, keep_cores_awake=False), message_threads()
said = prepare_process(settings, message_threads=expected, {role})
threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
all_of_them = {{os.sched_getparam(thread).sched_priority for thread in threads}}
refused = any("SCHED_FIFO" in one for one in said)
print(len(os.sched_getaffinity(0)), os.sched_getparam(0).sched_priority, *all_of_them, refused)
"""


@pytest.mark.parametrize(
    ("role", "own", "carriers"), [("", 10, 12), ("gating_loop=True", 11, 12), ("watchdog=True", 13, 14)]
)
def test_message_threads_outrank_loops_and_ending_the_beam_outranks_both(role: str, own: int, carriers: int) -> None:
    _, loop, *threads, refused = run(then=PRIORITIES.format(role=role)).splitlines()[-1].split()
    assert (int(loop), set(map(int, threads))) == (own, {own, carriers}) or refused == "True"


LATE = """
def late():
    own = Path(f"/proc/self/task/{{threading.get_native_id()}}/comm")
    time.sleep(0.2)
    own.write_text("ZMQbg/late")
    time.sleep(60)

thread = threading.Thread(target=late, daemon=True)
thread.start()
print(prepare_process(HostSettings(fifo_priority=10, keep_cores_awake=False), message_threads={expected}))
print(os.sched_getparam(thread.native_id).sched_priority)
"""


def test_threads_that_name_themselves_late_are_waited_for() -> None:
    said, priority = run(then=LATE.format(expected=1)).splitlines()[-2:]
    assert (said, priority) == ("[]", "12") or "not permitted" in said


def test_a_message_thread_that_never_appears_is_reported() -> None:
    said, _ = run(then=LATE.format(expected=2)).splitlines()[-2:]
    assert "1 of libzmq's 2 threads were found" in said or "not permitted" in said


def test_the_gating_loop_keeps_to_one_core() -> None:
    cores, *_ = run(then=PRIORITIES.format(role="gating_loop=True")).splitlines()[-1].split()
    assert cores == "1"


def test_the_gating_loop_may_be_left_to_any_core() -> None:
    anywhere = (
        "prepare_process(HostSettings(fifo_priority=0, engine_core=-2), gating_loop=True)\n"
        "print(len(os.sched_getaffinity(0)))"
    )
    assert int(run(then=anywhere).splitlines()[-1]) == len(os.sched_getaffinity(0))


def test_a_core_that_does_not_exist_is_reported() -> None:
    nowhere = "print(*prepare_process(HostSettings(fifo_priority=0, engine_core=1023), gating_loop=True))"
    if len(os.sched_getaffinity(0)) > 1:
        assert run(then=nowhere).splitlines()[-1].startswith("not permitted to keep to core 1023")


HELPED = """
thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
thread.start()
said = prepare_process(HostSettings(fifo_priority=10), gating_loop=True, helper_threads=(thread.native_id,))
print(os.sched_getaffinity(0) & os.sched_getaffinity(thread.native_id), *said)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_a_helper_of_the_gating_loop_keeps_off_its_core() -> None:
    assert run(then=HELPED).splitlines()[-1].startswith("set()")
