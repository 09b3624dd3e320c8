"""A block: addresses and sizes of a template's arrays, with the indices by which compiled code finds its parts."""

from __future__ import annotations

from typing import Any

import numpy as np

EXACT, COARSE_TO_FINE, DENSE, SURFACE = range(4)
FOUND, NO_ROOM, NOT_FINITE = range(3)
FLAT_ENERGY = 1e-3
"""Squared levels. A patch with less energy is flat: float32 does not resolve its contrast in the window."""

# Indices into a template's `facts`, float64.
HEIGHT, WIDTH, COUNT, NORM, UNIT, TAP_SUM, TAP_ERROR, FOLDED = range(8)
CELL_ROWS, CELL_COLS, CELL_UNIT, CELL_SUM, CELL_NORM, CELL_ANGLE, CELL_ERROR, CELL_LOSS = range(8, 16)
FACTS = 16
# Indices into `peak`, float64: integer placement, score, sub-pixel offsets, placements scored.
ROW, COL, SCORE, ROW_OFFSET, COL_OFFSET, SCORED = range(6)
PEAK = 6 + 9
"""The last nine hold the scores about the peak."""

# Slots of a block: address and size of each array.
_SLOTS = (
    "facts", "weights", "row_weights", "runs", "taps", "row_taps", "raw", "scaling", "floats", "levels",
    "words", "lines", "peak", "answer", "coarser",
)  # fmt: skip
(
    FACTS_AT, WEIGHTS_AT, ROW_WEIGHTS_AT, RUNS_AT, TAPS_AT, ROW_TAPS_AT, RAW_AT, SCALING_AT, FLOATS_AT,
    LEVELS_AT, WORDS_AT, LINES_AT, PEAK_AT, ANSWER_AT, COARSER_AT,
) = range(len(_SLOTS))  # fmt: skip
BLOCK = _SLOTS
"""Names of the arrays of a block, in order; each is C-contiguous."""


def block_of(arrays: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return addresses and sizes of the arrays, which the caller keeps alive."""
    return np.array([n for name in BLOCK for n in (arrays[name].ctypes.data, arrays[name].size)], np.int64)
