"""What an evaluation leaves in a folder: figures, masks laid out for the organisers' program, and a page."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.case import CaseRun, Evaluation
from gating.evaluation.masks import MASKS_FOLDER, write_masks
from gating.evaluation.metrics import FrameMetrics
from gating.evaluation.report import EvaluationPage
from gating.settings.private_file import private_file


class EvaluationFolder:
    """Masks are written case by case, the figures at the end."""

    def __init__(self, out: Path, worst_frames: int) -> None:
        self._out, self._page = out, EvaluationPage(worst_frames)
        self._jobs: list[dict[str, Any]] = []
        out.mkdir(parents=True, exist_ok=True)

    def add(
        self, run: CaseRun, masks: NDArray[np.bool_], errors_mm: NDArray[np.float64], metrics: FrameMetrics | None
    ) -> None:
        """Write a case's masks and keep its part of the page."""
        self._jobs.append(_prediction(run, masks, self._out / "predictions"))
        self._page.add(run, errors_mm, metrics)

    def write(self, found: Evaluation) -> None:
        """Write the figures and the page."""
        out, summary = self._out, found.summary()
        private_file(out / "metrics.json").write_text(json.dumps(_without_nan(summary), indent=2))
        private_file(out / "predictions" / "predictions.json").write_text(json.dumps(self._jobs, indent=2))
        _write_csv(out / "metrics.csv", found.results)
        _write_csv(out / "frames.csv", found.frames)
        self._page.write(out / "report.html", summary)


def _prediction(run: CaseRun, masks: NDArray[np.bool_], folder: Path) -> dict[str, Any]:
    """Write a case's masks; return its entry in `predictions.json` as the organisers' program reads it."""
    case, name = run.case, run.case.name
    path = folder / name / "output" / MASKS_FOLDER / f"{name}_labels.mha"
    write_masks(path, masks, case.pixel_spacing_mm, case.grid)
    return {
        "pk": name,
        "inputs": [
            {"interface": {"slug": "mri-linac-series"}, "image": {"name": f"{name}_frames.mha"}},
            {"interface": {"slug": "mri-linac-target"}, "image": {"name": f"{name}_first_label.mha"}},
            {"interface": {"slug": "scanned-region"}, "value": case.region},
        ],
        "outputs": [{"interface": {"slug": "mri-linac-series-targets", "relative_path": MASKS_FOLDER}}],
        "started_at": run.started.isoformat(),
        "completed_at": run.completed.isoformat(),
    }


def _without_nan(value: Any) -> Any:
    """Unknown figures as null: NaN is not JSON."""
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with private_file(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
