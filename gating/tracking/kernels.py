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

from gating.tracking.dense import padded_lines, padded_rows
from gating.tracking.dots import WINDOW_PX
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
    refine,
    rough_offsets,
    window_scores,
)  # fmt: skip
from gating.tracking.window import HALF_RANGE, load_window, padded, patch_statistics

__all__ = [
    "BLOCK",
    "CELL_ROWS",
    "FACTS",
    "HALF_RANGE",
    "LANES",
    "LOCAL_PX",
    "PEAK",
    "find",
    "padded",
    "padded_lines",
    "padded_rows",
    "warm_up",
]

EXACT, COARSE_TO_FINE, DENSE, SURFACE = range(4)
FOUND, NO_ROOM, NOT_FINITE = range(3)
LOCAL_PX = WINDOW_PX
"""Side of the window about the coarse peak; it moves on when the fine peak lies on its border."""
RIVALS, RIVAL_SCORE = 3, 0.05
"""How many coarse peaks are looked at, and how far below the highest."""

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


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _load(pixels, item_bytes, frame_cols, top, left, height, width, reduction, block_at):
    """Load height x width pixels (or sums of 2x2 or 4x4) from (top, left) of the frame at an address."""
    raw, levels, scaling = floats_of(block_at, RAW_AT), shorts_of(block_at, LEVELS_AT), reals_of(block_at, SCALING_AT)
    lines = reals_of(block_at, LINES_AT)
    return load_window(pixels, item_bytes, frame_cols, top, left, height, width, reduction, raw, levels, scaling, lines)


@cfunc(types.void(*[types.intp] * 5), cache=True)
def _search(rows, cols, method, local, block_at):
    """Search a loaded window; peak and scores into the block's arrays. Local: the window is of LOCAL_PX at most."""
    facts, scaling, peak = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT), reals_of(block_at, PEAK_AT)
    raw, floats, lines = floats_of(block_at, RAW_AT), floats_of(block_at, FLOATS_AT), reals_of(block_at, LINES_AT)
    levels, words = shorts_of(block_at, LEVELS_AT), words_of(block_at, WORDS_AT)
    taps, row_taps = words_of(block_at, TAPS_AT), shorts_of(block_at, ROW_TAPS_AT)
    weights = floats_of(block_at, WEIGHTS_AT), floats_of(block_at, ROW_WEIGHTS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    runs = integers_of(block_at, RUNS_AT)
    pitch, map_pitch = padded(cols + width - 1), padded(cols)
    size, area = rows * map_pitch, (rows + height + 7) * pitch
    scores, means, inverses = part(floats, 0, size), part(floats, size, size), part(floats, 2 * size, size)
    level, cells = part(levels, 0, area), part(levels, area, levels.size - area)
    room = size + 8 * LANES + 3 * ((rows + 1) // 2) * map_pitch
    products, pairs = part(words, 0, room), part(words, room, words.size - room)
    products32 = part(floats, 3 * size, floats.size - 3 * size)
    patch_statistics(
        raw, level, scaling, local, pitch, rows, cols, height, width, runs, facts[COUNT], lines, means, inverses,
        map_pitch,
    )  # fmt: skip
    blur = scaling[2] * np.sqrt(facts[COUNT])
    scored = method >= DENSE
    if scored:
        float_scores(raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores)
    elif local:
        window_scores(level, products, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores)
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
            raw,
            scaling[0],
            pitch,
            map_pitch,
            rows,
            cols,
            weights[1],
            row_taps,
            facts,
            inverses,
            blur,
            error,
            scores,
            peak,
        ):
            float_scores(
                raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores
            )
            decide(
                raw,
                0.0,
                pitch,
                map_pitch,
                rows,
                cols,
                weights[1],
                row_taps,
                facts,
                inverses,
                0.0,
                FLOAT_ERROR,
                scores,
                peak,
            )
    elif method < SURFACE:
        at = first_peak(scores, inverses)
        peak[ROW], peak[COL], peak[SCORE], peak[SCORED] = at // map_pitch, at % map_pitch, scores[at], 0.0
        peak[ROW_OFFSET], peak[COL_OFFSET] = rough_offsets(scores, map_pitch, rows, cols, at)
    if method in (EXACT, DENSE):
        refine(level, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores, peak)


llvm.add_symbol("cinegate_load", _load.address)
llvm.add_symbol("cinegate_search", _search.address)
_load_symbol = types.ExternalFunction("cinegate_load", types.intp(*[types.intp] * 9))
_search_symbol = types.ExternalFunction("cinegate_search", types.void(*[types.intp] * 5))


@helper
def _first_place(placements, reduction):
    """First placement of a grid of every `reduction`th one that leaves as many out at both ends."""
    return (placements - 1 - reduction * (max(1, placements // reduction) - 1)) // 2


@helper
def _nearest(place, first, reduction, count):
    return min(max(int((place - first) / reduction + 0.5), 0), count - 1)


@helper
def _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, y, x, reduction, block_at):
    """Best placement in a small window about (y, x), which moves on while the peak lies on its border.

    Into the block's peak as a placement at full resolution; of the rows and columns of placements there, this looks at
    every `reduction`th.
    """
    facts, peak = reals_of(block_at, FACTS_AT), reals_of(block_at, PEAK_AT)
    y0, x0 = _first_place(rows, reduction), _first_place(cols, reduction)
    rows, cols = max(1, rows // reduction), max(1, cols // reduction)
    local_rows, local_cols = min(LOCAL_PX, rows), min(LOCAL_PX, cols)
    height, width = local_rows + int(facts[HEIGHT]) - 1, local_cols + int(facts[WIDTH]) - 1
    method = EXACT if reduction == 1 else COARSE_TO_FINE
    r, c = _nearest(y, y0, reduction, rows), _nearest(x, x0, reduction, cols)
    while True:
        up = min(max(r - LOCAL_PX // 2, 0), rows - local_rows)
        back = min(max(c - LOCAL_PX // 2, 0), cols - local_cols)
        first_row, first_col = top + y0 + reduction * up, left + x0 + reduction * back
        if not _load_symbol(pixels, item_bytes, frame_cols, first_row, first_col, height, width, reduction, block_at):
            return False
        _search_symbol(local_rows, local_cols, method, 1, block_at)
        here = int(peak[ROW]) + up, int(peak[COL]) + back
        cut_row = (peak[ROW] == 0 and here[0] > 0) or (peak[ROW] == local_rows - 1 and here[0] < rows - 1)
        cut_col = (peak[COL] == 0 and here[1] > 0) or (peak[COL] == local_cols - 1 and here[1] < cols - 1)
        if not (cut_row or cut_col) or (here[0] == r and here[1] == c):
            peak[ROW], peak[COL] = y0 + reduction * here[0], x0 + reduction * here[1]
            return True
        r, c = here


@helper
def _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at):
    """Search at the lowest resolution, then at every higher one about its peak and about rivals nearly as high."""
    half = integers_of(full_at, COARSER_AT)
    quarter = integers_of(address_of(half), COARSER_AT)
    reduction, lowest_at = (4, address_of(quarter)) if quarter.size > 0 else (2, address_of(half))
    facts, best, peak = reals_of(lowest_at, FACTS_AT), reals_of(lowest_at, PEAK_AT), reals_of(full_at, PEAK_AT)
    coarse_rows, coarse_cols = max(1, rows // reduction), max(1, cols // reduction)
    height, width = coarse_rows + int(facts[HEIGHT]) - 1, coarse_cols + int(facts[WIDTH]) - 1
    y0, x0 = _first_place(rows, reduction), _first_place(cols, reduction)
    if not _load_symbol(pixels, item_bytes, frame_cols, top + y0, left + x0, height, width, reduction, lowest_at):
        return False
    _search_symbol(coarse_rows, coarse_cols, COARSE_TO_FINE, 0, lowest_at)
    pitch = padded(coarse_cols)
    scores = part(floats_of(lowest_at, FLOATS_AT), 0, coarse_rows * pitch)
    at = int(best[ROW]) * pitch + int(best[COL])
    floor = scores[at] - RIVAL_SCORE
    best[SCORE] = -2.0
    for _ in range(RIVALS):
        r, c = at // pitch, at % pitch
        down, right = rough_offsets(scores, pitch, coarse_rows, coarse_cols, at)
        y, x = y0 + reduction * (r + down), x0 + reduction * (c + right)
        step = reduction
        while step > 1:
            step //= 2
            level_at = full_at if step == 1 else address_of(half)
            if not _descend(pixels, item_bytes, frame_cols, top, left, rows, cols, y, x, step, level_at):
                return False
            found = reals_of(level_at, PEAK_AT)
            y, x = found[ROW] + step * found[ROW_OFFSET], found[COL] + step * found[COL_OFFSET]
        if peak[SCORE] > best[SCORE]:
            for k in range(PEAK):
                best[k] = peak[k]
        for i in range(max(r - 1, 0), min(r + 2, coarse_rows)):
            fill(scores, i * pitch + max(c - 1, 0), min(c + 2, coarse_cols) - max(c - 1, 0), UNSCORED)
        at = first_peak(scores, scores)
        if not scores[at] >= floor:
            break
    for k in range(PEAK):
        peak[k] = best[k]
    return True


@helper
def _find_in_window(pixels, item_bytes, frame_cols, top, left, rows, cols, method, full_at):
    if method == COARSE_TO_FINE:
        return _coarse_to_fine(pixels, item_bytes, frame_cols, top, left, rows, cols, full_at)
    facts = reals_of(full_at, FACTS_AT)
    height, width = rows + int(facts[HEIGHT]) - 1, cols + int(facts[WIDTH]) - 1
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, 1, full_at):
        return False
    _search_symbol(rows, cols, method, 0, full_at)
    return True


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _find(pixels, item_bytes, frame_rows, frame_cols, row, col, radius, method, full_at):
    facts, peak, answer = reals_of(full_at, FACTS_AT), reals_of(full_at, PEAK_AT), reals_of(full_at, ANSWER_AT)
    top, left = max(row - radius, 0), max(col - radius, 0)
    rows = min(row + radius, frame_rows - int(facts[HEIGHT])) - top + 1
    cols = min(col + radius, frame_cols - int(facts[WIDTH])) - left + 1
    if rows < 1 or cols < 1:
        return NO_ROOM
    if not _find_in_window(pixels, item_bytes, frame_cols, top, left, rows, cols, method, full_at):
        return NOT_FINITE
    inside = 0 < peak[ROW] < rows - 1 and 0 < peak[COL] < cols - 1
    answer[0] = top + peak[ROW] + peak[ROW_OFFSET]
    answer[1] = left + peak[COL] + peak[COL_OFFSET]
    answer[2] = peak[SCORE]
    answer[3] = 0.0 if inside else 1.0
    return FOUND


llvm.add_symbol("cinegate_find", _find.address)
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
