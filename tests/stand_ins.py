"""What stands in for the kernel's calls on serial ports and GPIO lines: a level in a file that dies with its process.

A pseudo-terminal has no modem lines and this kernel may have no GPIO simulator. The lock that the kernel drops when its
holder dies plays the part of a line that falls when its port is closed; nothing more is shown by it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, ClassVar


class LockedLevel:
    """A level that other processes see: raised while a living process holds the lock on a file."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file: int | None = os.open(path, os.O_RDWR)
        self.level = False

    def drive(self, level: bool) -> None:
        assert self._file is not None
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB if level else fcntl.LOCK_UN)
        self.level = level

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self.level = None, False


class StandInPort:
    """The line calls of a serial port, with RTS looped to CTS and DTR to DSR."""

    made: ClassVar[list[StandInPort]] = []

    def __init__(self, settings: Any) -> None:
        self._path, self.broken, self.stuck = Path(settings.port), False, False
        self.is_open = False
        self._lines: dict[str, LockedLevel] = {}
        StandInPort.made.append(self)

    def open(self) -> None:
        if not self._path.parent.exists():
            raise FileNotFoundError(2, "No such file or directory", str(self._path))
        self._lines = {name: LockedLevel(self._path.with_suffix(f".{name}")) for name in ("rts", "dtr")}
        self.is_open = True

    def close(self) -> None:
        for line in self._lines.values():
            line.release()
        self.is_open = False

    def _get(self, name: str) -> bool:
        if self.broken:
            raise OSError(5, "Input/output error")
        return self._lines[name].level and not self.stuck

    def _set(self, name: str, level: bool) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")
        self._lines[name].drive(level)

    rts = property(lambda self: self._get("rts"), lambda self, level: self._set("rts", level))
    dtr = property(lambda self: self._get("dtr"), lambda self, level: self._set("dtr", level))
    cts = property(lambda self: self._get("rts"))
    dsr = property(lambda self: self._get("dtr"))
    in_waiting = 0

    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


class StandInLines:
    """Two GPIO lines, the output wired to the input."""

    def __init__(self, settings: Any) -> None:
        self._line = LockedLevel(Path(settings.chip))
        self.driven: list[bool] = []
        self.broken = False

    def drive(self, level: bool) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")
        self._line.drive(level)
        self.driven.append(level)

    def read(self) -> bool:
        return self._line.level

    def release(self) -> None:
        self._line.release()
