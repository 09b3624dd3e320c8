"""A frame as the direct fit sees it: every pixel relative to the mean and the deviation around it.

Shading, gain and offset drop out. The window is as wide as the target's own structures: a narrow one sees much the same
texture everywhere and locks on to wrong places, a wide one lets shading through (`docs/tracking.md` has the figures).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.tracking.saturation_band import NO_BANDS, SaturationBands

Image = NDArray[np.float32]

WINDOW_SHARE: Final = 0.7
"""Width of the window relative to the target's."""
MIN_WINDOW_MM, MAX_WINDOW_MM = 20.0, 50.0
MIN_WINDOW_PX: Final = 5
REDUCED_WINDOW_PX: Final = 10
"""The least width of a window on a reduced grid."""
SMOOTHING_PX: Final = 1.0
LEAST_DEVIATION: Final = 0.25
"""Relative to the mean one of the frame: where nothing but noise is seen, it is not blown up."""
COARSE_PIXEL_MM: Final = 3.0
COARSE_SMOOTHING_SHARE: Final = 0.07
"""Relative to the window on the full grid."""
COARSE_WINDOW_MM: Final = 40.0


def window_mm(contour_px: NDArray[np.floating[Any]], spacing_mm: float) -> float:
    """Return the width of the window for a target outlined by (n, 2) points in px."""
    side_mm = float(np.sqrt(np.prod(np.ptp(contour_px, axis=0)))) * spacing_mm
    return min(max(WINDOW_SHARE * side_mm, MIN_WINDOW_MM), MAX_WINDOW_MM)


class LocalContrast:
    """Local contrast of images of one size, computed into buffers of its own.

    A wide window is slid over a reduced grid: mean and deviation hardly change within a few pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    window_px : float
        Width of the square window.
    """

    def __init__(self, shape: tuple[int, int], window_px: float) -> None:
        side = max(2 * round(window_px / 2.0) + 1, MIN_WINDOW_PX)
        halvings = max(int(math.log2(side / REDUCED_WINDOW_PX)), 0)
        side = 2 * int(side / 2 ** (halvings + 1)) + 1
        self._window = (side, side)
        self.image = np.zeros(shape, np.float32)
        """(rows, columns) float32, the newest result, about -3 to 3."""
        whole = [-(-length // 2**halvings) * 2**halvings for length in shape]
        grids = [tuple(length // 2**level for length in whole) for level in range(halvings + 1)]
        self._values, self._squares = ([np.zeros(grid, np.float32) for grid in grids] for _ in range(2))
        self._mean, self._deviation = (np.zeros(grids[-1], np.float32) for _ in range(2))
        self._own = np.s_[: shape[0], : shape[1]]

    def load(self, smooth: Image) -> None:
        """Compute `image` from another (rows, columns) float32."""
        values, squares, mean, deviation = self._values, self._squares, self._mean, self._deviation
        down, right = (whole - own for whole, own in zip(values[0].shape, smooth.shape, strict=True))
        cv2.copyMakeBorder(smooth, 0, down, 0, right, cv2.BORDER_REFLECT, values[0])
        # Without its mean, the squares of a frame with a large offset keep their precision.
        np.subtract(values[0], np.float32(cv2.mean(smooth)[0]), out=values[0])
        cv2.multiply(values[0], values[0], squares[0])
        for grids in (values, squares):
            for fine, reduced in pairwise(grids):
                cv2.resize(fine, reduced.shape[::-1], reduced, interpolation=cv2.INTER_AREA)
        cv2.blur(values[-1], self._window, mean, borderType=cv2.BORDER_REFLECT)
        cv2.blur(squares[-1], self._window, deviation, borderType=cv2.BORDER_REFLECT)
        cv2.multiply(mean, mean, squares[-1])
        cv2.subtract(deviation, squares[-1], deviation)
        floor = np.float32(max(LEAST_DEVIATION**2 * cv2.mean(deviation)[0], 1e-12))
        np.maximum(deviation, np.float32(0.0), out=deviation)
        np.add(deviation, floor, out=deviation)
        np.sqrt(deviation, out=deviation)
        cv2.subtract(values[0], self._on_full_grid(mean), values[0])
        cv2.divide(values[0][self._own], self._on_full_grid(deviation)[self._own], self.image)

    def _on_full_grid(self, reduced: Image) -> Image:
        """Return a map between the pixels of its grid; the next call overwrites it."""
        full = self._squares[0]
        if reduced.shape == full.shape:
            return reduced
        return np.asarray(cv2.resize(reduced, full.shape[::-1], full, interpolation=cv2.INTER_LINEAR), np.float32)


class Picture:
    """The newest frame, smoothed, and its local contrast on the full grid and on a coarse one.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the frames.
    spacing_mm : float
        Size of a pixel.
    window_mm : float
        Width of the window on the full grid.
    bands : SaturationBands
        What the frames have been filled at: nothing is seen there.

    Attributes
    ----------
    raw, smooth, fine : (rows, columns) float32
    coarse : (rows // step, columns // step) float32
    step : int
        Pixels of the full grid, along each side, in one of the coarse grid.
    """

    def __init__(
        self, shape: tuple[int, int], spacing_mm: float, window_mm: float, bands: SaturationBands = NO_BANDS
    ) -> None:
        self.bands = bands
        rows, columns = shape
        self.step = max(round(COARSE_PIXEL_MM / spacing_mm), 1)
        coarse_mm = self.step * spacing_mm
        self._whole = np.s_[: rows // self.step * self.step, : columns // self.step * self.step]
        self.raw, self.smooth = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._blocks = np.zeros((rows // self.step, columns // self.step), np.float32)
        self._fine = LocalContrast(shape, window_mm / spacing_mm)
        self._coarse = LocalContrast(self._blocks.shape, max(window_mm, COARSE_WINDOW_MM) / coarse_mm)
        self._coarse_smoothing_px = COARSE_SMOOTHING_SHARE * window_mm / coarse_mm
        self.fine, self.coarse = self._fine.image, self._coarse.image

    def load(self, frame: NDArray[Any]) -> None:
        """Take the next frame, (rows, columns) real numbers."""
        np.copyto(self.raw, frame, casting="same_kind")
        cv2.GaussianBlur(self.raw, (0, 0), SMOOTHING_PX, self.smooth)
        self._fine.load(self.smooth)
        cv2.resize(self.smooth[self._whole], self._blocks.shape[::-1], self._blocks, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(self._blocks, (0, 0), self._coarse_smoothing_px, self._blocks)
        self._coarse.load(self._blocks)
