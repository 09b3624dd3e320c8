"""TrackRAD2025 files, written by SimpleITK alone: a case of the data set, and the input of a submitted algorithm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

SPACING_MM = (5.0, 1.5, 2.0)
ORIGIN_MM = (12.5, -80.25, 38.5)
DIRECTION = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def write_image(path: Path, array: NDArray[np.generic]) -> None:
    """Write (frames, rows, columns) with the axes of the challenge: (rows, columns, frames)."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(ORIGIN_MM)
    image.SetDirection(DIRECTION)
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def write_case(
    dataset: Path, frames: NDArray[np.generic], labels: NDArray[np.bool_], *, name: str = "A_001", rate: float = 8.0
) -> Path:
    """Write a labelled case; return its folder. `labels` may be those of the first frames only."""
    case = dataset / name
    write_image(case / "images" / f"{name}_frames.mha", frames)
    write_image(case / "targets" / f"{name}_first_label.mha", labels[:1].astype(np.uint8))
    if len(labels) == len(frames):
        write_image(case / "targets" / f"{name}_labels.mha", labels.astype(np.uint8))
    (case / "frame-rate.json").write_text(json.dumps(rate))
    (case / "b-field-strength.json").write_text("0.35")
    (case / "scanned-region.json").write_text('"abdomen"')
    return case


def as_submission_input(case: Path, folder: Path, *, series: str = "mri-linacs") -> Path:
    """Lay a case out as a submitted algorithm finds it; return the folder."""
    name = "3f2b8f5e-8c7b-4f0e-a6a1-2b1d0a7c9e11.mha"
    for source, target in (("images/*_frames.mha", series), ("targets/*_first_label.mha", "mri-linac-target")):
        (folder / "images" / target).mkdir(parents=True, exist_ok=True)
        shutil.copy(next(case.glob(source)), folder / "images" / target / name)
    for described in ("frame-rate", "b-field-strength", "scanned-region"):
        shutil.copy(case / f"{described}.json", folder)
    return folder
