"""Names in pixels: whether an image looks as if text were burnt into it, and bits where text may hide.

Letters are bright, small, of one height, and stand in a row; anatomy is not. This finds text that is brighter than
the image, as scanners and movies write it. It cannot show that there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cinegate.deidentify.identities import DeidentifyError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LEAST_LETTERS: Final = 5
LEAST_HEIGHT_PX: Final = 5
LARGEST_PART: Final = 0.15
"""Tallest letter, relative to the image; letters of `READABLE_PX` are never too tall."""
READABLE_PX: Final = 16
BRIGHT: Final = (0.9, 0.7, 0.5)
"""Where letters are told from the image, of the range from the darkest to the brightest pixel."""


def clear_unused_bits(dataset: Dataset) -> None:
    """Clear the bits of unsigned pixels that are not part of a value: old overlays, with names, may lie there.

    Those of signed pixels repeat the sign and stay.
    """
    allocated, stored = dataset.get("BitsAllocated", 0), dataset.get("BitsStored", 0)
    if "PixelData" not in dataset or dataset.get("PixelRepresentation") != 0 or not 0 < stored < allocated:
        return
    lowest = dataset.get("HighBit", stored - 1) + 1 - stored
    if lowest < 0 or lowest + stored > allocated:
        raise DeidentifyError(f"HighBit is {lowest + stored - 1}; {stored - 1} to {allocated - 1} is needed")
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    values = np.frombuffer(dataset.PixelData, f"{order}u{allocated // 8}")
    dataset["PixelData"].value = (values & ((1 << stored) - 1 << lowest)).astype(values.dtype).tobytes()


def looks_like_text(image: NDArray[Any]) -> bool:
    """Return whether a row of letters can be made out in an image, (rows, columns) or (rows, columns, 3)."""
    import cv2

    grey = np.asarray(image, np.float32)
    grey = grey.max(axis=2) if grey.ndim == 3 else grey
    grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if not high > low:
        return False
    tallest = max(LARGEST_PART * grey.shape[0], READABLE_PX)
    for level in BRIGHT:
        bright = (grey >= low + level * (high - low)).astype(np.uint8)
        count, _, found, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
        letters = [
            (int(x), int(y), int(width), int(height))
            for x, y, width, height, area in found[1:count]
            if LEAST_HEIGHT_PX <= height <= tallest and width <= 2 * height and area >= height
        ]
        if any(_in_row(letter, letters) >= LEAST_LETTERS for letter in letters):
            return True
    return False


def _in_row(first: tuple[int, int, int, int], letters: list[tuple[int, int, int, int]]) -> int:
    """Return how many letters stand in a row from one on to the right."""
    right, row = first[0] + first[2], 1
    _, top, _, height = first
    for x, y, width, other_height in sorted(letters):
        near = 0 <= x - right <= 1.5 * height
        level = abs(y + other_height - top - height) <= 0.35 * height or abs(y - top) <= 0.35 * height
        if near and level and 0.6 <= other_height / height <= 1.7:
            right, row = x + width, row + 1
    return row
