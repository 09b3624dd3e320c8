"""TrackRAD2025 case folders: `images/*_frames.mha`, `targets/*_first_label.mha`, `frame-rate.json`.

The organisers call the array that SimpleITK returns "W, H, T". Its first axis runs in the patient's superior direction
and the second in the posterior one, as the file's own direction matrix says (and as in the organisers' evaluation code,
which takes superior-inferior from the first): so the first axis is the row here, the second the column, and the
orientation comes from the file. Rows therefore run inferior to superior; nothing is flipped, so that masks written on
the same grid need no more than the time axis moved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording, Unavailable
from drivers.recordings.recording import DtypeName, Recording, checked_recording, finite_frame, wire_dtype
from gating.geometry import contour_from_mask
from gating.messages import Pixels

MAX_FRAMES_PER_S: Final = 1000.0


class _ArrayFrames:
    def __init__(self, path: Path, frames: NDArray[Any], dtype: DtypeName) -> None:
        self._path, self._frames, self._dtype = path, frames, dtype

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Pixels:
        return finite_frame(self._path, index, self._frames[index], self._dtype)


def read_trackrad(path: Path, given_spacing_mm: Sequence[float] | None = None) -> Recording:
    """Open a case folder, or one sequence of it by its `*_frames*.mha`. Raises `BadRecording`, `Unavailable`."""
    frames_file = path if path.suffix == ".mha" else _only(path / "images", "*_frames*.mha")
    case = frames_file.parent.parent
    image = _read_image(frames_file)
    frames = _time_first(frames_file, image)
    dtype = wire_dtype(frames_file, frames.dtype, float(frames.min(initial=0)) if frames.dtype.kind == "i" else None)
    spacing, direction, origin = image.GetSpacing(), np.reshape(image.GetDirection(), (3, 3)), image.GetOrigin()
    rate = _frame_rate(case, frames_file)
    return checked_recording(
        path=path,
        name=case.name,
        frames=_ArrayFrames(frames_file, frames, dtype),
        shape=(frames.shape[1], frames.shape[2]),
        dtype=dtype,
        stamps_ns=np.rint(np.arange(len(frames)) * (1e9 / rate)).astype(np.int64),
        pixel_spacing_mm=(spacing[2], spacing[1]),
        given_spacing_mm=given_spacing_mm,
        image_orientation=(*direction[:, 1], *direction[:, 2]),
        image_position_mm=origin,
        target_contour_px=_first_label(case, frames.shape[1:]),
        description=_description(case),
    )


def read_labels(case: Path) -> NDArray[np.bool_]:
    """Return the target's masks of every frame of a labelled case, (frames, rows, columns). Raises `BadRecording`."""
    file = _only(case / "targets", "*_labels.mha")
    masks: NDArray[np.bool_] = _time_first(file, _read_image(file)) != 0
    return masks


def _time_first(path: Path, image: Any) -> NDArray[Any]:
    import SimpleITK

    array: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    if array.ndim != 3:
        raise BadRecording(f"{path}: the image has {array.ndim} dimensions; 3 (rows, columns, frames) are needed")
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))


def _read_image(path: Path) -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise Unavailable(f"{path}: reading .mha needs SimpleITK; install it with: pip install SimpleITK") from None
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BadRecording(f"{path}: is not a readable .mha image: {reason}") from None


def _only(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise BadRecording(f"{folder}: {len(files)} files match {pattern} ({names}); exactly 1 is needed, so name it")
    return files[0]


def _frame_rate(case: Path, frames_file: Path) -> float:
    """Return frames/s: `frame-rate.json`, or `frame-rate<n>.json` of the further sequence `*_frames<n>.mha`."""
    number = frames_file.stem.rpartition("_frames")[2]
    own = case / f"frame-rate{number}.json"
    file = own if own.exists() else case / "frame-rate.json"
    try:
        rate = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRecording(f"{file}: cannot be read: {error}") from None
    if not isinstance(rate, int | float) or not 0 < rate <= MAX_FRAMES_PER_S:
        raise BadRecording(f"{file}: the frame rate is {rate}; above 0 up to {MAX_FRAMES_PER_S:g} frames/s is allowed")
    return float(rate)


def _first_label(case: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    files = sorted((case / "targets").glob("*_first_label.mha"))
    if not files:
        return None
    masks = _time_first(files[0], _read_image(files[0]))
    if masks.shape[1:] != shape:
        raise BadRecording(f"{files[0]}: the label is {masks.shape[1:]}; {shape} is needed, as the frames")
    return contour_from_mask(masks[0])


def _description(case: Path) -> str:
    known = []
    for name, unit in (("scanned-region", ""), ("b-field-strength", " T"), ("field-strength", " T")):
        file = case / f"{name}.json"
        if file.exists():
            known.append(file.read_text(encoding="utf-8").strip().strip('"')[:40] + unit)
    return ", ".join(known)
