"""Compiled zero-mean normalised cross-correlation (ZNCC): the full surface, and the best placement.

C functions do the work: the frame and every array of a template, in a `block`, are handed over by address, because
each array that passes from Python to numba costs 50 ns and each type of frame would be another compilation. Each stage
is a C function of its own, called by symbol: numba would compile it again for every one that calls it, and large ones
out of proportion.

One signature each: two processes that compile different signatures of one function at the same time can leave numba's
cache with one's code under the other's name.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gating.tracking.zncc import stages

stages.load()
from numba import njit, types  # noqa: E402 - takes a second, in which a cold start already compiles beside

_find_symbol = types.ExternalFunction("cinegate_find", types.intp(*[types.intp] * 9))


@njit(types.intp(*[types.intp] * 9), nogil=True, cache=True)
def _find(pixels_at, item_bytes, frame_rows, frame_cols, row, col, radius, method, block_at):
    return _find_symbol(pixels_at, item_bytes, frame_rows, frame_cols, row, col, radius, method, block_at)


def find(pixels: NDArray[Any], row: int, col: int, radius: int, method: int, block_at: int) -> int:
    """Search the placements within `radius` of (row, col), clipped to the image, by one of the methods of `block`.

    pixels : (H, W) uint8, uint16 or float32, C-contiguous, may be read-only; not checked
    block_at : address of the template's block, whose `coarser` is the block at half resolution, and so on
    Returns FOUND, NO_ROOM or NOT_FINITE. `answer` of the block holds row and column with their sub-pixel offsets,
    the score, and 1 when the integer peak lies on the border of the window; a surface stands in its `floats`.
    """
    at: int = pixels.__array_interface__["data"][0]
    rows, cols = pixels.shape
    status: int = _find(at, pixels.itemsize, rows, cols, row, col, radius, method, block_at)
    return status
