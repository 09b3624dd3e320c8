"""Recordings of one scan: a single plane, or planes taken in turn, merged by their stamps into one stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording, PlaneMissing
from drivers.recordings import PLANES, SpacingMm, holds_stamps, open_recording
from drivers.recordings.recording import Recording

ALL_PLANES: Final = "all"
_SHARED: Final = ("shape", "dtype", "pixel_spacing_mm", "stamp_meaning")
"""Fields that all frames of one stream share on the wire, whatever their plane."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """One recording, or one for each plane of an interleaved scan. `interleave` makes it."""

    recordings: tuple[Recording, ...]
    """In the order of their first frames."""
    stamps_ns: NDArray[np.int64]
    """Stamps of all frames, strictly increasing."""
    places: NDArray[np.int64]
    """(frames, 2): the recording of each frame, and its index there."""

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def first(self) -> Recording:
        """The recording whose first frame comes first."""
        return self.recordings[0]

    @property
    def planes(self) -> tuple[str, ...]:
        """Planes in the order of their first frames."""
        return tuple(recording.plane for recording in self.recordings)

    @property
    def name(self) -> str:
        """Name of the scan."""
        return " + ".join(dict.fromkeys(recording.name for recording in self.recordings))

    @property
    def times_assumed(self) -> bool:
        """Whether stamps of a recording follow from a rate that the user gave."""
        return any(recording.times_assumed for recording in self.recordings)

    @property
    def nominal_interval_ns(self) -> int:
        """Median time of one turn through the planes, divided by their number, ns; 0 if there is only one turn."""
        turn = len(self.recordings)
        if len(self) <= turn:
            return 0
        return int(np.median(self.stamps_ns[turn:] - self.stamps_ns[:-turn])) // turn

    def place(self, index: int) -> tuple[Recording, int]:
        """Return the recording of a frame, and its index there."""
        which, own = self.places[index]
        return self.recordings[which], int(own)


def open_scan(
    path: str | os.PathLike[str],
    pixel_spacing_mm: SpacingMm | None = None,
    *,
    plane: str = "",
    others: Sequence[str | os.PathLike[str]] = (),
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
) -> Scan:
    """Open a recording, all its planes, or several recordings of one scan.

    Parameters
    ----------
    path, pixel_spacing_mm, frames_per_s, skip_frames, position_is
        As `open_recording` takes them.
    plane
        Plane to take; empty if there is only one; "all" takes every plane in turn, as recorded.
    others
        Further recordings, whose planes were taken in turn with the first one's.

    Raises
    ------
    BadRecording
        One sentence, also if the recordings cannot form one stream.
    """
    read = partial(
        open_recording,
        pixel_spacing_mm=pixel_spacing_mm,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
    )
    paths = [Path(path), *map(Path, others)]
    if plane == ALL_PLANES:
        return interleave([one for file in paths for one in _every_plane(file, read)])
    return interleave([read(file, plane=plane) for file in paths])


def interleave(recordings: Sequence[Recording]) -> Scan:
    """Merge recordings of different planes by their stamps.

    Raises
    ------
    BadRecording
        If two recordings show the same plane, differ in a field that one stream shares, do not overlap in time, or have
        frames with the same stamp; one sentence.
    """
    ordered = sorted(recordings, key=lambda recording: int(recording.stamps_ns[0]))
    for index, recording in enumerate(ordered):
        for earlier in ordered[:index]:
            _check_one_scan(earlier, recording)
    stamps_ns = np.concatenate([recording.stamps_ns for recording in ordered])
    places = np.concatenate(
        [
            np.stack([np.full(len(recording), index), np.arange(len(recording))], axis=1)
            for index, recording in enumerate(ordered)
        ]
    )
    order = np.argsort(stamps_ns, kind="stable")
    scan = Scan(recordings=tuple(ordered), stamps_ns=stamps_ns[order], places=places[order])
    _check_one_at_a_time(scan)
    return scan


def _every_plane(path: Path, read: Callable[..., Recording]) -> list[Recording]:
    if path.exists() and not holds_stamps(path):
        return [read(path)]
    found = []
    for plane in PLANES:
        try:
            found.append(read(path, plane=plane))
        except PlaneMissing:
            continue
    if not found:
        raise BadRecording(f"{path}: it holds no frames that are {', '.join(PLANES)}")
    return found


def _check_one_scan(one: Recording, other: Recording) -> None:
    both = f"{one.path} and {other.path}"
    if one.plane == other.plane:
        raise BadRecording(f"{both}: both are {one.plane}; recordings taken in turn show different planes")
    for field in _SHARED:
        if getattr(one, field) != getattr(other, field):
            raise BadRecording(
                f"{both}: {field} is {getattr(one, field)} in {one.plane} frames, {getattr(other, field)} in "
                f"{other.plane} ones; one stream needs the same"
            )
    if one.frame_of_reference and other.frame_of_reference and one.frame_of_reference != other.frame_of_reference:
        raise BadRecording(f"{both}: their frames of reference differ, so their positions cannot be compared")
    if not (other.stamps_ns[0] < one.stamps_ns[-1] and one.stamps_ns[0] < other.stamps_ns[-1]):
        apart_s = (other.stamps_ns[0] - one.stamps_ns[-1]) / 1e9
        raise BadRecording(f"{both}: {other.plane} begins {apart_s:.3f} s after {one.plane} ended; stamps must overlap")


def _check_one_at_a_time(scan: Scan) -> None:
    same = np.flatnonzero(np.diff(scan.stamps_ns) == 0)
    if len(same):
        (one, first), (other, second) = scan.place(int(same[0])), scan.place(int(same[0]) + 1)
        raise BadRecording(
            f"{one.path}: {one.plane} frame {first} and {other.plane} frame {second} of {other.path} have the same "
            f"stamp, {scan.stamps_ns[same[0]] / 1e9:g} s; planes taken in turn have different stamps"
        )
