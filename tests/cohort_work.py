"""Work that kills its process, fails or counts, for the tests of cohorts; other processes import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from msgspec import Struct

from tests.patience import PATIENCE_S

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
    """At the file `victim`, kills its process the first time; or takes more memory than any worker may have."""

    marks: str
    hungry: bool = False

    def __call__(self, path: Path):
        with Path(self.marks, f"{path.stem}.tries").open("ab") as mark:
            mark.write(b".")
            tries = mark.tell()
        if path.stem == "victim" and self.hungry:
            held = bytes(range(256)) * 2_500_000
            time.sleep(PATIENCE_S)
            assert not held, "640 MB were held for so long, and nothing ended this process"
        elif path.stem == "victim" and tries == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return Sizes.__call__(self, path)


def write_files(folder: Path, count: int) -> list[str]:
    """Write files of different sizes; return their paths."""
    paths = [folder / f"{number:03d}.mcap" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(number))
    return [str(path) for path in paths]
