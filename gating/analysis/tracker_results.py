"""The results of trackers, kept while a session is tracked, so that it can be decided again without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.messages import CineFrame
from gating.tracking.tracker import Tracker, TrackResult, WatchingTracker


class ResultLog:
    """The results of trackers, by contour and frame number."""

    def __init__(self) -> None:
        self.number = -1
        self.frames: list[CineFrame] = []
        self.results: dict[bytes, list[TrackResult | None]] = {}
        self.references: dict[bytes, TrackResult] = {}
        self.pixels: NDArray[Any] | None = None
        """Of the newest frame."""

    def number_frames(self, frames: Iterable[CineFrame]) -> Iterator[CineFrame]:
        """Yield the frames, and keep each header with the number of the frame for pixels."""
        for frame in frames:
            self.number += 1
            self.pixels = frame.pixels
            self.frames.append(CineFrame(frame.header, np.broadcast_to(np.float32(self.number), frame.header.shape)))
            yield frame


class LoggingTracker:
    """A tracker that logs its results."""

    def __init__(self, inner: Tracker, log: ResultLog) -> None:
        self._inner, self._log = inner, log
        self._results: list[TrackResult | None] = []

    def warm_up(self) -> None:
        """Warm up the tracker. Raises `TrackerFault`."""
        self._inner.warm_up()

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Set the reference of the tracker, by whose contour the results are known."""
        self._inner.set_reference(pixels, contour_px, pixel_spacing_mm)
        self._key = contour_key(contour_px)
        self._results = self._log.results.setdefault(self._key, [])

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Log the result of the tracker, and return it."""
        result = self._inner.track(pixels, elapsed_s)
        if pixels is not self._log.pixels:
            self._log.references[self._key] = result
            return result
        self._results += [None] * (self._log.number - len(self._results))
        self._results.append(result)
        return result

    def forget_motion(self) -> None:
        """See `WatchingTracker`; a tracker without the method has nothing to forget."""
        if isinstance(self._inner, WatchingTracker):
            self._inner.forget_motion()


def contour_key(contour_px: NDArray[np.floating[Any]]) -> bytes:
    """Return what a contour is known by."""
    return np.ascontiguousarray(contour_px, np.float32).tobytes()
