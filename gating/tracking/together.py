"""How the tasks of one frame are done: one by one, or by several threads. The results are the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Together(Protocol):
    """Does tasks that share nothing but what they read."""

    def __call__(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Return the results of all tasks, in their order.

        Raises
        ------
        BaseException
            What the first task in that order raised, once all have ended: each is done, whatever the others do.
        """


class Outcome(Generic[T]):
    """The result of a task, or what it raised."""

    __slots__ = ("_error", "_result")

    def __init__(self, task: Callable[[], T]) -> None:
        self._result: T
        self._error: BaseException | None = None
        try:
            self._result = task()
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for; no thread dies of it
            self._error = error

    def result(self) -> T:
        """Return the result, or raise what the task raised."""
        if self._error is not None:
            raise self._error
        return self._result


def one_by_one(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Do tasks in their order, in this thread; see `Together`."""
    outcomes = [Outcome(task) for task in tasks]
    return [outcome.result() for outcome in outcomes]
