"""A process of its own for work that parses files or takes long: whatever comes of it, the console goes on.

Only bytes come back from it, and nothing of them is unpickled: a file that takes such a process over gains no more.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from gating.errors import CinegateError

MAX_ANSWER_BYTES: Final = 64 * 2**20
_DONE, _REFUSED = b"+", b"-"


class WorkError(CinegateError, ValueError):
    """The work was refused, or could not be done. One sentence."""


class Worker:
    """One process, started when it is first needed and again after it has ended; one piece of work at a time."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._turn, self._ending = threading.Lock(), threading.Lock()

    def run(self, work: Callable[..., bytes], *arguments: Any, limit_s: float) -> bytes:
        """Do a piece of work in the process, and return what came of it.

        Parameters
        ----------
        work
            A function of a module; it and its arguments must be picklable.
        limit_s
            After this time, s, the process is ended.

        Raises
        ------
        WorkError
            If the work raises `ValueError` or `OSError`, with that sentence; if it takes too long; or if the process
            ends.
        """
        with self._turn:
            try:
                pipe = self._started()
                pipe.send((work, arguments))
                if not pipe.poll(limit_s):
                    self.close()
                    raise WorkError(f"it took longer than {limit_s:g} s, which is the limit")
                answer = pipe.recv_bytes(MAX_ANSWER_BYTES)
            except (EOFError, OSError):
                self.close()
                raise WorkError("the process that did the work has ended; nothing was changed, try again") from None
        if answer[:1] == _REFUSED:
            raise WorkError(answer[1:].decode())
        return answer[1:]

    def close(self) -> None:
        """End the process, from any thread; work in progress is refused then. Twice is harmless."""
        with self._ending:
            process, self._process = self._process, None
            if process is not None:
                process.kill()
                process.join()
                process.close()

    def _started(self) -> Connection:
        with self._ending:
            if self._process is None or self._pipe is None:
                if self._pipe is not None:
                    self._pipe.close()
                context = get_context("spawn")
                self._pipe, theirs = context.Pipe()
                self._process = context.Process(target=_work, args=(theirs,), daemon=True)
                self._process.start()
                theirs.close()
            return self._pipe


def _work(pipe: Connection) -> None:
    """Work until the console has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console ends this process
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            work, arguments = pipe.recv()
            pipe.send_bytes(_answer(work, arguments))


def _answer(work: Callable[..., bytes], arguments: tuple[Any, ...]) -> bytes:
    try:
        return _DONE + work(*arguments)
    except (CinegateError, ValueError) as error:
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.filename or 'a file'}: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 (the sentence must reach the page, whatever a library raises)
        sentence = f"it failed: {type(error).__name__}: {error}"
    return _REFUSED + sentence[:1000].encode()
