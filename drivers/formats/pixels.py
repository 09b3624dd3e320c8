"""Pixels of any integer or float type, converted to a dtype of the wire."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame

WireDtype = Literal["uint8", "uint16", "float32"]
WIRE_DTYPES: Final[tuple[WireDtype, ...]] = ("uint8", "uint16", "float32")


def wire_dtype_name(pixels: NDArray[Any]) -> WireDtype:
    """Return the dtype of pixels by its name on the wire. Raises `BadFrame` if the wire has no such dtype."""
    for name in WIRE_DTYPES:
        if pixels.dtype.name == name:
            return name
    raise BadFrame(f"pixels are {pixels.dtype}; {', '.join(WIRE_DTYPES)} are read")


def wire_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in a dtype of the wire. Raises `BadFrame` if that would change a value.

    Signed 16-bit pixels become unsigned, which always suits a magnitude image; wider ones become float32.
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
