"""The store of results: a folder with one JSON file a run, written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gating.analysis.trend import Trend, watch
from gating.qa.judging import StepResult, Verdict, worst

SCHEMA: Final = "cinegate-qa/1"


class QaRun(Struct, frozen=True, kw_only=True):
    """One run of a procedure."""

    schema: Literal["cinegate-qa/1"] = SCHEMA
    procedure: str
    title: str
    procedure_hash: str
    """xxh3-128 of the procedure with its parameters: runs of different ones are not the same measurement."""
    started_at: str
    """Wall-clock time, ISO 8601 with zone."""
    duration_s: float
    operator: str = ""
    config_hash: str
    host: dict[str, Any] = {}
    results: tuple[StepResult, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of its steps."""
        return worst(self.results)


def write_run(folder: Path, run: QaRun) -> Path:
    """Write a run to the folder, which is made if need be; the file appears whole, readable by its owner alone.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{run.procedure}-{re.sub('[^0-9A-Za-z]', '', run.started_at)}.json"
    handle, unfinished = tempfile.mkstemp(dir=folder, prefix=".", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(run), indent=1))
            file.flush()
            os.fsync(file.fileno())
        return Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def read_runs(folder: Path, procedure: str) -> tuple[list[QaRun], list[str]]:
    """Return the runs of a procedure, the oldest first, and a sentence for each file that holds none.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    runs, unreadable = list[QaRun](), list[str]()
    for path in sorted(folder.glob(f"{procedure}-*.json")):
        try:
            runs.append(msgspec.json.decode(path.read_bytes(), type=QaRun))
        except (OSError, msgspec.MsgspecError) as error:
            unreadable.append(f"{path.name} is no result of a run and is left out of the trend: {error}")
    return sorted((run for run in runs if run.procedure == procedure), key=lambda run: run.started_at), unreadable


def trend_of(runs: Sequence[QaRun], result: StepResult, baseline_runs: int) -> Trend:
    """Return the trend of a step over runs, in order; those that could not measure it are left out."""
    found = [one for run in runs for one in run.results if one.name == result.name and one.value is not None]
    values, good = [one.value for one in found], [one.verdict is Verdict.GOOD for one in found]
    return watch([value for value in values if value is not None], good, baseline_runs, result.tolerance)


def with_flags(run: QaRun, before: Sequence[QaRun], baseline_runs: int) -> QaRun:
    """Return a run whose results say whether their trend left its control limits with this run."""
    return replace(run, results=tuple(_flagged(run, before, one, baseline_runs) for one in run.results))


def _flagged(run: QaRun, before: Sequence[QaRun], result: StepResult, baseline_runs: int) -> StepResult:
    if not result.trend or result.value is None:
        return result
    trend = trend_of([*before, run], result, baseline_runs)
    return replace(result, flag=trend.signals.get(len(trend.values) - 1, ""))
