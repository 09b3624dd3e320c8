"""`.npz` recordings.

Arrays: `frames` (n, rows, columns), `t_s` (n), `pixel_spacing_mm` (row, column), `image_position_patient`,
`image_orientation_patient`.

Optional arrays: `target_contour_px` (the outline in every frame, (n, vertices, 2), NaN beyond the vertices of a frame's
own, or in the first, (vertices, 2)), `target_mask_first` (rows, columns), `target_box` (x, y, width, height),
`target_xy_px` (n, 2), `description`, `stamps_ns` (n, `t_s` without rounding), `stamp_meaning`, `frame_of_reference`,
`times_assumed`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.formats.pixels import WireDtype
from drivers.recordings.recording import (
    MAX_PIXEL_BYTES,
    MAX_STAMP_NS,
    SAGITTAL,
    Recording,
    checked_recording,
    stamps_from_seconds,
    wire_dtype,
    wire_frame,
)
from gating.geometry.contours import box_contour, contour_from_mask
from gating.messages import Pixels, StampMeaning

_NEEDED: Final = ("frames", "t_s")
_MAX_SMALL_BYTES: Final = 64 * 2**20
_HEADER_READERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _NpzFrames:
    """The `frames` array, unpacked when the first frame is needed."""

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: WireDtype) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype
        self._frames: NDArray[Any] | None = None

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, index: int) -> Pixels:
        if self._frames is None:
            self._frames = _load(self._path, "frames")
        return wire_frame(self._frames[index], self._dtype)


def read_npz(path: Path, given_spacing_mm: Sequence[float] | None = None) -> Recording:
    """Open an `.npz` recording. Raises `BadRecording`."""
    headers = _array_headers(path)
    for field in _NEEDED:
        if field not in headers:
            raise BadRecording(
                f"{path}: the array {field} is missing; it holds {', '.join(sorted(headers)) or 'nothing'}"
            )
    shape, stored_dtype = headers["frames"]
    if len(shape) != 3:
        raise BadRecording(f"{path}: frames has shape {shape}; (frames, rows, columns) is needed")
    dtype = wire_dtype(path, stored_dtype, lambda: _load(path, "frames"))
    small = {field: _load(path, field) for field in headers if field != "frames"}
    return checked_recording(
        path=path,
        frames=_NpzFrames(path, (shape[0], shape[1], shape[2]), dtype),
        shape=(shape[1], shape[2]),
        dtype=dtype,
        stamps_ns=_stamps_ns(path, small),
        stamp_meaning=_meaning(path, small),
        pixel_spacing_mm=small.get("pixel_spacing_mm"),
        given_spacing_mm=given_spacing_mm,
        image_orientation=small.get("image_orientation_patient", SAGITTAL),
        image_position_mm=small.get("image_position_patient", (0.0, 0.0, 0.0)),
        target_contour_px=_first_contour(path, small, (shape[1], shape[2])),
        target_track_px=small.get("target_xy_px"),
        target_contours_px=_every_contour(small),
        description=str(small.get("description", small.get("source", ""))),
        frame_of_reference=str(small.get("frame_of_reference", ""))[:64],
        times_assumed=bool(np.any(small.get("times_assumed", False))),
    )


def _stamps_ns(path: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    exact, rounded = arrays.get("stamps_ns"), stamps_from_seconds(path, arrays["t_s"])
    if exact is None:
        return rounded
    if exact.dtype != np.int64 or exact.shape != rounded.shape or (exact < 0).any() or (exact > MAX_STAMP_NS).any():
        raise BadRecording(
            f"{path}: stamps_ns is {exact.dtype} {exact.shape}; int64 of 0 to {MAX_STAMP_NS}, one per frame, are needed"
        )
    return exact


def _meaning(path: Path, arrays: dict[str, NDArray[Any]]) -> StampMeaning:
    word = str(arrays.get("stamp_meaning", StampMeaning.START))
    if word not in list(StampMeaning):
        raise BadRecording(f"{path}: stamp_meaning is {word[:40]!r}; {', '.join(StampMeaning)} are known")
    return StampMeaning(word)


def _every_contour(arrays: dict[str, NDArray[Any]]) -> dict[int, NDArray[Any]]:
    """Return the outline of each frame that has one; NaN fills up what a frame lacks."""
    contours = arrays.get("target_contour_px")
    if contours is None or contours.dtype.kind != "f" or contours.ndim != 3:
        return {}
    known = (np.flatnonzero(~np.isnan(contour).all(axis=1)) for contour in contours)
    return {index: contours[index, : own[-1] + 1] for index, own in enumerate(known) if len(own)}


def _array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return the shape and dtype of each array from its header alone, so that nothing oversize is ever unpacked."""
    headers = {}
    small_bytes = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                field = member.filename.removesuffix(".npy")
                with archive.open(member) as stream:
                    shape, _, dtype = _HEADER_READERS[np.lib.format.read_magic(stream)](stream)
                if min(shape, default=0) < 0:
                    raise BadRecording(f"{path}: {field} has shape {shape}; no side may be negative")
                if dtype.hasobject:
                    raise BadRecording(f"{path}: {field} holds Python objects; plain numbers are needed")
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                limit = MAX_PIXEL_BYTES if field == "frames" else _MAX_SMALL_BYTES
                if size > limit:
                    raise BadRecording(f"{path}: {field} would unpack to {size} bytes; the limit is {limit}")
                small_bytes += 0 if field == "frames" else size
                if small_bytes > _MAX_SMALL_BYTES:
                    raise BadRecording(
                        f"{path}: the arrays beside frames would unpack to {small_bytes} bytes and more; "
                        f"the limit is {_MAX_SMALL_BYTES}"
                    )
                headers[field] = (shape, dtype)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, RuntimeError) as error:
        first = str(error).partition("\n")[0][:200]
        raise BadRecording(f"{path}: is not a readable .npz file: {first}") from None
    return headers


def _load(path: Path, field: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[field]
            return array
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as error:
        raise BadRecording(f"{path}: the array {field} cannot be read: {error}") from None


def _first_contour(path: Path, arrays: dict[str, NDArray[Any]], shape: tuple[int, int]) -> NDArray[Any] | None:
    contour = arrays.get("target_contour_px")
    if contour is not None and contour.dtype.kind == "f":
        return None if contour.ndim == 3 else contour
    mask = arrays.get("target_mask_first")
    if mask is not None:
        if mask.shape != shape:
            raise BadRecording(f"{path}: target_mask_first has shape {mask.shape}; the frames need {shape}")
        return contour_from_mask(mask)
    box = arrays.get("target_box")
    if box is not None:
        if box.shape != (4,) or box.dtype.kind not in "iuf" or not (box[2:] > 0).all():
            raise BadRecording(f"{path}: target_box is {box.tolist()}; x, y, width and height in px are needed")
        return box_contour(*(float(value) for value in box))
    return None
