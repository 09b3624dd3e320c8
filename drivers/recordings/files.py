"""A folder of vendor files, each with one frame or several, as a recording in order of acquisition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording, PlaneMissing
from drivers.formats.frame import VendorFrame
from drivers.formats.pixels import WireDtype
from drivers.recordings.recording import Recording, checked_recording, wire_frame
from gating.messages import Pixels

MAX_FILES: Final = 100_000

ReadFile = Callable[[Path], Sequence[VendorFrame]]


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    index: int


class _FrameFiles:
    """Frames read from their files when needed. The newest file is kept, since it may hold several."""

    def __init__(self, places: list[_Place], dtype: WireDtype, read: ReadFile) -> None:
        self._places, self._dtype, self._read = places, dtype, read
        self._held: tuple[Path, Sequence[VendorFrame]] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Pixels:
        place = self._places[index]
        if self._held is None or self._held[0] != place.path:
            self._held = place.path, read_vendor_file(place.path, self._read)
        return wire_frame(self._held[1][place.index].pixels, self._dtype)


def read_folder(
    folder: Path,
    files: Sequence[Path],
    read: ReadFile,
    given_spacing_mm: Sequence[float] | None,
    *,
    plane: str,
    unwrap_day: bool = False,
    target_contour_px: Callable[[Path], NDArray[Any] | None] | None = None,
    description: str = "",
) -> Recording:
    """Open files as one recording.

    Parameters
    ----------
    folder
        The recording gets its name.
    files, read
        The files, and the function that turns one into its frames.
    plane
        Plane to take; empty if the folder holds only one.
    unwrap_day
        Whether the stamps are times of day, so that those of the small hours belong to the next day.
    target_contour_px
        Returns the target of the first frame from its file, if the format has one.

    Raises
    ------
    BadRecording
        If a file is damaged, or frames of one plane differ in size, geometry or kind of stamp.
    """
    first, places = _choose(folder, files, read, plane)
    places.sort(key=lambda item: item[0])
    stamps_ns = np.array([stamp for stamp, _ in places], np.int64)
    if unwrap_day:
        stamps_ns, places = _unwrapped(stamps_ns, places)
    return checked_recording(
        path=folder,
        frames=_FrameFiles([place for _, place in places], first.dtype, read),
        shape=(first.pixels.shape[0], first.pixels.shape[1]),
        dtype=first.dtype,
        stamps_ns=stamps_ns,
        stamp_meaning=first.meaning,
        pixel_spacing_mm=first.geometry.pixel_spacing_mm,
        given_spacing_mm=given_spacing_mm,
        image_orientation=first.geometry.image_orientation,
        image_position_mm=first.geometry.image_position_mm,
        plane=first.plane,
        target_contour_px=target_contour_px(places[0][1].path) if target_contour_px else None,
        description=description,
        frame_of_reference=first.frame_of_reference,
    )


def _choose(
    folder: Path, files: Sequence[Path], read: ReadFile, plane: str
) -> tuple[VendorFrame, list[tuple[int, _Place]]]:
    """Return the first frame of a plane, and the stamp and place of each, by default of the only plane."""
    if len(files) > MAX_FILES:
        raise BadRecording(f"{folder}: there are {len(files)} files; {MAX_FILES} is the limit")
    first: VendorFrame | None = None
    places: list[tuple[int, _Place]] = []
    seen: Counter[str] = Counter()
    for path in files:
        for index, frame in enumerate(read_vendor_file(path, read)):
            seen[frame.plane] += 1
            if plane and frame.plane != plane:
                continue
            first = first or frame
            if frame.plane == first.plane:
                _check_alike(path, frame, first)
                places.append((frame.acquired_ns, _Place(path, index)))
    if first is None:
        raise PlaneMissing(f"{folder}: it holds {_counts(seen) or 'no frames'}; {plane or 'any'} frames are needed")
    if len(seen) > 1 and not plane:
        raise BadRecording(f"{folder}: it holds {_counts(seen)} frames; name the plane to take, or take all of them")
    return first, places


def read_vendor_file(path: Path, read: ReadFile) -> Sequence[VendorFrame]:
    """Return the frames of a file. Raises `BadRecording`, naming the file."""
    try:
        return read(path)
    except BadFrame as error:
        raise BadRecording(f"{path}: {error}") from None


def _check_alike(path: Path, frame: VendorFrame, first: VendorFrame) -> None:
    difference = frame.difference(first)
    if difference:
        raise BadRecording(f"{path}: {difference}; all frames must agree")


def _unwrapped(
    stamps_ns: NDArray[np.int64], places: list[tuple[int, _Place]]
) -> tuple[NDArray[np.int64], list[tuple[int, _Place]]]:
    """If the stamps are more than half a day apart, move the small hours to after the evening."""
    day_ns = 86_400 * 10**9
    if stamps_ns[-1] - stamps_ns[0] <= day_ns // 2:
        return stamps_ns, places
    moved = np.where(stamps_ns < day_ns // 2, stamps_ns + day_ns, stamps_ns)
    order = np.argsort(moved, kind="stable")
    return moved[order], [places[index] for index in order]


def _counts(seen: Counter[str]) -> str:
    return ", ".join(f"{plane} ({count})" for plane, count in sorted(seen.items()))
