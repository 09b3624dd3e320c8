"""Motion and beam as a table for dose accumulation, and the figures of a session as JSON with its schema."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from gating.analysis.figures import SessionFigures
from gating.analysis.motion import GatedMotion, inside
from gating.drift import PATIENT_TO_IEC

COLUMNS: Final = (
    "target", "t_s", "lps_x_mm", "lps_y_mm", "lps_z_mm", "iec_x_mm", "iec_y_mm", "iec_z_mm",
    "away_lr_mm", "away_ap_mm", "away_si_mm", "status", "confidence", "out_fraction", "gate", "reason", "beam",
)  # fmt: skip


def write_motion_csv(path: Path, motions: Sequence[GatedMotion], patient_position: str = "HFS") -> None:
    """Write one row a frame and target: time, position in patient LPS and in IEC 61217 axes, beam, reason.

    IEC axes are those of the fixed system (X towards the right of somebody who faces the gantry, Y towards the gantry,
    Z up) through the origin of the patient's coordinates: add the isocentre to place them in the room.
    """
    signs = PATIENT_TO_IEC[patient_position]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for motion in motions:
            beam = inside(motion.t_s, motion.beam_s)
            for index, when_s in enumerate(motion.t_s):
                x, y, z = motion.position_mm[index]
                iec = (signs[0] * x, signs[1] * z, -signs[2] * y)
                numbers = (when_s, x, y, z, *iec, *motion.displacement_mm[index])
                writer.writerow(
                    [
                        motion.target,
                        *(f"{number:.4f}" if np.isfinite(number) else "" for number in numbers),
                        motion.status[index],
                        f"{motion.confidence[index]:.4f}",
                        f"{motion.out_fraction[index]:.4f}",
                        "on" if motion.gate_on[index] else "hold",
                        motion.reasons[index],
                        "on" if beam[index] else "off",
                    ]
                )


def figures_json(found: Sequence[SessionFigures]) -> dict[str, Any]:
    """Return the figures of every target and their JSON schema; what is not known is null."""
    return {
        "schema": msgspec.json.schema(list[SessionFigures]),
        "targets": [_finite(msgspec.to_builtins(one)) for one in found],
    }


def write_figures_json(path: Path, found: Sequence[SessionFigures]) -> None:
    """Write `figures_json`."""
    path.write_text(json.dumps(figures_json(found), indent=1, allow_nan=False), encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
