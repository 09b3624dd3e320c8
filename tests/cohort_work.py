"""Work that kills its process, fails or counts, for the tests of cohorts; other processes import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from msgspec import Struct

NOT_USABLE = b"not usable"


class Sizes(Struct, frozen=True, kw_only=True):
    """The size of a file; a file that says so cannot be used, and one named `faulty` meets a fault in the code."""

    setting: float = 0.0

    def __call__(self, path: Path):
        content = path.read_bytes()
        if content == NOT_USABLE:
            raise ValueError(f"{path.name} cannot be used")
        if path.stem == "faulty":
            raise KeyError("a fault")
        return {"bytes": len(content), "nothing": float("nan")}

    def remark(self, result):
        return "empty" if result["bytes"] == 0 else ""


class Kills(Sizes, frozen=True, kw_only=True):
    """Kills its process at the file `victim`, the first times."""

    marks: str
    times: int

    def __call__(self, path: Path):
        mark = Path(self.marks, f"{path.stem}.killed")
        if path.stem == "victim" and (mark.stat().st_size if mark.exists() else 0) < self.times:
            with mark.open("ab") as file:
                file.write(b".")
            os.kill(os.getpid(), signal.SIGKILL)
        return Sizes.__call__(self, path)


def write_files(folder: Path, count: int) -> list[str]:
    """Write files of different sizes; return their paths."""
    paths = [folder / f"{number:03d}.mcap" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(number))
    return [str(path) for path in paths]
