"""Compiled zero-mean normalised cross-correlation (ZNCC): the full surface, and the best placement.

C functions do the work: every array of a template is handed over by address, in a `block`, because each array
that passes from Python to numba costs 50 ns and each frame type would be another compilation of everything. Only the
small function that takes the frame's address is compiled once a frame type.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]

from gating.tracking.dense import padded_rows
from gating.tracking.intrinsics import (
    LANES,
    address_of,
    float32_at,
    float64_at,
    int16_at,
    int32_at,
    int64_at,
    uint8_at,
    uint16_at,
)  # fmt: skip
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
from gating.tracking.window import HALF_RANGE, load_halved, load_window, padded, patch_statistics

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


@njit(nogil=True, cache=True)
def _reals(block, slot):
    return carray(float64_at(block[2 * slot]), (block[2 * slot + 1],))


@njit(nogil=True, cache=True)
def _floats(block, slot):
    return carray(float32_at(block[2 * slot]), (block[2 * slot + 1],))


@njit(nogil=True, cache=True)
def _shorts(block, slot):
    return carray(int16_at(block[2 * slot]), (block[2 * slot + 1],))


@njit(nogil=True, cache=True)
def _words(block, slot):
    return carray(int32_at(block[2 * slot]), (block[2 * slot + 1],))


@njit(nogil=True, cache=True)
def _block(at):
    return carray(int64_at(at), (2 * len(_SLOTS),))


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _load(pixels, item_bytes, frame_cols, top, left, height, width, halved, block_at):
    """Load height x width pixels (or sums of 2x2) from (top, left) of the frame at an address."""
    block = _block(block_at)
    raw, levels, scaling = _floats(block, RAW_AT), _shorts(block, LEVELS_AT), _reals(block, SCALING_AT)
    shape = (top + (halved + 1) * height, frame_cols)
    if item_bytes == 1:
        small = carray(uint8_at(pixels), shape)
        if halved:
            return load_halved(small, top, left, height, width, True, raw, levels, scaling)
        return load_window(small, top, left, height, width, True, raw, levels, scaling)
    if item_bytes == 2:
        whole = carray(uint16_at(pixels), shape)
        if halved:
            return load_halved(whole, top, left, height, width, True, raw, levels, scaling)
        return load_window(whole, top, left, height, width, True, raw, levels, scaling)
    real = carray(float32_at(pixels), shape)
    if halved:
        return load_halved(real, top, left, height, width, False, raw, levels, scaling)
    return load_window(real, top, left, height, width, False, raw, levels, scaling)


@cfunc(types.void(*[types.intp] * 5), cache=True)
def _search(rows, cols, method, local, block_at):
    """Search a loaded window; peak and scores into the block's arrays. Local: climb from the middle of the window."""
    block = _block(block_at)
    facts, scaling, peak = _reals(block, FACTS_AT), _reals(block, SCALING_AT), _reals(block, PEAK_AT)
    raw, floats, lines = _floats(block, RAW_AT), _floats(block, FLOATS_AT), _reals(block, LINES_AT)
    levels, words = _shorts(block, LEVELS_AT), _words(block, WORDS_AT)
    taps, row_taps = _words(block, TAPS_AT), _shorts(block, ROW_TAPS_AT)
    weights = _floats(block, WEIGHTS_AT), _floats(block, ROW_WEIGHTS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    exact_taps = _reals(block, EXACT_TAPS_AT).reshape(2, height, width)
    runs = carray(int64_at(block[2 * RUNS_AT]), (block[2 * RUNS_AT + 1] // 3, 3))
    pitch, map_pitch = padded(cols + width - 1), padded(cols)
    size, area = rows * map_pitch, (rows + height + 7) * pitch
    scores, means, inverses = floats[:size], floats[size : 2 * size], floats[2 * size : 3 * size]
    level, cells = levels[:area], levels[area:]
    products, pairs = words[: size + 8 * LANES], words[size + 8 * LANES :]
    patch_statistics(
        raw, scaling, pitch, rows, cols, height, width, runs, facts[COUNT], lines, means, inverses, map_pitch
    )
    blur = scaling[2] * np.sqrt(facts[COUNT])
    scored = method >= DENSE
    if scored:
        float_scores(
            raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, floats[3 * size :], scores
        )
    elif local:
        scores[:] = UNSCORED
        race(level, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, 0.0, inverses, 0.0, scores)
        scored = True
    elif method == EXACT and facts[CELL_ROWS] > 0 and rows * cols * height * width > DENSE_MACS:
        scored = bounded_scores(
            level, cells, pairs, products, lines, pitch, map_pitch, rows, cols, taps[(height + 1) // 2 * width :],
            row_taps, facts, blur, means, inverses, floats[3 * size : 4 * size], floats[4 * size : 5 * size], scores,
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
            products32 = floats[3 * size :]
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


@njit(nogil=True, cache=True)
def _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, r, c, full_at):
    """Best placement in a small window about (r, c), which moves on while the peak lies on its border."""
    full = _block(full_at)
    facts, peak = _reals(full, FACTS_AT), _reals(full, PEAK_AT)
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


@njit(nogil=True, cache=True)
def _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at, half_at):
    """Search at half resolution, then at full resolution about its peak and about rivals nearly as high."""
    full, half = _block(full_at), _block(half_at)
    facts, best, peak = _reals(half, FACTS_AT), _reals(half, PEAK_AT), _reals(full, PEAK_AT)
    half_rows, half_cols = (rows + 1) // 2, (cols + 1) // 2
    height, width = half_rows + int(facts[HEIGHT]) - 1, half_cols + int(facts[WIDTH]) - 1
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, 1, half_at):
        return False
    _search_symbol(half_rows, half_cols, COARSE_TO_FINE, 0, half_at)
    pitch = padded(half_cols)
    scores = _floats(half, FLOATS_AT)[: half_rows * pitch]
    at = int(best[ROW]) * pitch + int(best[COL])
    floor = scores[at] - RIVAL_SCORE
    best[SCORE] = -2.0
    for _ in range(RIVALS):
        r, c = at // pitch, at % pitch
        if not _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, 2 * r, 2 * c, full_at):
            return False
        if peak[SCORE] > best[SCORE]:
            best[:] = peak
        for y in range(max(r - 1, 0), min(r + 2, half_rows)):
            for x in range(max(c - 1, 0), min(c + 2, half_cols)):
                scores[y * pitch + x] = UNSCORED
        at = first_peak(scores, scores)
        if not scores[at] >= floor:
            break
    peak[:] = best
    return True


@njit(nogil=True, cache=True)
def _find_in_window(pixels, item_bytes, frame_cols, top, left, rows, cols, method, full_at, half_at):
    if method == COARSE_TO_FINE:
        return _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at, half_at)
    facts = _reals(_block(full_at), FACTS_AT)
    height, width = rows + int(facts[HEIGHT]) - 1, cols + int(facts[WIDTH]) - 1
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, 0, full_at):
        return False
    _search_symbol(rows, cols, method, 0, full_at)
    return True


@cfunc(types.intp(*[types.intp] * 10), cache=True)
def _find(pixels, item_bytes, frame_rows, frame_cols, row, col, radius, method, full_at, half_at):
    full = _block(full_at)
    facts, peak, answer = _reals(full, FACTS_AT), _reals(full, PEAK_AT), _reals(full, ANSWER_AT)
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
