"""A folder of vendor files, each with one frame or several, as a recording in order of acquisition."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording, BadStamp, FramesDropped, PlaneMissing
from drivers.formats.frame import VendorFrame
from drivers.formats.pixels import WireDtype
from drivers.recordings.recording import Recording, checked_recording, wire_frame
from gating.messages import Pixels

MAX_FILES: Final = 100_000
MAX_DROPPED_FRACTION: Final = 0.1
"""Of the files; one may always be dropped. If more stamps are bad, something else is wrong with the recording."""

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
            try:
                self._held = place.path, self._read(place.path)
            except BadFrame as error:
                raise BadRecording(f"{place.path}: {error}") from None
        return wire_frame(self._held[1][place.index].pixels, self._dtype)


def read_folder(
    folder: Path,
    files: Sequence[Path],
    read: ReadFile,
    given_spacing_mm: Sequence[float] | None,
    *,
    plane: str,
    day_clock: str = "",
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
    day_clock
        Clock whose stamps are times of day, so that those of the small hours belong to the next day.
    target_contour_px
        Returns the target of the first frame from its file, if the format has one.

    Files with a stamp out of bounds, and frames with the stamp of another one, are dropped. A warning `FramesDropped`
    and the recording's description say so.

    Raises
    ------
    BadRecording
        If a file is damaged, frames of one plane differ in size, geometry or kind of stamp, or too many stamps are bad.
    """
    first, places, bad_stamps = _choose(folder, files, read, plane)
    places, doubled = _without_doubles(places)
    if dropped := _told(folder, bad_stamps + doubled, len(files)):
        description = f"{description}; {dropped}"
        warnings.warn(f"{folder}: {dropped}", FramesDropped, stacklevel=2)
    stamps_ns = np.array([stamp for stamp, _ in places], np.int64)
    if first.clock == day_clock:
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
) -> tuple[VendorFrame, list[tuple[int, _Place]], list[str]]:
    """Return the first frame of a plane, the stamp and place of each, by default of the only plane, and bad stamps."""
    if len(files) > MAX_FILES:
        raise BadRecording(f"{folder}: there are {len(files)} files; {MAX_FILES} is the limit")
    first: VendorFrame | None = None
    places: list[tuple[int, _Place]] = []
    seen: Counter[str] = Counter()
    bad_stamps: list[str] = []
    for path in files:
        try:
            frames = read(path)
        except BadStamp as error:
            bad_stamps.append(f"{path.name}: {error}")
            continue
        except BadFrame as error:
            raise BadRecording(f"{path}: {error}") from None
        for index, frame in enumerate(frames):
            seen[frame.plane] += 1
            if plane and frame.plane != plane:
                continue
            first = first or frame
            if frame.plane == first.plane:
                _check_alike(path, frame, first)
                places.append((frame.acquired_ns, _Place(path, index)))
    if first is None:
        _told(folder, bad_stamps, len(files))
        raise PlaneMissing(f"{folder}: it holds {_counts(seen) or 'no frames'}; {plane or 'any'} frames are needed")
    if len(seen) > 1 and not plane:
        raise BadRecording(f"{folder}: it holds {_counts(seen)} frames; name the plane to take, or take all of them")
    return first, places, bad_stamps


def _without_doubles(places: list[tuple[int, _Place]]) -> tuple[list[tuple[int, _Place]], list[str]]:
    """Return the places in order of their stamps, the first one of each stamp, and what was left out."""
    kept: list[tuple[int, _Place]] = []
    doubled: list[str] = []
    for stamp_ns, place in sorted(places, key=lambda item: item[0]):
        if kept and kept[-1][0] == stamp_ns:
            doubled.append(f"{place.path.name}: the acquisition stamp is that of {kept[-1][1].path.name}")
        else:
            kept.append((stamp_ns, place))
    return kept, doubled


def _told(folder: Path, dropped: Sequence[str], files: int) -> str:
    """Return what was dropped in one sentence; empty if nothing was. Raises `BadRecording` if it is too much."""
    if not dropped:
        return ""
    text = f"{len(dropped)} of {files} frames dropped, {dropped[0]}"
    limit = max(1, int(files * MAX_DROPPED_FRACTION))
    if len(dropped) > limit:
        raise BadRecording(f"{folder}: {text}; {limit} is the limit")
    return text


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
