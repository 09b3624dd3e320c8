"""Two threads for the targets of a frame: the same results as one, and a thread that hangs holds the beam."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gating.decision.reasons import GateReason
from gating.geometry.contours import box_contour
from gating.messages import EngineState, GateState, TargetEstimate
from gating.service import workers as workers_module
from gating.service.workers import Workers
from gating.targets.spec import TargetSpec
from gating.tracking.checked_tracker import TrackerFault
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.together import one_by_one
from gating.tracking.tracker import TrackerSettings, TrackResult
from tests.engine_bench import Bench
from tests.factories import anatomy

TARGETS = [TargetSpec(f"t{side}", box_contour(36 - side, 34, 18 + side, 20)) for side in range(0, 12, 2)]
PATIENCE_S = 20.0


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    made.open()
    yield made
    made.close()


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What a task waits for that hangs until the end of its test; nobody else waits for it long."""
    monkeypatch.setattr(workers_module, "LONGEST_WAIT_S", 0.05)
    event = threading.Event()
    yield event
    event.set()


def in_helper(workers: Workers, task: Callable[[], object]) -> None:
    """Do a task in the second thread, while this one waits until it has begun."""
    begun = threading.Event()

    def last() -> None:
        begun.set()
        task()

    workers([lambda: begun.wait(PATIENCE_S), last])


def fail(number: int) -> None:
    raise ValueError(f"task {number}")


@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_results_come_in_the_order_of_the_tasks(workers: Workers, count: int) -> None:
    tasks = [partial(divmod, number, 3) for number in range(count)]
    assert workers(tasks) == one_by_one(tasks) == [divmod(number, 3) for number in range(count)]


def test_both_threads_do_tasks(workers: Workers) -> None:
    threads: list[int] = []
    in_helper(workers, partial(lambda: threads.append(threading.get_native_id())))
    assert tuple(threads) == workers.helper_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_error_in_order_is_raised_once_all_is_done(workers: Workers, threads: int) -> None:
    done: list[int] = []
    tasks = [partial(done.append, 0), partial(fail, 1), partial(fail, 2), partial(done.append, 3)]
    with pytest.raises(ValueError, match="task 1"):
        (workers if threads == 2 else one_by_one)(tasks)
    assert sorted(done) == [0, 3]


def test_a_task_that_hangs_is_a_fault_from_then_on(workers: Workers, released: threading.Event) -> None:
    with pytest.raises(TrackerFault, match="has not answered within 50 ms; start the engine anew"):
        in_helper(workers, partial(released.wait, PATIENCE_S))
    with pytest.raises(TrackerFault, match="has not answered"):
        workers([lambda: 1, lambda: 2])


def test_a_task_that_would_end_its_thread_does_not(workers: Workers) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit):
            in_helper(workers, partial(exec, "raise SystemExit"))
    assert workers([lambda: 1, lambda: 2]) == [1, 2]


def test_closed_workers_leave_all_to_the_caller() -> None:
    workers = Workers()
    threads = workers([threading.get_ident] * 3)
    assert threads == [threading.get_ident()] * 3


def estimates(bench: Bench) -> list[TargetEstimate]:
    """The estimates of six targets that move, in some frames too far, and of a frame that cannot be tracked in."""
    shifts = [0.0, 0.7, 1.9, 3.2, 9.0, 3.0, 1.5]
    frames = [anatomy(seed=number, shift=shift) for number, shift in enumerate(shifts)]
    frames.insert(3, np.full((96, 96), 7, np.uint16))
    steps = [bench.step(number, pixels) for number, pixels in enumerate(frames)]
    return [message for step in steps for message in step.messages if isinstance(message, TargetEstimate)]


def test_targets_in_two_threads_are_tracked_bit_for_bit_as_in_one(workers: Workers) -> None:
    found = estimates(Bench(targets=TARGETS, peers_required=False, together=workers))
    assert repr(found) == repr(estimates(Bench(targets=TARGETS, peers_required=False)))  # NaN is nothing's equal
    assert len(found) >= 6 * len(TARGETS)


def test_targets_that_share_views_are_tracked_as_each_alone() -> None:
    together = estimates(Bench(targets=TARGETS[:3], peers_required=False))
    for target in TARGETS[:3]:
        alone = estimates(Bench(targets=[target], peers_required=False))
        shared = [one for one in together if one.target == target.name]
        assert [one.contour_px for one in shared] == [one.contour_px for one in alone]
        assert [one.confidence for one in shared] == [one.confidence for one in alone]


class HangingTracker(TemplateTracker):
    """A tracker that hangs in the second thread as soon as it is told to."""

    hangs_on: threading.Event | None = None
    has_begun = threading.Event()

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        if self.hangs_on is not None and threading.current_thread() is not threading.main_thread():
            self.has_begun.set()
            self.hangs_on.wait(PATIENCE_S)
        elif self.hangs_on is not None:
            self.has_begun.wait(PATIENCE_S)
        return super().track(pixels, elapsed_s)


def test_a_tracker_that_hangs_holds_the_beam_and_the_loop_goes_on(
    workers: Workers, released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(targets=TARGETS[:2], together=workers, make_tracker=lambda: HangingTracker(TrackerSettings()))
    assert bench.steps(6)[-1].command.state is GateState.ON
    monkeypatch.setattr(HangingTracker, "hangs_on", released)
    held = [bench.step(6).command, bench.engine.tick().command, bench.step(7).command]
    assert {(one.state, one.reason) for one in held} == {(GateState.HOLD, GateReason.TRACKER_FAULT)}
    assert bench.engine.state is EngineState.LATCHED
