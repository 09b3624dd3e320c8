"""Saturation bands: dark lines along whole rows or columns that stay where they are while the anatomy moves.

A template that contains one scores best where it was cut. So bands are looked for once, in the reference frame, and
filled in every frame from the lines beside them before anything is tracked.

A band is straight, crosses nearly all of the body, and is darker than what lies on both sides of it. The dark lines
that balanced sequences draw where the field changes are curved and move with the anatomy: they count as anatomy.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Lines = tuple[tuple[int, int], ...]

HALF_WIDTH_MM: Final = 6.0
"""Of the widest band."""
SMOOTHING_PX: Final = 1.5
"""Along the lines, never across."""
BODY_LEVEL: Final = 0.15
"""Relative to the 95th percentile of the frame: what is darker is air or lung."""
BODY_SHARE: Final = 0.5
"""Of the longest line through the body, at least, that a band must cross."""
LEAST_LINE_MM: Final = 80.0
"""A shorter line may be dark by chance."""
DARK, DARK_SHARE = 0.8, 0.9
"""A band is darker than this, relative to both sides, along this share of the body."""
RECOVERED: Final = 0.9
"""Where the median along the line comes back to this, the band is over but for its last line."""


class SaturationBands(Struct, frozen=True):
    """Where a frame is dark for no reason of the anatomy.

    Attributes
    ----------
    rows, columns : tuple of (first, last)
        Of each band; there is always a line beside it on both sides.
    """

    rows: Lines = ()
    columns: Lines = ()

    def filled(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return a frame with the bands filled from the lines beside them; itself if there are none.

        Parameters
        ----------
        pixels : (rows, columns) uint8, uint16 or float32
        """
        if not (self.rows or self.columns):
            return pixels
        filled = pixels.copy()
        for image, bands in ((filled, self.rows), (filled.T, self.columns)):
            for first, last in bands:
                _fill(image, first, last)
        return filled

    def outside(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask without the bands; as it is if less than half would be left."""
        left = mask.copy()
        for first, last in self.rows:
            left[first : last + 1] = 0
        for first, last in self.columns:
            left[:, first : last + 1] = 0
        return left if 2 * np.count_nonzero(left) >= np.count_nonzero(mask) else mask


NO_BANDS: Final = SaturationBands()


def find_bands(pixels: NDArray[Any], spacing_mm: float) -> SaturationBands:
    """Find the saturation bands of a frame.

    Parameters
    ----------
    pixels : (rows, columns) real numbers
        Finite.
    spacing_mm : float
        Size of a pixel.
    """
    frame = np.asarray(pixels, np.float32)
    widest = max(round(HALF_WIDTH_MM / spacing_mm), 2)
    least_px = LEAST_LINE_MM / spacing_mm
    across = np.ascontiguousarray(frame.T)
    return SaturationBands(_dark_rows(frame, widest, least_px), _dark_rows(across, widest, least_px))


def _fill(image: NDArray[Any], first: int, last: int) -> None:
    """Overwrite rows with what lies on the straight line between the rows beside them."""
    above, below = image[first - 1].astype(np.float32), image[last + 1].astype(np.float32)
    share = (np.arange(1, last - first + 2, dtype=np.float32) / (last - first + 2))[:, None]
    between = above + share * (below - above)
    image[first : last + 1] = between if image.dtype.kind == "f" else np.rint(between)


def _dark_rows(frame: NDArray[np.float32], widest: int, least_px: float) -> Lines:
    """Return the first and the last row of every band along rows."""
    along = cv2.getGaussianKernel(9, SMOOTHING_PX)
    smooth = np.asarray(cv2.sepFilter2D(frame, -1, along, np.ones(1)), np.float32)
    level = BODY_LEVEL * float(np.percentile(smooth, 95))
    length = max(float(np.count_nonzero(smooth > level, axis=1).max()) * BODY_SHARE, least_px)
    shares = np.zeros(len(frame))
    for away in range(2, min(widest, (len(frame) - 2) // 2) + 1):
        above, here, below = smooth[: -2 * away], smooth[away:-away], smooth[2 * away :]
        body = above + below > 2.0 * level
        dark = (here < DARK * np.minimum(above, below)) & body
        crossed = np.count_nonzero(body, axis=1)
        share = np.where(crossed >= length, np.count_nonzero(dark, axis=1) / np.maximum(crossed, 1), 0.0)
        shares[away:-away] = np.maximum(shares[away:-away], share)
    bands: list[tuple[int, int]] = []
    for row in np.flatnonzero(shares >= DARK_SHARE):
        if not bands or row > bands[-1][1]:
            first, last = _extent(smooth, int(row), widest, level)
            bands.append((max(first, bands[-1][1] + 2 if bands else 1), last))
    return tuple(bands)


def _extent(smooth: NDArray[np.float32], row: int, widest: int, level: float) -> tuple[int, int]:
    """Return the first and the last row of the band around a dark row."""
    top, bottom = max(row - widest, 0), min(row + widest, len(smooth) - 1)
    sides = (smooth[top] + smooth[bottom]) / 2.0
    relative = np.median(smooth[top : bottom + 1, sides > level] / sides[sides > level], axis=1)
    first = last = row
    while first > top + 2 and relative[first - 1 - top] < RECOVERED:
        first -= 1
    while last < bottom - 2 and relative[last + 1 - top] < RECOVERED:
        last += 1
    return first - 1, last + 1
