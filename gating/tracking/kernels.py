"""Compiled zero-mean normalised cross-correlation (ZNCC): the full surface, and the best placement.

C functions do the work: every array of a template is handed over by address, in a `block`, because each array
that passes from Python to numba costs 50 ns and each frame type would be another compilation of everything. Only the
small function that takes the frame's address is compiled once a frame type.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, njit, types

from gating.tracking.dense import padded_rows
from gating.tracking.intrinsics import LANES, address_of
from gating.tracking.memory import fill, floats_of, helper, integers_of, part, reals_of, shorts_of, words_of
from gating.tracking.search import (
    CELL_ROWS,
    COL,
    COL_OFFSET,
    COUNT,
    DENSE_MACS,
    FACTS,
    FLOAT_ERROR,
    HEIGHT,
    PEAK,
    ROW,
    ROW_OFFSET,
    SCORE,
    SCORED,
    TAP_ERROR,
    UNSCORED,
    WIDTH,
    bounded_scores,
    decide,
    first_peak,
    float_scores,
    level_scores,
    race,
    refine,
)  # fmt: skip
from gating.tracking.window import HALF_RANGE, load_window, padded, patch_statistics

__all__ = ["BLOCK", "CELL_ROWS", "FACTS", "HALF_RANGE", "LANES", "PEAK", "find", "padded", "padded_rows", "warm_up"]

EXACT, COARSE_TO_FINE, DENSE, SURFACE = range(4)
FOUND, NO_ROOM, NOT_FINITE = range(3)
LOCAL_PX = 5
"""Side of the window about the coarse peak; it moves on when the fine peak lies on its border."""
RIVALS, RIVAL_SCORE = 3, 0.02
"""How many coarse peaks are looked at, and how far below the highest."""

# Slots of a block: address and size of each array.
_SLOTS = (
    "facts", "exact_taps", "weights", "row_weights", "runs", "taps", "row_taps", "raw", "scaling", "floats", "levels",
    "words", "lines", "peak", "answer",
)  # fmt: skip
(
    FACTS_AT, EXACT_TAPS_AT, WEIGHTS_AT, ROW_WEIGHTS_AT, RUNS_AT, TAPS_AT, ROW_TAPS_AT, RAW_AT, SCALING_AT, FLOATS_AT,
    LEVELS_AT, WORDS_AT, LINES_AT, PEAK_AT, ANSWER_AT,
) = range(len(_SLOTS))  # fmt: skip
BLOCK = _SLOTS
"""Names of the arrays of a block, in order; each is C-contiguous."""


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _load(pixels, item_bytes, frame_cols, top, left, height, width, halved, block_at):
    """Load height x width pixels (or sums of 2x2) from (top, left) of the frame at an address."""
    raw, levels, scaling = floats_of(block_at, RAW_AT), shorts_of(block_at, LEVELS_AT), reals_of(block_at, SCALING_AT)
    return load_window(pixels, item_bytes, frame_cols, top, left, height, width, halved, raw, levels, scaling)


@cfunc(types.void(*[types.intp] * 5), cache=True)
def _search(rows, cols, method, local, block_at):
    """Search a loaded window; peak and scores into the block's arrays. Local: climb from the middle of the window."""
    facts, scaling, peak = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT), reals_of(block_at, PEAK_AT)
    raw, floats, lines = floats_of(block_at, RAW_AT), floats_of(block_at, FLOATS_AT), reals_of(block_at, LINES_AT)
    levels, words = shorts_of(block_at, LEVELS_AT), words_of(block_at, WORDS_AT)
    taps, row_taps = words_of(block_at, TAPS_AT), shorts_of(block_at, ROW_TAPS_AT)
    weights = floats_of(block_at, WEIGHTS_AT), floats_of(block_at, ROW_WEIGHTS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    exact_taps, runs = reals_of(block_at, EXACT_TAPS_AT), integers_of(block_at, RUNS_AT)
    pitch, map_pitch = padded(cols + width - 1), padded(cols)
    size, area = rows * map_pitch, (rows + height + 7) * pitch
    scores, means, inverses = part(floats, 0, size), part(floats, size, size), part(floats, 2 * size, size)
    level, cells = part(levels, 0, area), part(levels, area, levels.size - area)
    room = size + 8 * LANES + 3 * ((rows + 1) // 2) * map_pitch
    products, pairs = part(words, 0, room), part(words, room, words.size - room)
    products32 = part(floats, 3 * size, floats.size - 3 * size)
    patch_statistics(
        raw, scaling, pitch, rows, cols, height, width, runs, facts[COUNT], lines, means, inverses, map_pitch
    )
    blur = scaling[2] * np.sqrt(facts[COUNT])
    scored = method >= DENSE
    if scored:
        float_scores(raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores)
    elif local:
        fill(scores, 0, size, UNSCORED)
        race(level, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, 0.0, inverses, 0.0, scores)
        scored = True
    elif method == EXACT and facts[CELL_ROWS] > 0 and rows * cols * height * width > DENSE_MACS:
        whole = (height + 1) // 2 * width
        cell_taps = part(taps, whole, taps.size - whole)
        scored = bounded_scores(
            level, cells, pairs, products, lines, pitch, map_pitch, rows, cols, cell_taps, row_taps, facts, blur,
            means, inverses, part(floats, 3 * size, size), part(floats, 4 * size, size), scores,
        )  # fmt: skip
    if not scored:
        level_scores(
            level, pairs, products, pitch, map_pitch, rows, cols, taps, row_taps, facts, means, inverses, scores
        )
    if method == EXACT:
        error = facts[TAP_ERROR]
        if not decide(
            raw, scaling[0], pitch, map_pitch, rows, cols, exact_taps, facts, inverses, blur, error, scores, peak
        ):
            float_scores(
                raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores
            )
            decide(raw, 0.0, pitch, map_pitch, rows, cols, exact_taps, facts, inverses, 0.0, FLOAT_ERROR, scores, peak)
    elif method < SURFACE:
        at = first_peak(scores, inverses)
        peak[ROW], peak[COL], peak[SCORE], peak[SCORED] = at // map_pitch, at % map_pitch, scores[at], 0.0
    if method in (EXACT, DENSE):
        refine(level, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores, peak)


llvm.add_symbol("cinegate_load", _load.address)
llvm.add_symbol("cinegate_search", _search.address)
_load_symbol = types.ExternalFunction("cinegate_load", types.intp(*[types.intp] * 9))
_search_symbol = types.ExternalFunction("cinegate_search", types.void(*[types.intp] * 5))


@helper
def _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, r, c, full_at):
    """Best placement in a small window about (r, c), which moves on while the peak lies on its border."""
    facts, peak = reals_of(full_at, FACTS_AT), reals_of(full_at, PEAK_AT)
    local_rows, local_cols = min(LOCAL_PX, rows), min(LOCAL_PX, cols)
    height, width = local_rows + int(facts[HEIGHT]) - 1, local_cols + int(facts[WIDTH]) - 1
    while True:
        first_row = min(max(r - LOCAL_PX // 2, 0), rows - local_rows)
        first_col = min(max(c - LOCAL_PX // 2, 0), cols - local_cols)
        first = top + first_row, left + first_col
        if not _load_symbol(pixels, item_bytes, frame_cols, first[0], first[1], height, width, 0, full_at):
            return False
        _search_symbol(local_rows, local_cols, EXACT, 1, full_at)
        here = int(peak[ROW]) + first_row, int(peak[COL]) + first_col
        cut_row = (peak[ROW] == 0 and here[0] > 0) or (peak[ROW] == local_rows - 1 and here[0] < rows - 1)
        cut_col = (peak[COL] == 0 and here[1] > 0) or (peak[COL] == local_cols - 1 and here[1] < cols - 1)
        peak[ROW], peak[COL] = here
        if not (cut_row or cut_col) or (here[0] == r and here[1] == c):
            return True
        r, c = here


@helper
def _copy(source, target):
    for k in range(PEAK):
        target[k] = source[k]


@helper
def _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at, half_at):
    """Search at half resolution, then at full resolution about its peak and about rivals nearly as high."""
    facts, best, peak = reals_of(half_at, FACTS_AT), reals_of(half_at, PEAK_AT), reals_of(full_at, PEAK_AT)
    half_rows, half_cols = (rows + 1) // 2, (cols + 1) // 2
    height, width = half_rows + int(facts[HEIGHT]) - 1, half_cols + int(facts[WIDTH]) - 1
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, 1, half_at):
        return False
    _search_symbol(half_rows, half_cols, COARSE_TO_FINE, 0, half_at)
    pitch = padded(half_cols)
    scores = part(floats_of(half_at, FLOATS_AT), 0, half_rows * pitch)
    at = int(best[ROW]) * pitch + int(best[COL])
    floor = scores[at] - RIVAL_SCORE
    best[SCORE] = -2.0
    for _ in range(RIVALS):
        r, c = at // pitch, at % pitch
        if not _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, 2 * r, 2 * c, full_at):
            return False
        if peak[SCORE] > best[SCORE]:
            _copy(peak, best)
        for y in range(max(r - 1, 0), min(r + 2, half_rows)):
            for x in range(max(c - 1, 0), min(c + 2, half_cols)):
                scores[y * pitch + x] = UNSCORED
        at = first_peak(scores, scores)
        if not scores[at] >= floor:
            break
    _copy(best, peak)
    return True


@helper
def _find_in_window(pixels, item_bytes, frame_cols, top, left, rows, cols, method, full_at, half_at):
    if method == COARSE_TO_FINE:
        return _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at, half_at)
    facts = reals_of(full_at, FACTS_AT)
    height, width = rows + int(facts[HEIGHT]) - 1, cols + int(facts[WIDTH]) - 1
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, 0, full_at):
        return False
    _search_symbol(rows, cols, method, 0, full_at)
    return True


@cfunc(types.intp(*[types.intp] * 10), cache=True)
def _find(pixels, item_bytes, frame_rows, frame_cols, row, col, radius, method, full_at, half_at):
    facts, peak, answer = reals_of(full_at, FACTS_AT), reals_of(full_at, PEAK_AT), reals_of(full_at, ANSWER_AT)
    top, left = max(row - radius, 0), max(col - radius, 0)
    rows = min(row + radius, frame_rows - int(facts[HEIGHT])) - top + 1
    cols = min(col + radius, frame_cols - int(facts[WIDTH])) - left + 1
    if rows < 1 or cols < 1:
        return NO_ROOM
    if not _find_in_window(pixels, item_bytes, frame_cols, top, left, rows, cols, method, full_at, half_at):
        return NOT_FINITE
    inside = 0 < peak[ROW] < rows - 1 and 0 < peak[COL] < cols - 1
    answer[0] = top + peak[ROW] + peak[ROW_OFFSET]
    answer[1] = left + peak[COL] + peak[COL_OFFSET]
    answer[2] = peak[SCORE]
    answer[3] = 0.0 if inside else 1.0
    return FOUND


llvm.add_symbol("cinegate_find", _find.address)
_find_symbol = types.ExternalFunction("cinegate_find", types.intp(*[types.intp] * 10))


@njit(nogil=True, cache=True)
def find(pixels, row, col, radius, method, full, half):
    """Search the placements within `radius` of (row, col), clipped to the image, by one of the methods above.

    pixels     : (H, W) uint8, uint16 or float32, C-contiguous, may be read-only
    full, half : blocks of the template and of the template at half resolution
    Returns FOUND, NO_ROOM or NOT_FINITE. `answer` of the full block holds row and column with their sub-pixel offsets,
    the score, and 1 when the integer peak lies on the border of the window; a surface stands in its `floats`.
    """
    return _find_symbol(
        address_of(pixels), pixels.itemsize, pixels.shape[0], pixels.shape[1], row, col, radius, method,
        address_of(full), address_of(half),
    )  # fmt: skip


def block_of(arrays: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Addresses and sizes of the arrays, which the caller keeps alive."""
    return np.array([n for name in BLOCK for n in (arrays[name].ctypes.data, arrays[name].size)], np.int64)


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
