"""From a frame to an answer: the search at one resolution, or from a coarse one to the finest."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    ANSWER_AT,
    COARSE_TO_FINE,
    COARSER_AT,
    COL,
    COL_OFFSET,
    EXACT,
    FACTS_AT,
    FLOATS_AT,
    FOUND,
    HEIGHT,
    NO_ROOM,
    NOT_FINITE,
    PEAK,
    PEAK_AT,
    ROW,
    ROW_OFFSET,
    SCORE,
    WIDTH,
)
from gating.tracking.zncc.dots import WINDOW_PX
from gating.tracking.zncc.intrinsics import address_of, padded
from gating.tracking.zncc.memory import fill, floats_of, helper, integers_of, part, reals_of
from gating.tracking.zncc.peak import rough_offsets
from gating.tracking.zncc.search import UNSCORED, first_peak

LOCAL_PX = WINDOW_PX
"""Side of the window about the coarse peak; it moves on when the fine peak lies on its border."""
MAX_MOVES = 64
"""Windows in a row: scores of two windows differ by their rounding, so equal peaks could pass it to and fro."""
RIVALS, RIVAL_SCORE = 3, 0.05
"""How many coarse peaks are looked at, and how far below the highest."""

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
    for _ in range(MAX_MOVES):
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
            break
        r, c = here
    peak[ROW], peak[COL] = y0 + reduction * here[0], x0 + reduction * here[1]
    return True


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
