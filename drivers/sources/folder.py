"""A watched folder as a stream of files, each taken once it is complete."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from drivers.errors import BadFrame, SourceFault, Unavailable
from drivers.formats.frame import VendorFrame
from drivers.sources.live import Arrival, LiveSettings
from gating.clocks.clock import Clock

POLL_MS: Final = 2.0
RESCAN_NS: Final = 100_000_000
"""A folder is listed when its own time stamp changes, and this often anyway: file systems round that stamp."""
MAX_FILES: Final = 1_000_000
GROWS_WITHIN_NS: Final = 10 * 10**9
"""A file that has not changed for longer than this when it is first seen does not grow any more."""

_log: Final = logging.getLogger("cinegate.source")


class FolderSettings(LiveSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every source that watches a folder."""

    existing: Annotated[bool, Meta(description="Also read the files that exist at the start.")] = False
    incomplete_ms: Annotated[
        float, Meta(ge=10, le=60_000, description="An unreadable file that has not changed for so long is refused.")
    ] = 500.0


@dataclass(slots=True)
class _Pending:
    path: Path
    size: int = -1
    changed_ns: int = -1
    seen_ns: int = 0
    problem: str = ""


class WatchedFolder:
    """`Arrivals` from a folder.

    A file that cannot be read may be half written. It is read again whenever it has changed, and refused once it has
    not changed for `incomplete_ms`. Links and everything else that is not a regular file are skipped.

    Parameters
    ----------
    name
        Name of the source.
    folder
        Folder to watch, without the folders in it.
    suffixes
        Suffixes of the files to read, in lower case; an empty one stands for a name without a dot.
    read
        Returns the frames of a file; raises `BadFrame`.
    settings
        `incomplete_ms`, and whether files that exist at the start are read; by default they are ignored as old.
    clock
        The host's monotonic clock.
    growing
        Whether a file goes on after it could be read: `read` then returns the frames that are new in it.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        suffixes: Sequence[str],
        read: Callable[[Path], Sequence[VendorFrame]],
        settings: FolderSettings,
        clock: Clock,
        *,
        growing: bool = False,
    ) -> None:
        self.name = name
        self._folder, self._suffixes, self._read = Path(folder), tuple(suffixes), read
        self._incomplete_ns, self._existing = round(settings.incomplete_ms * 1e6), settings.existing
        self._clock, self._growing = clock, growing
        self._seen: set[str] = set()
        self._pending: dict[str, _Pending] = {}
        self._ready: deque[Arrival] = deque()
        self._listed_ns, self._folder_changed_ns = 0, -1

    def open(self) -> None:
        """List the folder for the first time. Raises `Unavailable`."""
        self._seen, self._pending, self._ready = set(), {}, deque()
        self._listed_ns, self._folder_changed_ns = 0, -1
        try:
            self._list()
        except SourceFault as error:
            raise Unavailable(str(error)) from None
        if not self._existing:
            self._leave_alone()
        _log.info("watches %s for %s", self._folder, " ".join(filter(None, self._suffixes)) or "files")

    def _leave_alone(self) -> None:
        """Forget the files that are there; of one that still grows, forget the frames that are there."""
        for name, file in list(self._pending.items()):
            try:
                status = file.path.stat()
                if self._growing and time.time_ns() - status.st_mtime_ns < GROWS_WITHIN_NS:
                    file.size, file.changed_ns = status.st_size, status.st_mtime_ns
                    self._read(file.path)
                    continue
            except (OSError, BadFrame):
                pass
            del self._pending[name]

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the next file's frames, or what was wrong with it; None on time-out. Raises `SourceFault`."""
        until_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while True:
            if not self._ready:
                self._list()
                self._read_pending()
            if self._ready:
                return self._ready.popleft()
            left_ms = (until_ns - time.monotonic_ns()) / 1e6
            if left_ms <= 0:
                return None
            time.sleep(min(POLL_MS, left_ms) / 1e3)

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _list(self) -> None:
        now_ns = time.monotonic_ns()
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns == self._folder_changed_ns and now_ns - self._listed_ns < RESCAN_NS:
                return
            self._folder_changed_ns, self._listed_ns = changed_ns, now_ns
            with os.scandir(self._folder) as entries:
                new = sorted(
                    entry.name
                    for entry in entries
                    if entry.name not in self._seen
                    and not entry.name.startswith(".")
                    and os.path.splitext(entry.name)[1].lower() in self._suffixes  # noqa: PTH122 (hot, a Path costs 10 us)
                    and entry.is_file(follow_symlinks=False)
                )
        except OSError as error:
            raise SourceFault(f"{self.name}: the folder {self._folder} cannot be read: {error.strerror}") from None
        if len(self._seen) + len(new) > MAX_FILES:
            raise SourceFault(f"{self.name}: the folder {self._folder} holds more than {MAX_FILES} files, the limit")
        for name in new:
            self._seen.add(name)
            self._pending[name] = _Pending(self._folder / name, seen_ns=now_ns)

    def _read_pending(self) -> None:
        """Read the files that have changed. Those found together are sorted by acquisition, whatever their names."""
        found: list[Arrival] = []
        for name, file in list(self._pending.items()):
            try:
                status = file.path.stat()
            except OSError:
                del self._pending[name]
                continue
            now_ns = time.monotonic_ns()
            if (status.st_size, status.st_mtime_ns) != (file.size, file.changed_ns):
                file.size, file.changed_ns, file.seen_ns = status.st_size, status.st_mtime_ns, now_ns
                try:
                    frames = tuple(self._read(file.path))
                except BadFrame as error:
                    file.problem = str(error)
                    continue
                if frames:
                    found.append(Arrival(self._clock.now_ns(), frames))
                file.problem = ""
                if not self._growing:
                    del self._pending[name]
            elif not file.problem and self._growing:
                continue
            elif now_ns - file.seen_ns > self._incomplete_ns:
                waited_ms = self._incomplete_ns / 1e6
                problem = f"file {name[:80]} was refused, unchanged for {waited_ms:g} ms: {file.problem}"
                self._ready.append(Arrival(self._clock.now_ns(), problem=problem))
                del self._pending[name]
        self._ready += sorted(
            found, key=lambda arrival: min((frame.acquired_ns for frame in arrival.frames), default=0)
        )
