"""Compiled zero-mean normalised cross-correlation (ZNCC): the full surface, and the best placement.

C functions do the work. They take the frame, and the block with all arrays of a template, by address: each array that
passes from Python to numba costs 50 ns, and each type of frame would be compiled separately. Each stage is a C function
of its own, called by symbol: otherwise numba would compile it again for every caller, and the time to compile grows
faster than the code.

Each function has one signature: if two processes compile different signatures of one function at the same time,
numba's cache can store the code of one under the name of the other.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gating.tracking.zncc import stages

stages.load()
from numba import njit, types  # noqa: E402 - takes a second, in which the second process of a cold start compiles

_find_symbol: Any = types.ExternalFunction("cinegate_find", types.intp(*[types.intp] * 9))


@njit(types.intp(*[types.intp] * 9), nogil=True, cache=True)
def _find(
    pixels_at: int,
    item_bytes: int,
    frame_rows: int,
    frame_cols: int,
    row: int,
    col: int,
    radius: int,
    method: int,
    block_at: int,
) -> int:
    status: int = _find_symbol(pixels_at, item_bytes, frame_rows, frame_cols, row, col, radius, method, block_at)
    return status


def find(pixels: NDArray[Any], row: int, col: int, radius: int, method: int, block_at: int) -> int:
    """Search the placements within `radius` of (row, col), clipped to the image, by one of the methods of `block`.

    Parameters
    ----------
    pixels : (H, W), uint8, uint16 or float32, C-contiguous, may be read-only; not checked
    row, col : expected placement
    block_at : address of the template's block, whose `coarser` is the block at half resolution, and so on

    Returns
    -------
    FOUND, NO_ROOM or NOT_FINITE. `answer` of the block then holds row and column with their sub-pixel offsets, the
    score, and 1 if the integer peak lies on the border of the window; `floats` holds a surface.
    """
    at: int = pixels.__array_interface__["data"][0]
    rows, cols = pixels.shape
    status: int = _find(at, pixels.itemsize, rows, cols, row, col, radius, method, block_at)
    return status
