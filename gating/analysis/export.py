"""Exports: motion and beam as a table for dose accumulation, and the figures of a session as JSON with a schema."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from gating.analysis.couch_shift import PATIENT_TO_IEC
from gating.analysis.definitions import SENTENCES
from gating.analysis.figures import SessionFigures
from gating.analysis.motion import GatedMotion, inside
from gating.settings.private_file import private_file

SCHEMA: Final = Path(__file__).with_name("session_figures.schema.json")
"""Written by `python -m gating.analysis.export`."""
COLUMNS: Final = (
    "target", "t_s", "lps_x_mm", "lps_y_mm", "lps_z_mm", "iec_x_mm", "iec_y_mm", "iec_z_mm",
    "away_lr_mm", "away_ap_mm", "away_si_mm", "status", "confidence", "out_fraction", "gate", "reason", "beam",
)  # fmt: skip


def write_motion_csv(path: Path, motions: Sequence[GatedMotion], patient_position: str = "HFS") -> None:
    """Write a row for each frame and target: time, position in patient LPS and in IEC 61217 axes, beam, reason.

    The IEC axes are those of the fixed system (X to the right of a person who faces the gantry, Y towards the gantry,
    Z up) through the origin of the patient coordinates. Add the isocentre to place them in the room.

    Raises
    ------
    ValueError
        If the patient position is not HFS, HFP, FFS or FFP.
    OSError
        If the file cannot be written.
    """
    if patient_position not in PATIENT_TO_IEC:
        raise ValueError(f"patient position is {patient_position!r}; HFS, HFP, FFS or FFP is needed")
    signs = PATIENT_TO_IEC[patient_position]
    with private_file(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for motion in motions:
            beam = inside(motion.t_s, motion.beam_s)
            for index, when_s in enumerate(motion.t_s):
                x, y, z = motion.position_mm[index]
                iec = (signs[0] * x, signs[1] * z, -signs[2] * y)
                away_mm = np.where(motion.shown, motion.displacement_mm[index], np.nan)
                numbers = (when_s, x, y, z, *iec, *away_mm)
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


class FiguresDocument(Struct, frozen=True, kw_only=True):
    """The key figures of a session; unknown ones are null."""

    format: Literal["cinegate.session_figures/1"] = "cinegate.session_figures/1"
    session_id: str
    definitions: dict[str, str] = field(default_factory=lambda: dict(SENTENCES))
    """What the figures mean."""
    targets: tuple[SessionFigures, ...]


def figures_json(found: Sequence[SessionFigures], session_id: str = "") -> dict[str, Any]:
    """Return the figures of every target, in the form of `session_figures.schema.json`."""
    document = FiguresDocument(session_id=session_id, targets=tuple(found))
    plain: dict[str, Any] = _nan_to_null(msgspec.to_builtins(document))
    return plain


def figures_schema() -> dict[str, Any]:
    """Return the JSON schema of `figures_json`, which is kept in `session_figures.schema.json`."""
    schema = msgspec.json.schema(FiguresDocument)
    portable: dict[str, Any] = _portable(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **portable}


def write_figures_json(path: Path, found: Sequence[SessionFigures], session_id: str = "") -> None:
    """Write `figures_json` to a file."""
    private_file(path).write_text(
        json.dumps(figures_json(found, session_id), indent=1, allow_nan=False), encoding="utf-8"
    )


def _portable(schema: Any) -> Any:
    """Allow null for every number, as JSON has no NaN, and dedent docstrings, as only some versions of msgspec do."""
    if isinstance(schema, dict):
        return {key: _portable_entry(key, value) for key, value in schema.items()}
    return [_portable(item) for item in schema] if isinstance(schema, list) else schema


def _portable_entry(key: str, value: Any) -> Any:
    if (key, value) == ("type", "number"):
        return ["number", "null"]
    if key == "description" and isinstance(value, str):
        return inspect.cleandoc(value)
    return _portable(value)


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_nan_to_null(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(figures_schema(), indent=1) + "\n", encoding="utf-8")
