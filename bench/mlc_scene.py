"""The processes of a live session that a machine follows, stopped and killed one by one, and what they recorded."""

from __future__ import annotations

import csv
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gating.service.pipeline import PipelineError, Session

STOPPED_S: Final = 0.7
STEADY_S: Final = 0.5
"""Following for so long counts as undisturbed."""
PATIENCE_S: Final = 90.0
SUCCESSION_NS: Final = 1_000_000_000
"""No publisher or engine that is started anew can be followed earlier (`drivers.beam.watchdog.QUIET_NS`)."""
ROWS_PER_S: Final = 100
ROW_BYTES: Final = 400
"""More than a row of a follower's record has."""

Row = dict[str, str]


@dataclass(frozen=True)
class Disturbance:
    """What was done to which process, when, and when its effect had ended."""

    kind: str
    role: str
    from_ns: int
    until_ns: int


class Scene:
    """A session, and what its followers have recorded, also in sessions before it.

    Parameters
    ----------
    session
        Makes a session in a folder of its own.
    commands
        Roles, in the order of their start, with their arguments.
    """

    def __init__(self, session: Callable[[], Session], commands: dict[str, list[str]]) -> None:
        self._make, self._commands = session, commands
        self._session: Session | None = None
        self.records: list[Path] = []

    @property
    def session(self) -> Session:
        """The session that runs now."""
        assert self._session is not None, "the scene has begun"
        return self._session

    def begin(self) -> None:
        """Start a session, the one before having been stopped. Raises `PipelineError` if nothing is followed."""
        self.stop()
        self._session = self._make()
        for role in self._commands:
            self.start(role)
        self.await_following(1.0)

    def stop(self) -> None:
        """Stop the session."""
        if self._session is not None:
            self._session.stop()

    def start(self, role: str) -> None:
        """Start a process; a follower gets a record of its own."""
        words = list(self._commands[role])
        if role == "follow":
            self.records.append(self.session.folder / f"followed_{len(self.records)}.csv")
            words = [str(self.records[-1]), *words]
        self.session.start(role, *words)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process."""
        self.session.processes[role].send_signal(number)

    def kill(self, role: str) -> None:
        """Kill a process and start it anew."""
        self.signal(role, signal.SIGKILL)
        self.session.processes[role].wait()
        self.start(role)

    def rows(self) -> list[Row]:
        """Return what was recorded so far; a row that is not finished is left out."""
        found: list[Row] = []
        for record in self.records:
            if record.exists():
                text = record.read_text(encoding="utf-8")
                found += csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        return found

    def await_following(self, seconds: float) -> None:
        """Wait until a position has been followed for some time without a break. Raises `PipelineError`."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            newest = _newest(self.records[-1], round(ROWS_PER_S * seconds))
            if len(newest) >= round(0.8 * ROWS_PER_S * seconds) and all(row.split(",")[1] == "1" for row in newest):
                return
            time.sleep(0.1)
        why = newest[-1].split(",")[2] if newest else "it recorded nothing"
        ends = {role: self.session.output(role).splitlines()[-3:] for role in self.session.processes}
        raise PipelineError(f"nothing was followed for {PATIENCE_S:g} s: {why}; last words: {ends}")

    def disturb(self, kind: str, role: str) -> Disturbance:
        """Stop or kill a process, and wait until the target is followed again. Raises `PipelineError`."""
        self.await_following(STEADY_S)
        from_ns = time.monotonic_ns()
        if kind == "kill":
            self.kill(role)
        else:
            self.signal(role, signal.SIGSTOP)
            time.sleep(STOPPED_S)
        until_ns = time.monotonic_ns()
        if kind == "stop":
            self.signal(role, signal.SIGCONT)
        elif role != "follow":
            until_ns = from_ns + SUCCESSION_NS
        self.await_following(STEADY_S)
        return Disturbance(kind, role, from_ns, until_ns)


def _newest(record: Path, count: int) -> list[str]:
    """Return the newest rows of a record, without its head and a row that is not finished."""
    if not record.exists():
        return []
    with record.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (count + 2) * ROW_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[1:-1][-count:]
