"""Tables over a cohort: a row for each target, outcome, setting or case."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from cinegate.cohort.run import CohortRun
from gating.analysis.whatif import Outcome, Setting, write_csv
from gating.evaluation.score import mean_figures
from gating.settings.private_file import private_file

NAN: Final = float("nan")


def figures_table(run: CohortRun, path: Path) -> int:
    """Write the figures of every target of every session, and return the number of rows."""
    rows = []
    for source, result in run.results():
        session = {"log": source, "session_id": result["session_id"], "started_at": result["started_at"]}
        rows += [session | dict(_flat(target)) for target in result["clinical"]["targets"]]
    _write(path, rows)
    return len(rows)


def _flat(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure with a name of its own; lists, which are no single figures, are left out."""
    for name, one in value.items():
        if isinstance(one, dict):
            yield from _flat(one, f"{before}{name}_")
        elif not isinstance(one, list):
            yield before + name, one


def settings_table(run: CohortRun, outcomes: Path, settings: Path) -> None:
    """Write every outcome, as `cinegate whatif` does, and what each setting comes to over the cohort."""
    found: dict[Setting, list[tuple[float, float, bool]]] = {}

    def every() -> Iterator[Outcome]:
        for source, result in run.results():
            for plain in result["outcomes"]:
                known = {name: NAN if value is None else value for name, value in plain.items()}
                one = msgspec.convert(known | {"recording": source}, Outcome)
                found.setdefault(one.setting, []).append((one.duty_cycle, one.residual_p95_mm, one.pareto))
                yield one

    write_csv(outcomes, every())
    _write(settings, [msgspec.to_builtins(setting) | _over_cohort(values) for setting, values in found.items()])


def _over_cohort(values: list[tuple[float, float, bool]]) -> dict[str, Any]:
    duty, residual, front = np.array(values, np.float64).T
    known = residual[np.isfinite(residual)]
    spread = [float(value) for value in np.percentile(known, [50, 95])] if len(known) else [None, None]
    return {
        "sessions": len(values),
        "duty_cycle_p5": float(np.percentile(duty, 5)),
        "duty_cycle_p50": float(np.percentile(duty, 50)),
        "residual_p95_mm_p50": spread[0],
        "residual_p95_mm_p95": spread[1],
        "without_beam": len(values) - len(known),
        "not_beaten": int(front.sum()),
    }


def metrics_table(run: CohortRun, path: Path) -> dict[str, float]:
    """Write the figures of every case, and return their means over all, as `cinegate evaluate` does."""
    rows = [row for _, result in run.results() for row in result["results"]]
    _write(path, rows)
    known = [{name: NAN if value is None else value for name, value in row.items()} for row in rows]
    return mean_figures(known)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    with private_file(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
