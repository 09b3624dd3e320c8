"""Reads and writes target contours in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gating.errors import TargetError
from gating.targets.targets import TargetSpec


def write_targets(path: Path, targets: list[TargetSpec]) -> None:
    """Write targets to a JSON file for the engine process."""
    plain = [
        {"name": t.name, "plane": t.plane, "structure": t.structure, "contour_px": t.contour_px.tolist()}
        for t in targets
    ]
    path.write_text(json.dumps({"targets": plain}))


def read_targets(path: Path) -> list[TargetSpec]:
    """Read targets from JSON: {"targets": [{"name", "plane", "structure", "contour_px": [[x, y], ...]}]}.

    Only name and contour are required.

    Raises
    ------
    TargetError
        If the file does not hold targets; one sentence.
    OSError
        If the file cannot be read.
    """
    try:
        plain: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["targets"]
        targets = [
            TargetSpec(
                str(t["name"]),
                np.array(t["contour_px"], np.float32).reshape(-1, 2),
                str(t.get("plane", "")),
                str(t.get("structure", "")),
            )
            for t in plain
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{path} is not a target file: {type(error).__name__} {error}") from None
    if any(len(t.contour_px) < 3 or not np.isfinite(t.contour_px).all() for t in targets):
        raise TargetError(f"{path}: contour_px of every target needs three finite points or more")
    return targets
