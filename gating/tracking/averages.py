"""Pictures with less noise than a frame has: means of frames of a preparation that look alike, each moved back.

The noise of a template is the same in every frame that it is fitted to, so it shifts and deforms all contours alike,
and no number of frames averages that out. In a mean of thirty frames little of it is left.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.tracking.contour import ContourFit, Propagation
from gating.tracking.local_contrast import Picture, window_mm
from gating.tracking.memory import Contour
from gating.tracking.reference import checked_pixels
from gating.tracking.saturation_band import find_bands

Frames = NDArray[Any]
Point = tuple[float, float]

MOST_FRAMES: Final = 32
NEAR_MM: Final = 3.0
"""Frames count in whose motion the target is no farther from where it is in the frame that is averaged for."""
STIFF: Final = 0.15
"""Usual deformation between two such frames, relative to that between any two; more would be feigned by noise."""
LIKENESS: Final = 0.9
"""About the ZNCC of two means, which the fit of one to the other is told."""


class Averages:
    """Means of the frames of one preparation.

    Parameters
    ----------
    frames : (n, rows, columns) real numbers
        The first is the reference.
    contour_px : (m, 2) float32
        The target in it.
    margin_px : float
        Width of the tissue around the target that takes part in the fit.
    pixel_mm : float
        Size of a pixel.
    """

    def __init__(self, frames: Frames, contour_px: Contour, margin_px: float, pixel_mm: float) -> None:
        self._frames, self._margin_px, self._pixel_mm = frames, margin_px, pixel_mm
        self._bands = find_bands(checked_pixels(frames[0]), pixel_mm)
        shape = (frames.shape[1], frames.shape[2])
        self._picture = Picture(shape, pixel_mm, window_mm(contour_px, pixel_mm), self._bands)

    def mean(
        self, number: int, contour_px: Contour, content_px: NDArray[np.float64], alike: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Return the mean of a frame and of those like it, each moved back to it; of the type of the frames.

        Parameters
        ----------
        number : int
            The frame.
        contour_px : (m, 2) float32
            The target in it.
        content_px : (n, 2) float64
            Centre of the content in every frame.
        alike : (n,) float32
            ZNCC of every frame with this one; a frame counts above 0.
        """
        away_mm = np.linalg.norm(content_px - content_px[number], axis=1) * self._pixel_mm
        near = np.flatnonzero((away_mm <= NEAR_MM) & (alike > 0.0))
        chosen = near[np.argsort(-alike[near], kind="stable")][:MOST_FRAMES]
        frame = self._filled(self._frames[number])
        fit = self._fit(frame, contour_px, _point(content_px[number]), STIFF)
        total, count = frame.astype(np.float32), 1
        for other in chosen[chosen != number].tolist():
            seen = self._filled(self._frames[other])
            self._picture.load(seen)
            x, y = _point(content_px[other] - content_px[number])
            moved = fit.propagate(self._picture, x, y, float(alike[other]))
            if moved.shift_mm <= NEAR_MM:
                total += fit.moved_back(seen, moved)
                count += 1
        mean = total / np.float32(count)
        return mean if frame.dtype.kind == "f" else np.rint(mean).astype(frame.dtype)

    def noise(self, mean: NDArray[Any], contour_px: Contour, content_px: NDArray[np.float64]) -> float:
        """Return the mean square difference between the reference frame and its mean, in units of local contrast.

        Parameters
        ----------
        mean : (rows, columns) real numbers
            Of the reference.
        contour_px : (m, 2) float32
            The target in it.
        content_px : (2,) float64
            Centre of its content.
        """
        frame = self._filled(self._frames[0])
        return self._moved(mean, frame, contour_px, _point(content_px), np.zeros(2)).cost

    def carried(
        self,
        means: list[NDArray[Any]],
        contour_px: Contour,
        content_px: NDArray[np.float64],
        alike: NDArray[np.float32],
    ) -> list[tuple[Contour, Point]]:
        """Carry the target from the first mean to all others, each time to the one most like any reached so far.

        Parameters
        ----------
        means : list of (rows, columns) real numbers
        contour_px : (m, 2) float32
            The target in the first.
        content_px : (k, 2) float64
            About where the content is in each.
        alike : (k, k) float32
            ZNCC of each with each.

        Returns
        -------
        list
            Contour and centre of the content, for each mean.
        """
        reached: dict[int, tuple[Contour, Point]] = {0: (contour_px, _point(content_px[0]))}
        while len(reached) < len(means):
            ways = [(start, end) for start in reached for end in range(len(means)) if end not in reached]
            start, end = max(ways, key=lambda way: float(alike[way]))
            moved = self._moved(means[start], means[end], *reached[start], content_px[end] - content_px[start])
            reached[end] = moved.contour_px, moved.content_px
        return [reached[number] for number in range(len(means))]

    def _moved(
        self, one: NDArray[Any], other: NDArray[Any], contour_px: Contour, centre_px: Point, shift: NDArray[np.float64]
    ) -> Propagation:
        fit = self._fit(one, contour_px, centre_px)
        self._picture.load(other)
        return fit.propagate(self._picture, float(shift[0]), float(shift[1]), LIKENESS)

    def _fit(self, frame: NDArray[Any], contour_px: Contour, centre_px: Point, usual: float = 1.0) -> ContourFit:
        self._picture.load(frame)
        return ContourFit(self._picture, contour_px, centre_px, self._margin_px, self._pixel_mm, usual)

    def _filled(self, frame: NDArray[Any]) -> NDArray[Any]:
        return self._bands.filled(checked_pixels(frame))


def _point(place: NDArray[np.float64]) -> Point:
    return float(place[0]), float(place[1])
