"""Pixels of any integer or float type as one of the wire's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame


def wire_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as a dtype of the wire. Raises `BadFrame` where that would change a value.

    Signed 16-bit pixels go as unsigned ones, which a magnitude image always fits; wider ones as float32.
    """
    dtype = pixels.dtype
    if dtype.newbyteorder("=") in (np.uint8, np.uint16, np.float32):
        return pixels.astype(dtype.newbyteorder("="), copy=False)
    if dtype.newbyteorder("=") == np.int16:
        least = int(pixels.min())
        if least < 0:
            raise BadFrame(f"a pixel is {least}; 0 to 32767 is the range of a signed 16-bit magnitude image")
        return pixels.astype(np.uint16)
    with np.errstate(over="ignore"):
        narrow = pixels.astype(np.float32)
    if dtype.kind in "iu" and not np.array_equal(narrow, pixels):
        raise BadFrame(
            f"a pixel is {int(np.abs(pixels.astype(np.int64)).max())}; whole numbers up to {2**24} are exact"
        )
    return narrow
