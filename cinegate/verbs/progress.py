"""What a verb shows on standard error while it works: how far it is, and for how long still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cinegate.verbs.app import console

Item = TypeVar("Item")


@contextmanager
def progress(what: str, total: int | None = None, *, shown: bool = True) -> Iterator[Callable[[], None]]:
    """Show a bar with the time left while the block runs; it gives what is called after each step.

    Nothing is shown where standard error is no terminal.

    Parameters
    ----------
    what
        What is being done.
    total
        Number of steps; None where it is not known, which shows the time that has passed.
    shown
        False for `--json`.
    """
    ends = [TimeElapsedColumn()] if total is None else [MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left")]
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *ends,
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def counted(items: Iterable[Item], what: str, total: int | None = None, *, shown: bool = True) -> Iterator[Item]:
    """Yield the items, and show how many have been worked on."""
    with progress(what, total, shown=shown) as step:
        for item in items:
            yield item
            step()


def announce_compilation() -> None:
    """Say on standard error that the engine's process will compile its kernels, where it will."""
    from gating import kernels_are_compiled

    if not kernels_are_compiled():
        console.print("the engine compiles its kernels, once for this version: about 15 s")
