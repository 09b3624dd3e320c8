"""A recording, whatever file it came from, and the checks that every recording passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import BadRecording
from drivers.formats.pixels import WireDtype
from gating.geometry.contours import mask_from_contour
from gating.messages import Pixels, StampMeaning

MAX_PIXEL_BYTES: Final = 4 * 2**30
MIN_SIDE_PX: Final = 8
MAX_SIDE_PX: Final = 4096
MAX_SPACING_MM: Final = 100.0
MAX_STAMP_NS: Final = 2**62
MAX_EXACT_FLOAT32: Final = 2**24
"""Largest whole number up to which float32 holds every one."""
SAGITTAL: Final = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""DICOM orientation of a sagittal image: columns run anterior to posterior, rows superior to inferior."""

Orientation = tuple[float, float, float, float, float, float]
PositionMm = tuple[float, float, float]


class FrameSequence(Protocol):
    """Frames in order. Reading them forward is cheap."""

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def __getitem__(self, index: int) -> Pixels:
        """Return one frame, (rows, columns), C-contiguous. Raises `BadRecording` if its pixels are damaged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """One recorded cine stream of one imaging plane.

    Make one with `checked_recording`, which refuses what the wire cannot carry.
    """

    path: Path
    name: str
    frames: FrameSequence
    shape: tuple[int, int]
    dtype: WireDtype
    stamps_ns: NDArray[np.int64]
    """Raw acquisition stamps, strictly increasing, 0 or later."""
    stamp_meaning: StampMeaning
    pixel_spacing_mm: tuple[float, float]
    image_orientation: Orientation
    image_position_mm: PositionMm
    plane: str
    target_contour_px: NDArray[np.float32] | None
    """Target in the first frame, (n, 2) of (x, y), if the recording has one."""
    target_track_px: NDArray[np.float64] | None
    """True (x, y) of the target's centre in each frame, (frames, 2), if the recording has it."""
    description: str
    frame_of_reference: str = ""
    """DICOM FrameOfReferenceUID of its positions; empty if unknown."""
    target_contours_px: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    """Target in each frame in which it was drawn or tracked before, by index, as `target_contour_px`."""
    times_assumed: bool = False
    """True if the recording holds no stamps, and they follow from a rate that the user gave."""

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def nominal_interval_ns(self) -> int:
        """Median interval between frames, ns; 0 for a single frame, which has none."""
        return int(np.median(np.diff(self.stamps_ns))) if len(self) > 1 else 0

    @property
    def target_mask(self) -> NDArray[np.bool_] | None:
        """Target in the first frame as pixels, (rows, columns)."""
        return None if self.target_contour_px is None else mask_from_contour(self.target_contour_px, self.shape)

    @property
    def target_box(self) -> tuple[int, int, int, int] | None:
        """Smallest box (x, y, width, height) that covers the target in the first frame, px."""
        mask = self.target_mask
        if mask is None or not mask.any():
            return None
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def checked_recording(
    *,
    path: Path,
    frames: FrameSequence,
    shape: tuple[int, int],
    dtype: WireDtype,
    stamps_ns: NDArray[np.int64],
    pixel_spacing_mm: ArrayLike | None,
    given_spacing_mm: Sequence[float] | None,
    image_orientation: ArrayLike = SAGITTAL,
    image_position_mm: ArrayLike = (0.0, 0.0, 0.0),
    plane: str | None = None,
    stamp_meaning: StampMeaning = StampMeaning.START,
    target_contour_px: NDArray[Any] | None = None,
    target_track_px: NDArray[Any] | None = None,
    name: str = "",
    description: str = "",
    frame_of_reference: str = "",
    target_contours_px: Mapping[int, NDArray[Any]] | None = None,
    times_assumed: bool = False,
) -> Recording:
    """Return a `Recording` whose every field is within the limits of the wire.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in shape):
        raise BadRecording(
            f"{path}: frames are {shape[0]}x{shape[1]}; sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px are read"
        )
    total_bytes = len(frames) * shape[0] * shape[1] * np.dtype(dtype).itemsize
    if total_bytes > MAX_PIXEL_BYTES:
        raise BadRecording(f"{path}: frames hold {total_bytes} bytes; the limit is {MAX_PIXEL_BYTES}")
    _check_stamps(path, stamps_ns, len(frames))
    orientation = _numbers(path, "image_orientation_patient", image_orientation, 6)
    _check_orthonormal(path, orientation)
    position = _numbers(path, "image_position_patient", image_position_mm, 3)
    drawn = {index: _target_contour(path, contour) for index, contour in (target_contours_px or {}).items()}
    contours = {index: contour for index, contour in drawn.items() if contour is not None and index < len(frames)}
    return Recording(
        path=path,
        name=(name or path.stem)[:64],
        frames=frames,
        shape=shape,
        dtype=dtype,
        stamps_ns=stamps_ns,
        stamp_meaning=stamp_meaning,
        pixel_spacing_mm=_spacing(path, pixel_spacing_mm, given_spacing_mm),
        image_orientation=cast(Orientation, orientation),
        image_position_mm=cast(PositionMm, position),
        plane=plane or _plane_name(orientation),
        target_contour_px=contours.get(0) if target_contour_px is None else _target_contour(path, target_contour_px),
        target_track_px=_target_track(path, target_track_px, len(frames)),
        description=description[:400],
        frame_of_reference=frame_of_reference,
        target_contours_px=contours,
        times_assumed=times_assumed,
    )


def wire_dtype(path: Path, dtype: np.dtype[Any], stored: Callable[[], NDArray[Any]]) -> WireDtype:
    """Return the dtype of the wire that holds every stored value exactly; floats become float32.

    Parameters
    ----------
    path
        Recording, for the sentence.
    dtype
        Dtype of the stored pixels.
    stored
        Returns the pixels. Called only if their values decide: for integer dtypes that the wire lacks.

    Raises
    ------
    BadRecording
        If no dtype of the wire holds the values.
    """
    dtype = dtype.newbyteorder("=")
    if dtype in (np.uint8, np.bool_):
        return "uint8"
    if dtype == np.uint16:
        return "uint16"
    if dtype.kind == "f":
        return "float32"
    if dtype.kind not in "iu":
        raise BadRecording(f"{path}: frames are {dtype}; integers, floats and bool are read")
    pixels = stored()
    smallest, largest = (int(pixels.min()), int(pixels.max())) if pixels.size else (0, 0)
    if smallest >= 0 and largest <= np.iinfo(np.uint16).max:
        return "uint16"
    for value in (smallest, largest):
        if not abs(value) <= MAX_EXACT_FLOAT32:
            raise BadRecording(
                f"{path}: frames ({dtype}) hold {value}; {-MAX_EXACT_FLOAT32} to {MAX_EXACT_FLOAT32} is read"
            )
    return "float32"


def wire_frame(pixels: NDArray[Any], dtype: WireDtype) -> Pixels:
    """Return pixels as `dtype`, C-contiguous.

    A pixel that is not finite is passed on, as a scanner would: the engine refuses that frame and holds. Values beyond
    the range of float32 become infinite.
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(pixels, np.dtype(dtype))


def stamps_from_seconds(path: Path, seconds: NDArray[Any]) -> NDArray[np.int64]:
    """Return seconds as acquisition stamps, in integer ns.

    Raises
    ------
    BadRecording
        Unless they are one finite number per frame, within the limits.
    """
    if seconds.ndim != 1 or seconds.dtype.kind not in "iuf":
        raise BadRecording(f"{path}: t_s is {seconds.dtype} {seconds.shape}; one number per frame is needed")
    wide = seconds.astype(np.float64)
    bad = ~(np.isfinite(wide) & (wide >= 0) & (wide < MAX_STAMP_NS / 1e9))
    if bad.any():
        index = int(np.argmax(bad))
        raise BadRecording(f"{path}: t_s[{index}] is {wide[index]}; finite times of 0 s or later are needed")
    return np.rint(wide * 1e9).astype(np.int64)


def _check_stamps(path: Path, stamps_ns: NDArray[np.int64], frame_count: int) -> None:
    if len(stamps_ns) != frame_count:
        raise BadRecording(
            f"{path}: there are {len(stamps_ns)} time stamps for {frame_count} frames; one per frame is needed"
        )
    if frame_count < 1:
        raise BadRecording(f"{path}: it holds no frames; at least 1 is needed")
    if not stamps_ns[0] >= 0:
        raise BadRecording(f"{path}: the first time stamp is {stamps_ns[0]} ns; 0 or later is needed")
    steps = np.diff(stamps_ns)
    if not (steps > 0).all():
        index = int(np.argmax(steps <= 0))
        raise BadRecording(
            f"{path}: time stamp {index + 1} is {steps[index] / 1e9:g} s after the one before; "
            f"each must be later than the last"
        )


def _spacing(path: Path, stored: ArrayLike | None, given: Sequence[float] | None) -> tuple[float, float]:
    if stored is None and given is None:
        raise BadRecording(f"{path}: pixel_spacing_mm is missing; give it explicitly (row and column spacing in mm)")
    row, column = _numbers(path, "pixel_spacing_mm", cast(ArrayLike, given if stored is None else stored), 2)
    if not (0 < row <= MAX_SPACING_MM and 0 < column <= MAX_SPACING_MM):
        raise BadRecording(
            f"{path}: pixel_spacing_mm is {row:g}, {column:g}; above 0 up to {MAX_SPACING_MM:g} is allowed"
        )
    if stored is not None and given is not None and not np.allclose((row, column), given, rtol=1e-4):
        raise BadRecording(
            f"{path}: pixel_spacing_mm was given as {given[0]:g}, {given[1]:g}; the recording has {row:g}, {column:g}"
        )
    return row, column


def _numbers(path: Path, field: str, values: ArrayLike, count: int) -> tuple[float, ...]:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.shape != (count,) or not np.isfinite(array).all():
        raise BadRecording(f"{path}: {field} is {np.array2string(array)[:80]}; {count} finite numbers are needed")
    return tuple(float(value) for value in array)


def _check_orthonormal(path: Path, orientation: Sequence[float]) -> None:
    axes = np.reshape(orientation, (2, 3))
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise BadRecording(
            f"{path}: image_orientation_patient is {orientation}; two orthogonal unit vectors are needed"
        )


def _plane_name(orientation: Sequence[float]) -> str:
    normal = np.cross(orientation[:3], orientation[3:])
    return ("sagittal", "coronal", "transversal")[int(np.argmax(np.abs(normal)))]


def _target_contour(path: Path, contour: NDArray[Any] | None) -> NDArray[np.float32] | None:
    if contour is None or len(contour) == 0:
        return None
    if contour.ndim != 2 or contour.shape[1] != 2 or len(contour) < 3 or not np.isfinite(contour).all():
        raise BadRecording(f"{path}: the target contour has shape {contour.shape}; 3 or more finite (x, y) are needed")
    return contour.astype(np.float32)


def _target_track(path: Path, track: NDArray[Any] | None, frame_count: int) -> NDArray[np.float64] | None:
    if track is None:
        return None
    if track.shape != (frame_count, 2) or track.dtype.kind != "f":
        raise BadRecording(f"{path}: target_xy_px has shape {track.shape}; ({frame_count}, 2) is needed")
    return track.astype(np.float64)
