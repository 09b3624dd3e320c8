"""Columns: every frame, estimate, command, beam status, position and event of a session, as CSV and as Parquet.

The columns are those of `cinegate.read_session`, whose names have the units.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinegate.exports.files import new_file, new_folder
from cinegate.sessions import SessionLog
from drivers.errors import Unavailable
from drivers.extras import missing

EVENTS: Final = np.dtype([("at_ns", np.int64), ("role", "U64"), ("severity", "U8"), ("code", "U64"), ("text", "U400")])
"""`at_ns` is on the clock of the process that reports."""


def tables(log: SessionLog) -> dict[str, NDArray[np.void]]:
    """Return the tables of a session by name, as structured arrays."""
    events = [(event.at_ns, event.role, event.severity, event.code, event.text) for event in log.events]
    return {
        "frames": log.frames,
        "estimates": log.estimates,
        "commands": log.commands,
        "beam": log.beam,
        "positions": log.positions,
        "events": np.array(events, EVENTS),
    }


def write_csv(log: SessionLog, folder: Path) -> list[Path]:
    """Write a file for each table; what is unknown is an empty cell, and no digit of a number is lost.

    Raises
    ------
    OSError
        If the folder cannot be written, or holds something already.
    """
    new_folder(folder)
    written = []
    for name, table in tables(log).items():
        path = new_file(folder / f"{name}.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(table.dtype.names or ())
            writer.writerows(["" if _is_unknown(cell) else cell for cell in row] for row in table.tolist())
        written.append(path)
    return written


def write_parquet(log: SessionLog, folder: Path) -> list[Path]:
    """Write a file for each table, with the types of its columns; what is unknown is null.

    Raises
    ------
    OSError
        If the folder cannot be written, or holds something already.
    Unavailable
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Unavailable(missing("Parquet", "pyarrow", "export")) from None
    new_folder(folder)
    written = []
    for name, table in tables(log).items():
        columns = {
            column: pyarrow.array(np.ascontiguousarray(table[column]), from_pandas=True)
            for column in table.dtype.names or ()
        }
        path = new_file(folder / f"{name}.parquet")
        parquet.write_table(pyarrow.table(columns), path)
        written.append(path)
    return written


def _is_unknown(cell: Any) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
