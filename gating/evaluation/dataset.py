"""Recordings with labels or reference tracks, read from a folder, and masks written back in the challenge's layout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.geometry import box_contour, contour_from_mask

DEFAULT_FRAMES_PER_S = 4.0


class DatasetError(ValueError):
    """The folder holds nothing that can be evaluated, or a file in it contradicts another."""


@dataclass(frozen=True, slots=True)
class Case:
    """One recording and what is known about its target.

    Attributes
    ----------
    name : str
    frames : (frames, rows, columns), arbitrary intensity units
    elapsed_s : (frames,) time since the frame before; 0 for the first
    pixel_spacing_mm : (row, column)
    contour_px : (n, 2) of (x, y), the target in the first frame
    labels : (frames, rows, columns) bool, or None
    track_px : (frames, 2) reference (x, y) of the centre, or None
    region : scanned region as the challenge names it, or ""
    """

    name: str
    frames: NDArray[Any]
    elapsed_s: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    contour_px: NDArray[np.float32]
    labels: NDArray[np.bool_] | None = None
    track_px: NDArray[np.float64] | None = None
    region: str = ""


def read_cases(dataset: Path) -> Iterator[Case]:
    """Every case of a folder, one at a time.

    Two layouts: that of the TrackRAD2025 data set (`<case>/images/<case>_frames.mha`, `<case>/targets/...`; `dataset`
    may also be one case), and `<name>.npz` (`frames`, `t_s`, `pixel_spacing_mm`) with `<name>_reference_track.csv`.

    Raises
    ------
    DatasetError
        If there is no case with a target, or labels do not fit the frames.
    """
    if not dataset.is_dir():
        raise DatasetError(f"dataset: {dataset} is not a folder")
    found = False
    for images in sorted([*dataset.glob("images"), *dataset.glob("*/images")]):
        for frames in sorted(images.glob("*_frames*.mha")):
            if (first := _first_label(frames)) is not None:
                found = True
                yield _challenge_case(frames, first)
    for track in sorted(dataset.glob("*_reference_track.csv")):
        recording = track.with_name(track.name.replace("_reference_track.csv", ".npz"))
        if recording.exists():
            found = True
            yield _recording_case(recording, track)
    if not found:
        raise DatasetError(
            f"dataset: {dataset} holds no case with a target; expected <case>/images/<case>_frames.mha with "
            "<case>/targets/<case>_first_label.mha or _labels.mha, or <name>.npz with <name>_reference_track.csv"
        )


def _target_file(frames: Path, kind: str) -> Path | None:
    stem, _, scan = frames.stem.rpartition("_frames")
    path = frames.parent.parent / "targets" / f"{stem}_{kind}{scan}.mha"
    return path if path.exists() else None


def _first_label(frames: Path) -> Path | None:
    return _target_file(frames, "first_label") or _labels(frames)


def _labels(frames: Path) -> Path | None:
    return _target_file(frames, "staple_labels") or _target_file(frames, "labels")


def _challenge_case(path: Path, first_label: Path) -> Case:
    stem, _, scan = path.stem.rpartition("_frames")
    folder = path.parent.parent
    frames, spacing = read_mha(path)
    first = read_mha(first_label)[0][0] != 0
    labels_path = _labels(path)
    labels = None if labels_path is None else read_mha(labels_path)[0] != 0
    if first.shape != frames.shape[1:] or (labels is not None and labels.shape != frames.shape):
        raise DatasetError(f"{path.name}: the labels do not have the shape of the frames, {frames.shape}")
    rate = float(_json(folder, "frame-rate", scan, DEFAULT_FRAMES_PER_S))
    if not rate > 0:
        raise DatasetError(f"{folder.name}: frame-rate is {rate}, it must be above 0 frames/s")
    elapsed = np.full(len(frames), 1.0 / rate)
    elapsed[0] = 0.0
    region = str(_json(folder, "scanned-region", scan, ""))
    return Case(stem + scan, frames, elapsed, spacing, contour_from_mask(first), labels, None, region)


def _json(folder: Path, kind: str, scan: str, default: object) -> Any:
    for path in (folder / f"{kind}{scan}.json", folder / f"{kind}.json"):
        if path.exists():
            return json.loads(path.read_text())
    return default


def read_mha(path: Path) -> tuple[NDArray[Any], tuple[float, float]]:
    """Read (frames, rows, columns) and the (row, column) spacing from a file whose axes are (rows, columns, frames)."""
    import SimpleITK

    image: Any = SimpleITK.ReadImage(str(path))
    if image.GetDimension() != 3:
        raise DatasetError(f"{path.name}: expected 3 dimensions (rows, columns, frames), got {image.GetDimension()}")
    _, column_mm, row_mm = image.GetSpacing()
    return np.ascontiguousarray(SimpleITK.GetArrayFromImage(image).transpose(2, 0, 1)), (row_mm, column_mm)


def write_masks(path: Path, masks: NDArray[np.bool_], pixel_spacing_mm: tuple[float, float]) -> None:
    """Write (frames, rows, columns) masks with the axes of the challenge's files: (rows, columns, frames), uint8."""
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    image: Any = SimpleITK.GetImageFromArray(np.ascontiguousarray(masks.transpose(1, 2, 0)).astype(np.uint8))
    image.SetSpacing((1.0, pixel_spacing_mm[1], pixel_spacing_mm[0]))
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _recording_case(recording: Path, track: Path) -> Case:
    with np.load(recording) as arrays:
        frames, t_s = arrays["frames"], arrays["t_s"]
        spacing = tuple(float(value) for value in arrays["pixel_spacing_mm"])
    box = re.search(r"x,y,w,h=\(([^)]*)\)", track.read_text().partition("\n")[0])
    if box is None:
        raise DatasetError(f"{track.name}: the first line must name the target box as x,y,w,h=(...)")
    reference = np.loadtxt(track, delimiter=",", comments="#", ndmin=2)
    if len(reference) != len(frames):
        raise DatasetError(f"{track.name}: {len(reference)} rows for {len(frames)} frames")
    x, y, width, height = (float(value) for value in box.group(1).split(","))
    elapsed = np.diff(t_s, prepend=t_s[0])
    contour = box_contour(x, y, width, height)
    return Case(recording.stem, frames, elapsed, (spacing[0], spacing[1]), contour, None, reference[:, 2:4])
