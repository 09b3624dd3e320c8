"""TrackRAD2025: a case of the data set, and the input of a submitted algorithm.

A case is `<case>/images/<case>_frames.mha` with `targets/<case>_first_label.mha`, `<case>_labels.mha` and, if several
observers drew, `<case>_staple_labels.mha`, against which the organisers score. Further sequences of a patient have a
number at the end (`<case>_frames2.mha`, `frame-rate2.json`). Source: trackrad2025.grand-challenge.org/data, and
the organisers' evaluation program in github.com/LMUK-RADONC-PHYS-RES/trackrad2025.

An algorithm gets `images/mri-linacs/*.mha` (or `mri-linac-series`, the interface's own name, which is read too),
`images/mri-linac-target/*.mha`, `frame-rate.json`, `b-field-strength.json` and `scanned-region.json`. Source:
inference.py of github.com/LMUK-RADONC-PHYS-RES/trackrad-baseline-algorithm.

The organisers call the array that SimpleITK returns "W, H, T". By the file's direction matrix its first axis runs in
the patient's superior direction and its second in the posterior one; the organisers' evaluation code also takes
superior-inferior from the first. So the first axis is the row here, the second the column, and the orientation comes
from the file. Rows therefore run from inferior to superior. Nothing is flipped: masks written on the same grid need
only their time axis moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.formats.image import read_image
from drivers.formats.pixels import WireDtype
from drivers.recordings.recording import Recording, checked_recording, wire_dtype, wire_frame
from gating.geometry.contours import contour_from_mask
from gating.messages import Pixels

MAX_FRAMES_PER_S: Final = 1000.0
FIELD_STRENGTH_NAMES: Final = ("b-field-strength", "field-strength", "magnetic-field-strength")
SERIES_FOLDERS: Final = ("mri-linacs", "mri-linac-series")
TARGET_FOLDER: Final = "mri-linac-target"


@dataclass(frozen=True, slots=True)
class SequenceFiles:
    """The files of one sequence; None for a file that does not exist."""

    name: str
    frames: Path
    first_label: Path | None
    labels: Path | None
    frame_rate: Path
    scanned_region: Path | None
    field_strength: Path | None

    @property
    def region(self) -> str:
        """Scanned region as the challenge names it, or "". Raises `BadRecording`."""
        if self.scanned_region is None:
            return ""
        region = _json(self.scanned_region)
        if not isinstance(region, str | None):
            raise BadRecording(f"{self.scanned_region}: the scanned region is {str(region)[:40]}; a name is needed")
        return region or ""


def case_files(path: Path) -> SequenceFiles:
    """Find the files of a case folder, or of the sequence of a `*_frames*.mha`. Raises `BadRecording`."""
    frames = path if path.suffix == ".mha" else _only(path / "images", "*_frames*.mha")
    case = frames.parent.parent
    stem, _, scan = frames.stem.rpartition("_frames")

    def target(kind: str) -> Path | None:
        return _existing([case / "targets" / f"{stem}_{kind}{scan}.mha"])

    def described(*names: str) -> Path | None:
        return _existing(case / f"{name}{number}.json" for name in names for number in dict.fromkeys((scan, "")))

    labels = target("staple_labels") or target("labels")
    return SequenceFiles(
        name=f"{stem}{scan}" or case.name,
        frames=frames,
        first_label=target("first_label") or labels,
        labels=labels,
        frame_rate=described("frame-rate") or case / f"frame-rate{scan}.json",
        scanned_region=described("scanned-region"),
        field_strength=described(*FIELD_STRENGTH_NAMES),
    )


def submission_files(folder: Path) -> SequenceFiles:
    """Find the input files of a submitted algorithm. Raises `BadRecording` if an image is missing."""
    images = folder / "images"
    series = _existing(images / name for name in SERIES_FOLDERS) or images / SERIES_FOLDERS[0]
    frames = _only(series, "*.mha")
    return SequenceFiles(
        name=frames.stem.replace("_frames", ""),
        frames=frames,
        first_label=_only(images / TARGET_FOLDER, "*.mha"),
        labels=None,
        frame_rate=folder / "frame-rate.json",
        scanned_region=_existing([folder / "scanned-region.json"]),
        field_strength=_existing(folder / f"{name}.json" for name in FIELD_STRENGTH_NAMES),
    )


class _ArrayFrames:
    def __init__(self, frames: NDArray[Any], dtype: WireDtype) -> None:
        self._frames, self._dtype = frames, dtype

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Pixels:
        return wire_frame(self._frames[index], self._dtype)


def read_trackrad(path: Path, given_spacing_mm: Sequence[float] | None = None) -> Recording:
    """Open a case folder, or the sequence of a `*_frames*.mha`. Raises `BadRecording`."""
    return read_sequence(case_files(path), given_spacing_mm)


def read_sequence(
    files: SequenceFiles,
    given_spacing_mm: Sequence[float] | None = None,
    *,
    default_frames_per_s: float | None = None,
) -> Recording:
    """Open one sequence. Its path is the file of its frames, whose grid is that of the masks.

    Parameters
    ----------
    files
        Files from `case_files` or `submission_files`.
    given_spacing_mm
        (row, column) spacing, which must agree with the file.
    default_frames_per_s
        Rate if there is no `frame-rate.json`. By default that file must exist, since a replay must not guess its pace.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    image = read_image(files.frames)
    frames = _time_first(files.frames, image)
    dtype = wire_dtype(files.frames, frames.dtype, lambda: frames)
    spacing, direction, origin = image.GetSpacing(), np.reshape(image.GetDirection(), (3, 3)), image.GetOrigin()
    rate = _frame_rate(files.frame_rate, default_frames_per_s)
    return checked_recording(
        path=files.frames,
        name=files.name,
        frames=_ArrayFrames(frames, dtype),
        shape=(frames.shape[1], frames.shape[2]),
        dtype=dtype,
        stamps_ns=np.rint(np.arange(len(frames)) * (1e9 / rate)).astype(np.int64),
        pixel_spacing_mm=(spacing[2], spacing[1]),
        given_spacing_mm=given_spacing_mm,
        image_orientation=(*direction[:, 1], *direction[:, 2]),
        image_position_mm=origin,
        target_contour_px=_first_contour(files.first_label, frames.shape[1:]),
        description=_description(files),
        times_assumed=not files.frame_rate.exists(),
    )


def read_labels(file: Path) -> NDArray[np.bool_]:
    """Return the masks, (frames, rows, columns), of an image (rows, columns, frames). Raises `BadRecording`."""
    masks: NDArray[np.bool_] = _time_first(file, read_image(file)) != 0
    return masks


def _time_first(path: Path, image: Any) -> NDArray[Any]:
    import SimpleITK

    array: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    if array.ndim != 3:
        raise BadRecording(f"{path}: the image has {array.ndim} dimensions; 3 (rows, columns, frames) are needed")
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))


def _only(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise BadRecording(f"{folder}: {len(files)} files match {pattern} ({names}); exactly 1 is needed, so name one")
    return files[0]


def _existing(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRecording(f"{file}: cannot be read: {error}") from None


def _frame_rate(file: Path, default: float | None) -> float:
    """Return frames/s."""
    if default is not None and not file.exists():
        return default
    rate = _json(file)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MAX_FRAMES_PER_S:
        found = json.dumps(rate)[:40]
        raise BadRecording(
            f"{file}: the frame rate is {found}; a number above 0 up to {MAX_FRAMES_PER_S:g} frames/s is needed"
        )
    return float(rate)


def _first_contour(file: Path | None, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    if file is None:
        return None
    masks = read_labels(file)
    if masks.shape[1:] != shape:
        raise BadRecording(f"{file}: the label is {masks.shape[1:]}; the frames need {shape}")
    return contour_from_mask(masks[0])


def _description(files: SequenceFiles) -> str:
    known = [
        file.read_text(encoding="utf-8").strip().strip('"')[:40] + unit
        for file, unit in ((files.scanned_region, ""), (files.field_strength, " T"))
        if file is not None
    ]
    return ", ".join(known)
