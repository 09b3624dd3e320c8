"""Keeps an index true to its folder: new logs are added, and those that vanished or changed are told apart."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from gating.archive.store import FOLDER, MANY, ArchiveError, SessionStore

if TYPE_CHECKING:
    import pyarrow

    from gating.archive.row import SessionRow

SUFFIX: Final = ".mcap"
FILE: Final = ("size_bytes", "modified_ns", "changed_ns")
WORTH_PROCESSES: Final = 50
"""Logs from which on several processes are faster than one, in spite of their start."""
State = Literal["present", "copy", "vanished", "changed", "continued"]
"""As indexed; the same content as another log that is present; no longer there; other content than when it was indexed;
a torn log that goes on with more."""


class FileState(Struct, frozen=True, kw_only=True):
    """What became of a row's log."""

    log: str
    content_hash: str
    state: State


@dataclass(slots=True)
class Scan:
    """A folder beside its index.

    Attributes
    ----------
    table
        Every row of the index.
    states
        Of every row, in the same order.
    unindexed
        Logs that could not be indexed now, and why: one sentence each.
    added
        Number of rows that were added.
    """

    table: pyarrow.Table
    states: list[FileState]
    unindexed: list[str] = field(default_factory=list)
    added: int = 0


def scan(
    logs: Path,
    store: SessionStore,
    *,
    begin: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
    check_all: bool = False,
    processes: int | None = None,
) -> Scan:
    """Index what is new in a folder and its subfolders, and find out what became of what is not.

    A file whose size and times are those of its row is taken to be the same, and is hashed otherwise.

    Parameters
    ----------
    logs
        Folder of session logs.
    store
        Its index.
    begin
        Called with the number of logs to index; returns what is called after each.
    check_all
        Hash every log.
    processes
        How many read logs at once; by default one for each processor where there are many logs.

    Raises
    ------
    ArchiveError
        If a file of the index is damaged, or a process that reads logs dies.
    OSError
        If the folder or the index cannot be read, or the index cannot be written.
    """
    known, files = _Known(store.read()), dict(_files(logs))
    new = [name for name, file in files.items() if check_all or known.current(name, file) is None]
    done, unindexed, added = begin(len(new)), list[str](), 0
    for name, row in zip(new, _rows(logs, new, known, processes), strict=True):
        if isinstance(row, str):
            unindexed.append(row)
        elif row is not None:
            store.add([row])
            files[name] = {field: getattr(row, field) for field in FILE}
            added += 1
            if added % MANY == 0:
                store.compact()
        done()
    store.compact()
    known = _Known(store.read()) if added else known
    return Scan(known.table, list(known.states(files)), unindexed, added)


def _files(logs: Path) -> Iterator[tuple[str, dict[str, int]]]:
    for name in session_logs(logs):
        with contextlib.suppress(FileNotFoundError):  # it was removed a moment ago
            yield name, _file(f"{logs}/{name}")


def _rows(logs: Path, new: list[str], known: _Known, processes: int | None) -> Iterator[SessionRow | str | None]:
    """Yield for each log its row, None if it is indexed as it is, or why it cannot be indexed now, in words."""
    work, several = partial(_row, logs, known), processes or len(os.sched_getaffinity(0))
    if several == 1 or (processes is None and len(new) < WORTH_PROCESSES):
        yield from map(work, new)
        return
    try:
        with ProcessPoolExecutor(several, get_context("spawn")) as pool:
            yield from pool.map(work, new, chunksize=4)
    except BrokenProcessPool:
        raise ArchiveError(f"a process that read logs of {logs} died; what it had indexed stays") from None


def _row(logs: Path, known: _Known, name: str) -> SessionRow | str | None:
    try:
        return _index(logs, name, known)
    except OSError as error:
        return f"{logs / name}: {error.strerror or error}"


def session_logs(folder: Path) -> Iterator[str]:
    """Yield the path, from the folder, of every log in it and its subfolders, in order."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != FOLDER)
        within = os.path.relpath(parent, folder)
        yield from (os.path.normpath(os.path.join(within, name)) for name in sorted(files) if name.endswith(SUFFIX))  # noqa: PTH118


class _Known:
    """The rows of the index, by what they are looked up by."""

    def __init__(self, table: pyarrow.Table) -> None:
        self.table = table
        names = ("log", "content_hash", "follows", "cut", *FILE)
        rows = table.select(names).to_pylist()
        self.by_log: dict[str, list[dict[str, Any]]] = {}
        self.by_hash: dict[str, int] = {}
        for at, row in enumerate(rows):
            self.by_log.setdefault(row["log"], []).append(row)
            self.by_hash.setdefault(row["content_hash"], at)
        self._rows = rows

    def current(self, log: str, file: dict[str, int]) -> dict[str, Any] | None:
        """Return the row of a log whose file is as it was; None if there is none."""
        return next((row for row in self.by_log.get(log, []) if all(row[name] == file[name] for name in FILE)), None)

    def states(self, files: dict[str, dict[str, int]]) -> Iterator[FileState]:
        """Yield what became of each row's log, from the files that are there."""
        now = {log: row for log, file in files.items() if (row := self.current(log, file)) is not None}
        first: dict[str, str] = {}
        for log in sorted(now):
            first.setdefault(now[log]["content_hash"], log)
        continued = {row["follows"] for row in self._rows}
        for row in self._rows:
            log, digest = row["log"], row["content_hash"]
            state: State
            if now.get(log) is row and first[digest] == log:
                state = "present"
            elif digest in first:
                state = "copy"  # or it was moved
            elif log not in files:
                state = "vanished"
            else:
                state = "continued" if digest in continued else "changed"
            yield FileState(log=log, content_hash=digest, state=state)


def _file(path: str | Path) -> dict[str, int]:
    """Return what tells cheaply whether a file is still the same."""
    there = os.stat(path)  # noqa: PTH116 - of thousands of files
    return dict(zip(FILE, (there.st_size, there.st_mtime_ns, there.st_ctime_ns), strict=True))


def content_hash(path: Path, size_bytes: int | None = None) -> str:
    """Return the BLAKE2b-256 of a file, or of its beginning. Raises `OSError`."""
    with path.open("rb") as stream:
        if size_bytes is None:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        digest = hashlib.blake2b(digest_size=32)
        while size_bytes > 0 and (piece := stream.read(min(size_bytes, 1 << 20))):
            digest.update(piece)
            size_bytes -= len(piece)
        return digest.hexdigest()


def _index(logs: Path, name: str, known: _Known) -> SessionRow | None:
    """Return the row of a log; None if it is in the index as it is.

    The figures are computed only for content that no row has. A log that is being written waits for the next time.
    """
    from gating.archive.row import SessionRow, read_row

    path = logs / name
    before, digest = _file(path), content_hash(path)
    same = known.current(name, before)
    if same is not None and same["content_hash"] == digest:
        return None
    about: dict[str, Any] = before | {
        "log": name,
        "content_hash": digest,
        "indexed_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    about["follows"] = _followed(path, known.by_log.get(name, []), before["size_bytes"])
    if digest in known.by_hash:
        row = SessionRow(**known.table.slice(known.by_hash[digest], 1).to_pylist()[0] | about)
    else:
        row = read_row(path, about)
    if _file(path) != before:
        raise OSError("it is being written; it will be indexed when it rests")
    return row


def _followed(path: Path, rows: list[dict[str, Any]], size_bytes: int) -> str:
    """Return the content hash of the torn log that a log begins with; empty if it begins with none."""
    torn = [row for row in rows if row["cut"] and row["size_bytes"] < size_bytes]
    return next((d for row in torn if content_hash(path, row["size_bytes"]) == (d := row["content_hash"])), "")
