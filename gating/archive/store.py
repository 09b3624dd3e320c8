"""The index on disk: Parquet files that are written once, and read together.

Each file appears under its name when it is whole and on the disk. A row is known by its log and its content hash, and
is the same whoever writes it: two writers, or a writer that was killed, leave nothing behind but the same row twice.
Compaction writes the rows of many files to one and then removes those; what it had not read stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gating.errors import CinegateError

if TYPE_CHECKING:
    import pyarrow

    from gating.archive.row import SessionRow

FOLDER: Final = ".cinegate_index"
FORMAT: Final = 1
"""Another one, and the index is made anew, as it is for each version of cinegate: its figures may differ."""
KEY: Final = ("log", "content_hash")
MANY: Final = 40
"""Files from which on they are compacted; reading so many takes a tenth of a second."""
LEFT_OVER_S: Final = 3600.0
"""Age from which on a file that a writer did not finish is removed."""
_TRIES: Final = 20


class ArchiveError(CinegateError, ValueError):
    """The index cannot be read, or a question cannot be answered. The text is one sentence."""


class SessionStore:
    """The index of one folder of logs.

    Parameters
    ----------
    folder
        Where the index is kept; made when something is written. Its files are readable by their owner alone (0600).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"{FORMAT}-{version('cinegate')}"

    def add(self, rows: Sequence[SessionRow]) -> None:
        """Write rows, so that they are on the disk when this returns. Raises `OSError`."""
        if rows:
            self._write(table_of(rows))

    def read(self) -> pyarrow.Table:
        """Return every row once.

        Raises
        ------
        ArchiveError
            If a file of the index is damaged; `rebuild` makes it anew from the logs.
        OSError
            If the index cannot be read.
        """
        for _ in range(_TRIES):
            files = self._files()
            with contextlib.suppress(FileNotFoundError):
                table = self._read(files)
                if set(files) <= set(self._files()):  # or else a compaction may have moved rows past this reader
                    return _once(table)
        raise ArchiveError(f"{self.folder}: other programs rewrite the index faster than it can be read")

    def compact(self) -> None:
        """Put the rows of many small files into one. Raises as `read` and `add`.

        Files that are larger than all smaller ones together stay as they are, so that no row is written often.
        """
        try:
            sizes = sorted((file.stat().st_size, file) for file in self._files())
            if len(sizes) < MANY:
                return
            chosen, total = list[Path](), 0
            for size, file in sizes:
                if len(chosen) >= MANY // 2 and size > total:
                    break
                chosen.append(file)
                total += size
            self._write(_once(self._read(chosen)))
        except FileNotFoundError:
            return  # somebody else compacts
        for file in chosen:
            file.unlink(missing_ok=True)
        for file in self.folder.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > LEFT_OVER_S:
                    file.unlink()

    def clear(self) -> None:
        """Remove the index of this version; the logs are not touched."""
        for file in self._files():
            file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _read(self, files: Iterable[Path]) -> pyarrow.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = list[pa.Table]()
        for file in files:
            try:
                tables.append(pq.ParquetFile(file).read(use_threads=False))
            except pa.ArrowInvalid as error:
                reason = str(error).partition("\n")[0]
                raise ArchiveError(
                    f"{file}: damaged ({reason}); `cinegate sessions rebuild` makes the index anew"
                ) from None
        return pa.concat_tables(tables) if tables else table_of([])

    def _write(self, table: pyarrow.Table) -> None:
        import pyarrow.parquet as pq

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        part = self.folder / f"{name}.part"
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            pq.write_table(table, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.folder / f"{name}.parquet")
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def table_of(rows: Sequence[SessionRow]) -> pyarrow.Table:
    """Return rows as a table."""
    import pyarrow as pa

    from gating.archive.row import arrow_schema  # here, as a reader has no need of what computes the figures

    return pa.Table.from_pylist([msgspec.to_builtins(row, builtin_types=(datetime,)) for row in rows], arrow_schema())


def _once(table: pyarrow.Table) -> pyarrow.Table:
    """Return the newest row of each log and content."""
    import pyarrow as pa

    keys = zip(*(table.column(name).to_pylist() for name in KEY), table.column("indexed_utc").to_pylist(), strict=True)
    newest: dict[tuple[str, str], tuple[datetime, int]] = {}
    for at, (log, digest, indexed) in enumerate(keys):
        newest[log, digest] = max(newest.get((log, digest), (indexed, at)), (indexed, at))
    if len(newest) == table.num_rows:
        return table
    return table.take(pa.array(sorted(at for _, at in newest.values()), pa.int64()))
