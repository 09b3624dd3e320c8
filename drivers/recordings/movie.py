"""Movies (`.avi`, `.mp4`, `.ogv`, `.gif`) as recordings, decoded by OpenCV. They hold neither spacing nor stamps."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from drivers.errors import BadRecording, DrawnIn
from drivers.formats.picture import DRAWN_IN, grey, has_drawings
from drivers.recordings.given import Given
from drivers.recordings.recording import MAX_PIXEL_BYTES, MAX_SIDE_PX, MIN_SIDE_PX, Recording, checked_recording
from gating.messages import Pixels

MAX_FRAMES: Final = 200_000
LOOKED_AT: Final = 10
"""Every so many frames are looked at for drawings."""
_STARTS: Final = ((0, b"RIFF"), (4, b"ftyp"), (0, b"OggS"), (0, b"GIF8"))
"""What the four kinds of file begin with, and where. Nothing else is given to the decoder: playlists name addresses."""


class _MovieFrames:
    """Frames decoded forward. Going back starts again, so memory holds one frame."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._movie: Any = None
        self._next, self._latest = 0, np.empty((0, 0), np.uint8)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Pixels:
        if not 0 <= index < self._count:
            raise IndexError(index)
        if self._movie is None or index < self._next - 1:
            self._movie, self._next = _opened(self._path), 0
        while self._next <= index:
            there, pixels = self._movie.read()
            if not there:
                raise BadRecording(f"{self._path}: frame {self._next} cannot be decoded")
            self._next += 1
            if self._next > index:
                self._latest = np.ascontiguousarray(grey(pixels))
        return self._latest


def read_movie(path: Path, given: Given) -> Recording:
    """Open a movie in grey values. Warns with `DrawnIn` if pixels have a colour.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    movie = _opened(path)
    shape = _shape(path, movie)
    count, drawn = _count(path, movie, shape)
    stamps_ns = given.stamps_ns(path, count, _rate_of(movie))
    if drawn:
        warnings.warn(f"{path}: {DRAWN_IN}", DrawnIn, stacklevel=2)
    return checked_recording(
        path=path,
        frames=_MovieFrames(path, len(stamps_ns)),
        shape=shape,
        dtype="uint8",
        stamps_ns=stamps_ns,
        pixel_spacing_mm=None,
        given_spacing_mm=given.pixel_spacing_mm,
        image_orientation=given.orientation,
        description=f"movie ({path.suffix.lower()})" + (f"; {DRAWN_IN}" if drawn else ""),
        times_assumed=True,
    )


def silence_decoder() -> None:
    """Keep OpenCV and ffmpeg from writing to standard error: what is wrong with a file is said in our own sentence."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _opened(path: Path) -> Any:
    """Return a `cv2.VideoCapture`."""
    import cv2

    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as error:
        raise BadRecording(f"{path}: cannot be read: {error.strerror}") from None
    if not any(start[at : at + len(word)] == word for at, word in _STARTS):
        raise BadRecording(f"{path}: it does not begin as an AVI, MP4, Ogg or GIF file does")
    silence_decoder()
    movie = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not movie.isOpened():
        raise BadRecording(f"{path}: is not a readable movie, or is incomplete")
    return movie


def _shape(path: Path, movie: Any) -> tuple[int, int]:
    import cv2

    rows, columns = int(movie.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(movie.get(cv2.CAP_PROP_FRAME_WIDTH))
    if not (MIN_SIDE_PX <= rows <= MAX_SIDE_PX and MIN_SIDE_PX <= columns <= MAX_SIDE_PX):
        raise BadRecording(f"{path}: frames are {rows}x{columns}; sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px are read")
    return rows, columns


def _count(path: Path, movie: Any, shape: tuple[int, int]) -> tuple[int, bool]:
    """Return the number of frames that can be decoded, whatever the file says, and whether some have drawings."""
    limit = min(MAX_FRAMES, MAX_PIXEL_BYTES // (shape[0] * shape[1]))
    count, drawn = 0, False
    while movie.grab():
        if count % LOOKED_AT == 0 and not drawn:
            there, pixels = movie.retrieve()
            if not there or pixels.shape[:2] != shape:
                raise BadRecording(f"{path}: frame {count} is not of {shape[0]}x{shape[1]} px as the first")
            drawn = has_drawings(pixels)
        count += 1
        if count > limit:
            raise BadRecording(f"{path}: it holds more than {limit} frames of {shape[0]}x{shape[1]} px, the limit")
    return count, drawn


def _rate_of(movie: Any) -> str:
    import cv2

    rate = float(movie.get(cv2.CAP_PROP_FPS))
    return f" (it plays at {rate:g} frames/s, which need not be the rate of the acquisition)" if rate > 0 else ""
