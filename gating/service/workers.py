"""Two threads for the targets of a frame: the gating loop's own, and one helper beside it.

Both take tasks that nobody has begun, the loop from the front and the helper from the back, so that each mostly gets
the same targets and finds their data in its caches. A helper that is late therefore delays nothing but the task it has
begun. The loop waits for that one before it decides.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from gating.tracking.checked_tracker import TrackerFault
from gating.tracking.together import Outcome, one_by_one

T = TypeVar("T")

SWITCH_S: Final = 5e-5
"""How long a thread keeps the interpreter's lock if the other one waits for it; 5 ms, the default, outlast a frame."""
LONGEST_WAIT_S: Final = 0.25
"""For a task that the helper has begun. The loop renews no lease meanwhile, so the beam is held after 100 ms."""


class _Round(Generic[T]):
    """The tasks of one call."""

    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self._tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._outcomes: list[Outcome[T] | None] = [None] * len(tasks)
        self.is_helped = threading.Event()
        """Set when the helper finds no more tasks."""

    def work(self, take: Callable[[deque[int]], int]) -> None:
        """Do tasks until none waits. Taking one from a deque is atomic."""
        while True:
            try:
                index = take(self._waiting)
            except IndexError:
                return
            self._outcomes[index] = Outcome(self._tasks[index])

    def outcomes(self) -> list[Outcome[T]]:
        """Return the outcomes of the tasks that have ended."""
        return [outcome for outcome in self._outcomes if outcome is not None]


class Workers:
    """The caller and one helper thread; a `Together` of the engine.

    While it is closed the caller does everything itself.
    """

    def __init__(self) -> None:
        self._helper: threading.Thread | None = None
        self._rounds: SimpleQueue[_Round[Any] | None] = SimpleQueue()
        self._failure, self._switch_s = "", 0.0

    def open(self) -> None:
        """Start the helper, if there is a core for it; before the process is prepared for real time, so it is too."""
        if self._helper is None and len(os.sched_getaffinity(0)) > 1:
            self._helper = threading.Thread(target=self._help, name="targets", daemon=True)
            self._helper.start()
            self._switch_s = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)

    def close(self) -> None:
        """End the helper once it has nothing to do; one that hangs ends with the process."""
        helper, self._helper = self._helper, None
        if helper is not None:
            sys.setswitchinterval(self._switch_s)
            self._rounds.put(None)
            helper.join(LONGEST_WAIT_S)

    @property
    def helper_threads(self) -> tuple[int, ...]:
        """The kernel's numbers of the threads beside the caller's."""
        number = None if self._helper is None else self._helper.native_id
        return () if number is None else (number,)

    def __call__(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Do tasks in both threads; see `Together`.

        Raises
        ------
        TrackerFault
            If the helper does not end its task; from then on always.
        """
        if len(tasks) < 2 or self._helper is None:
            return one_by_one(tasks)
        if self._failure:
            raise TrackerFault(self._failure)
        shared = _Round(tasks)
        self._rounds.put(shared)
        shared.work(deque.popleft)
        if len(shared.outcomes()) < len(tasks) and not shared.is_helped.wait(LONGEST_WAIT_S):
            waited_ms = LONGEST_WAIT_S * 1e3
            self._failure = f"a target's tracker has not answered within {waited_ms:.0f} ms; start the engine anew"
            raise TrackerFault(self._failure)
        return [outcome.result() for outcome in shared.outcomes()]

    def _help(self) -> None:
        while (shared := self._rounds.get()) is not None:
            shared.work(deque.pop)
            shared.is_helped.set()
