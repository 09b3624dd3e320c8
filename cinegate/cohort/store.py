"""Results that are kept: one file for each log, settings and version of the code, so that no work is done twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec
import xxhash

from gating.settings.private_file import private_file

BEGUN: Final = "begun"


class ResultStore:
    """A folder of results. Any number of processes may use it; it must be the same folder for all of them.

    A result is written beside its place and renamed into it, so it is there as a whole or not at all. A file that holds
    no JSON, after the host has crashed, counts as absent.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run

    def open(self) -> None:
        """Make the folder, and the mark of this run by which other hosts see that it is the same folder."""
        self._mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._mark.touch(mode=0o600)

    def close(self) -> None:
        """Remove what only this run needs. Twice is harmless."""
        for file in (self.folder / BEGUN).glob(f"{self.run}*"):
            file.unlink(missing_ok=True)

    def is_seen(self) -> bool:
        """Return whether this process sees the folder of the run."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.folder / BEGUN / self.run

    def read(self, key: str) -> bytes | None:
        """Return a result, JSON; None if it is not there."""
        try:
            content = self._place(key).read_bytes()
            msgspec.json.decode(content, type=msgspec.Raw)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return content

    def write(self, key: str, result: Any) -> None:
        """Keep a result; NaN and infinity become null."""
        place = self._place(key)
        place.parent.mkdir(exist_ok=True, mode=0o700)
        beside = place.with_name(f"{place.name}.{self.run}.{os.getpid()}")
        private_file(beside).write_bytes(msgspec.json.encode(result))
        beside.replace(place)

    def begin(self, source: str) -> int:
        """Note that work on a source begins; return how often it has begun in this run."""
        with self._begun(source).open("ab") as file:
            file.write(b".")
            return file.tell()

    def end(self, source: str) -> None:
        """Note that the process has outlived the work on a source."""
        self._begun(source).unlink(missing_ok=True)

    def _begun(self, source: str) -> Path:
        return self.folder / BEGUN / f"{self.run}-{xxhash.xxh3_128_hexdigest(source.encode())}"

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
