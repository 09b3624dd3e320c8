"""Pictures and movies made for people: grey values of them, and whether something was drawn in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MIN_SPREAD: Final = 48
"""Of 255, from the least to the largest of red, green and blue. Lossy compression makes less colour of a grey image."""
MIN_COLOURED_PX: Final = 12
"""Fewer than the pixels of a contour."""
DRAWN_IN: Final = (
    "some pixels have a colour: contours or text were drawn into the images, and the tracker will see them as anatomy"
)


def grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (rows, columns) grey values of an image of one, three (BGR) or four (BGR and opacity) channels."""
    import cv2

    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    colours: NDArray[Any] = cv2.cvtColor(pixels[:, :, :3], cv2.COLOR_BGR2GRAY)
    return colours


def has_drawings(pixels: NDArray[Any]) -> bool:
    """Return whether enough pixels of an image have a colour."""
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return False
    colours = pixels[:, :, :3]
    spread = colours.max(axis=2).astype(np.int64) - colours.min(axis=2)
    scale = np.iinfo(pixels.dtype).max / 255
    return int((spread > MIN_SPREAD * scale).sum()) >= MIN_COLOURED_PX
