"""What a user adds to a recording that does not say it itself: spacing, plane, rate, frames to leave out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.formats.mrd import Position
from drivers.recordings.recording import SAGITTAL, FrameSequence, Orientation, Recording
from gating.messages import Pixels

MAX_FRAMES_PER_S: Final = 1000.0
ORIENTATIONS: Final[dict[str, Orientation]] = {
    "sagittal": SAGITTAL,
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "transversal": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}
"""The usual orientation of each plane, for formats that hold none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a user says of a recording."""

    pixel_spacing_mm: tuple[float, float] | None = None
    """(row, column)."""
    plane: str = ""
    """Plane to take; that of a format without orientations, which is sagittal if none is named."""
    frames_per_s: float | None = None
    skip_frames: int | None = None
    """Frames to leave out at the start; None: as many as the format needs."""
    position_is: Position = "centre"
    """Point that the position of an MRD image marks."""

    @property
    def orientation(self) -> Orientation:
        """Orientation of a recording that holds none."""
        return ORIENTATIONS[self.plane or "sagittal"]

    def stamps_ns(self, path: Path, count: int, hint: str = "") -> NDArray[np.int64]:
        """Return the stamps of a recording that holds none, from the rate.

        Raises
        ------
        BadRecording
            If no rate was given, or it is out of bounds; `hint` says what the file tells of it.
        """
        rate = self.frames_per_s
        if rate is None:
            raise BadRecording(f"{path}: it holds no time stamps{hint}; give its rate in frames/s (--frames-per-s)")
        if not 0 < rate <= MAX_FRAMES_PER_S:
            raise BadRecording(
                f"{path}: frames_per_s is {rate:g}; above 0 up to {MAX_FRAMES_PER_S:g} frames/s is allowed"
            )
        stamps_ns: NDArray[np.int64] = np.rint(np.arange(count) * (1e9 / rate)).astype(np.int64)
        return stamps_ns


def without_first(recording: Recording, count: int) -> Recording:
    """Return a recording without its first frames; a target drawn in one of them goes with it.

    Raises
    ------
    BadRecording
        If no frame would be left.
    """
    if count == 0:
        return recording
    if not 0 < count < len(recording):
        raise BadRecording(
            f"{recording.path}: skip_frames is {count}; 0 to {len(recording) - 1} of {len(recording)} is allowed"
        )
    contours = {index - count: c for index, c in recording.target_contours_px.items() if index >= count}
    track = recording.target_track_px
    return replace(
        recording,
        frames=_Later(recording.frames, count),
        stamps_ns=recording.stamps_ns[count:],
        target_contour_px=contours.get(0),
        target_contours_px=contours,
        target_track_px=None if track is None else track[count:],
    )


class _Later:
    """Frames from a certain one on."""

    def __init__(self, frames: FrameSequence, first: int) -> None:
        self._frames, self._first = frames, first

    def __len__(self) -> int:
        return len(self._frames) - self._first

    def __getitem__(self, index: int) -> Pixels:
        return self._frames[index + self._first]
