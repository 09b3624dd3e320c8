"""A frame as the direct fit sees it: every pixel relative to the mean and the deviation around it.

Shading, gain and offset drop out. The window is as wide as the target's own structures: a narrow one sees much the same
texture everywhere and locks on to wrong places, a wide one lets shading through (`docs/tracking.md` has the figures).
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.tracking.contrast_kernels import TAPS, block_means, cell_means, deviations, divide, gaussian_taps, smooth
from gating.tracking.saturation_band import NO_BANDS, SaturationBands

Image = NDArray[np.float32]

WINDOW_SHARE: Final = 0.7
"""Width of the window relative to the target's."""
MIN_WINDOW_MM, MAX_WINDOW_MM = 20.0, 50.0
MIN_WINDOW_PX: Final = 5
REDUCED_WINDOW_PX: Final = 10
"""The least width of a window on a reduced grid."""
SMOOTHING_PX: Final = 1.0
SMOOTHING: Final = gaussian_taps(SMOOTHING_PX)
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


class Cells:
    """Means of an image and of its squares over square cells.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the images.
    side : int
        Pixels a side of a cell.
    """

    def __init__(self, shape: tuple[int, int], side: int) -> None:
        self.side, self.offset = side, np.float32(0.0)
        grid = tuple(-(-length // side) for length in shape)
        self.values, self.squares = (np.zeros(grid, np.float32) for _ in range(2))
        self._lines = np.zeros((2, grid[1] * side), np.float32)

    def load(self, image: Image, offset: np.float32) -> None:
        """Take the next image, less its mean or about that."""
        self.offset = offset
        cell_means(image, offset, self.side, self._lines, self.values, self.squares)


class LocalContrast:
    """Local contrast of images of one size, computed into buffers of its own.

    A wide window is slid over a grid of cells: mean and deviation hardly change within a few pixels.

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
        self.cell_px = 2**halvings
        side = 2 * int(side / 2 ** (halvings + 1)) + 1
        self._window = (side, side)
        self.image = np.zeros(shape, np.float32)
        """(rows, columns) float32, the newest result, about -3 to 3."""
        self._own = Cells(shape, self.cell_px)
        rows, columns = self._own.values.shape
        self._mean, self._deviation = np.zeros((2, rows, columns), np.float32)
        self._lines = np.zeros((3, columns * self.cell_px + 2), np.float32)

    def load(self, image: Image, cells: Cells | None = None) -> None:
        """Compute `image` from another (rows, columns) float32, with the means over its cells if they are known."""
        if cells is None:
            cells = self._own
            cells.load(image, np.float32(cv2.mean(image)[0]))
        mean, deviation = self._mean, self._deviation
        cv2.blur(cells.values, self._window, mean, borderType=cv2.BORDER_REFLECT)
        cv2.blur(cells.squares, self._window, deviation, borderType=cv2.BORDER_REFLECT)
        deviations(mean, deviation, LEAST_DEVIATION)
        divide(image, cells.offset, cells.side, mean, deviation, self._lines, self.image)


class SmoothedFrame:
    """The newest frame, smoothed, and its means over blocks and cells: what all pictures of it have in common.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the frames.
    spacing_mm : float
        Size of a pixel.

    Attributes
    ----------
    raw, smooth : (rows, columns) float32
    blocks : (rows // step, columns // step) float32
    step : int
        Pixels of the full grid, along each side, in one of the coarse grid.
    """

    def __init__(self, shape: tuple[int, int], spacing_mm: float) -> None:
        rows, columns = shape
        self.step = min(max(round(COARSE_PIXEL_MM / spacing_mm), 1), min(shape) // 2)
        self.raw, self.smooth = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._line = np.zeros(columns + 2 * TAPS - 2, np.float32)
        self.blocks = np.zeros((rows // self.step, columns // self.step), np.float32)
        self._cells: dict[int, Cells] = {}

    def cells(self, side: int) -> Cells:
        """Return the means over cells of a size; they are loaded with every frame from now on."""
        return self._cells.setdefault(side, Cells(self.raw.shape, side))

    def load(self, frame: NDArray[Any]) -> None:
        """Take the next frame, (rows, columns) real numbers."""
        np.copyto(self.raw, frame, casting="same_kind")
        smooth(self.raw, SMOOTHING, self._line, self.smooth)
        block_means(self.smooth, self.step, self._line, self.blocks)
        offset = np.float32(cv2.mean(self.blocks)[0])
        for cells in self._cells.values():
            cells.load(self.smooth, offset)


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
    smoothed : SmoothedFrame, optional
        What other pictures share; then `compute` follows when it is loaded.

    Attributes
    ----------
    raw, smooth, fine : (rows, columns) float32
    coarse : (rows // step, columns // step) float32
    step : int
        Pixels of the full grid, along each side, in one of the coarse grid.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        spacing_mm: float,
        window_mm: float,
        bands: SaturationBands = NO_BANDS,
        smoothed: SmoothedFrame | None = None,
    ) -> None:
        self.bands = bands
        base = self._smoothed = smoothed or SmoothedFrame(shape, spacing_mm)
        self.step, self.raw, self.smooth = base.step, base.raw, base.smooth
        coarse_mm = self.step * spacing_mm
        self._blocks = np.zeros_like(base.blocks)
        self._fine = LocalContrast(shape, window_mm / spacing_mm)
        self._cells = base.cells(self._fine.cell_px)
        self._coarse = LocalContrast(self._blocks.shape, max(window_mm, COARSE_WINDOW_MM) / coarse_mm)
        self._coarse_smoothing_px = COARSE_SMOOTHING_SHARE * window_mm / coarse_mm
        self.fine, self.coarse = self._fine.image, self._coarse.image

    def load(self, frame: NDArray[Any]) -> None:
        """Take the next frame, (rows, columns) real numbers."""
        self._smoothed.load(frame)
        self.compute()

    def compute(self) -> None:
        """Compute the local contrast of the smoothed frame."""
        self._fine.load(self.smooth, self._cells)
        cv2.GaussianBlur(self._smoothed.blocks, (0, 0), self._coarse_smoothing_px, self._blocks)
        self._coarse.load(self._blocks)
