"""Compiled zero-mean normalised cross-correlation (ZNCC): the full surface, and the best placement.

C functions do the work: every array of a template is handed over by address, in a `block`, because each array
that passes from Python to numba costs 50 ns and each frame type would be another compilation of everything. Only the
small function that takes the frame's address is compiled once a frame type. Each stage is a C function of its own,
called by symbol: numba would compile it again for every one that calls it, and large ones out of proportion.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from gating.tracking import stages
from gating.tracking.intrinsics import address_of

stages.load()
_find_symbol = types.ExternalFunction("cinegate_find", types.intp(*[types.intp] * 9))


@njit(nogil=True, cache=True)
def find(pixels, row, col, radius, method, full):
    """Search the placements within `radius` of (row, col), clipped to the image, by one of the methods above.

    pixels : (H, W) uint8, uint16 or float32, C-contiguous, may be read-only
    full   : block of the template, whose `coarser` are the blocks of the template at half and quarter resolution
    Returns FOUND, NO_ROOM or NOT_FINITE. `answer` of the full block holds row and column with their sub-pixel offsets,
    the score, and 1 when the integer peak lies on the border of the window; a surface stands in its `floats`.
    """
    return _find_symbol(
        address_of(pixels), pixels.itemsize, pixels.shape[0], pixels.shape[1], row, col, radius, method,
        address_of(full),
    )  # fmt: skip


def warm_up() -> None:
    """Compile (or load from the cache) every kernel for every frame type: three dtypes, writable and read-only."""
    from gating.tracking.matcher import TemplateMatcher

    frame = ((np.arange(96 * 96, dtype=np.int64).reshape(96, 96) * 7919) % 251).astype(np.uint8)
    matcher = TemplateMatcher(frame[24:64, 24:64], max_radius_px=24)
    for dtype in (np.uint8, np.uint16, np.float32):
        for writable in (True, False):
            pixels = frame.astype(dtype)
            pixels.flags.writeable = writable
            matcher.match(pixels, 24, 24, 24)
