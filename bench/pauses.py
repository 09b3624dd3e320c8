"""When an ordinary process of this machine was not run: the machine stood still, or was busy with something else."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final

LOOK_MS: Final = 5.0


class Pauses:
    """Looks at the clock every `LOOK_MS` from a thread of ordinary priority, while it is entered.

    Parameters
    ----------
    least_ms
        By how much it must wake too late for that to be a pause.
    """

    def __init__(self, least_ms: float) -> None:
        self._least_ns = round(least_ms * 1e6)
        self._found_ns: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def longest_ms(self, since_ns: int) -> float:
        """Return the longest pause since a time of `time.monotonic_ns`, ms; 0 if there was none."""
        lengths = [end_ns - begin_ns for begin_ns, end_ns in tuple(self._found_ns) if end_ns > since_ns]
        return round(max(lengths, default=0) / 1e6, 1)

    def _look(self) -> None:
        while not self._over.is_set():
            due_ns = time.monotonic_ns() + round(LOOK_MS * 1e6)
            time.sleep(LOOK_MS / 1e3)
            if (now_ns := time.monotonic_ns()) - due_ns >= self._least_ns:
                self._found_ns.append((due_ns, now_ns))
