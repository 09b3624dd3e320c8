"""Whose sessions they are: `labels.csv` beside the logs, which themselves name no patient.

The columns are `log` (file name, or path from the folder of the table), `patient`, `plan` and `fraction`, best
pseudonyms. The table is the site's own, and is read anew for every question.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gating.archive.store import ArchiveError
from gating.report.labels import Labels
from gating.settings.private_file import private_file

NAME: Final = "labels.csv"
COLUMNS: Final = ("log", "patient", "plan", "fraction")


def read_labels(logs: Path, tables: Iterable[Path]) -> dict[str, Labels]:
    """Return the labels of every log that has some, by its path in the folder of logs.

    Raises
    ------
    ArchiveError
        If a table lacks a column, has a line without a value for one, a label that is too long, or a log twice.
    OSError
        If a table cannot be read.
    """
    found: dict[str, Labels] = {}
    for path in tables:
        within = path.parent.relative_to(logs).as_posix()
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ArchiveError(f"{path}: has no column {missing[0]!r}; {', '.join(COLUMNS)} are needed")
            for row in reader:
                log = posixpath.normpath(posixpath.join(within, row["log"] or ""))
                try:
                    labels = Labels(**{name: row[name].strip() for name in COLUMNS[1:]})
                except (AttributeError, ValueError) as error:
                    raise ArchiveError(f"{path}, line {reader.line_num}: {_said(error)}") from None
                if found.setdefault(log, labels) is not labels:
                    raise ArchiveError(f"{path}, line {reader.line_num}: {log} has labels already; one line is allowed")
    return found


def _said(error: Exception) -> str:
    return "it has too few columns" if isinstance(error, AttributeError) else str(error)


def label_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder and its subfolders, in order."""
    return sorted(folder.rglob(NAME))


def write_labels(folder: Path, labels: Iterable[tuple[str, Labels]]) -> None:
    """Write the table of a folder, with mode 0600: log and labels of each session. Raises `OSError`."""
    with private_file(folder / NAME).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows((log, one.patient, one.plan, one.fraction) for log, one in labels)
