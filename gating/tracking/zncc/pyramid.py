"""From a frame to an answer: the search at one resolution, or from a coarse one to the finest."""

from __future__ import annotations

from typing import NamedTuple

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
"""Side of the window about the coarse peak; it moves on while the fine peak lies on its border."""
MAX_MOVES = 64
"""Windows in a row: the scores of two windows differ by their rounding, so equal peaks could alternate for ever."""
RIVALS, RIVAL_SCORE = 3, 0.05
"""How many coarse peaks are looked at, and how far below the highest."""

_load_symbol = types.ExternalFunction("cinegate_load", types.intp(*[types.intp] * 9))
_search_symbol = types.ExternalFunction("cinegate_search", types.void(*[types.intp] * 5))


class Window(NamedTuple):
    """The part of a frame that is searched, in pixels of the frame.

    Attributes
    ----------
    pixels : int, address of the frame
    item_bytes, frame_cols : int, bytes of a pixel and pixels of a line
    top, left : int, the first placement
    rows, cols : int, of placements
    """

    pixels: int
    item_bytes: int
    frame_cols: int
    top: int
    left: int
    rows: int
    cols: int


@helper
def _load_and_search(window, top, left, rows, cols, reduction, method, local, block_at):
    """Search rows x cols placements of a reduced grid from (top, left) of the frame; False where one is not finite."""
    facts = reals_of(block_at, FACTS_AT)
    height, width = rows + int(facts[HEIGHT]) - 1, cols + int(facts[WIDTH]) - 1
    pixels, item_bytes, frame_cols = window.pixels, window.item_bytes, window.frame_cols
    if not _load_symbol(pixels, item_bytes, frame_cols, top, left, height, width, reduction, block_at):
        return False
    _search_symbol(rows, cols, method, local, block_at)
    return True


@helper
def _grid(placements, reduction):
    """First placement and number of placements of a grid of every `reduction`th one, as many left out at both ends."""
    count = max(1, placements // reduction)
    return (placements - 1 - reduction * (count - 1)) // 2, count


@helper
def _nearest(place, first, reduction, count):
    return min(max(int((place - first) / reduction + 0.5), 0), count - 1)


@helper
def _descend(window, y, x, reduction, block_at):
    """Best placement in a small window about (y, x), which moves on while the peak lies on its border.

    Only every `reduction`th row and column of placements is looked at. The placement goes into the block's peak, at
    full resolution.
    """
    peak = reals_of(block_at, PEAK_AT)
    y0, rows = _grid(window.rows, reduction)
    x0, cols = _grid(window.cols, reduction)
    local_rows, local_cols = min(LOCAL_PX, rows), min(LOCAL_PX, cols)
    method = EXACT if reduction == 1 else COARSE_TO_FINE
    r, c = _nearest(y, y0, reduction, rows), _nearest(x, x0, reduction, cols)
    for _ in range(MAX_MOVES):
        up = min(max(r - LOCAL_PX // 2, 0), rows - local_rows)
        back = min(max(c - LOCAL_PX // 2, 0), cols - local_cols)
        top, left = window.top + y0 + reduction * up, window.left + x0 + reduction * back
        if not _load_and_search(window, top, left, local_rows, local_cols, reduction, method, 1, block_at):
            return False
        here = int(peak[ROW]) + up, int(peak[COL]) + back
        cut_row = (peak[ROW] == 0 and here[0] > 0) or (peak[ROW] == local_rows - 1 and here[0] < rows - 1)
        cut_col = (peak[COL] == 0 and here[1] > 0) or (peak[COL] == local_cols - 1 and here[1] < cols - 1)
        if not (cut_row or cut_col) or (here[0] == r and here[1] == c):
            break
        r, c = here
    peak[ROW], peak[COL] = y0 + reduction * here[0], x0 + reduction * here[1]
    return True


@helper
def _descend_to_full(window, y, x, reduction, half_at, full_at):
    """Best placement at full resolution, from (y, x) found at `reduction` through every resolution between."""
    step = reduction
    while step > 1:
        step //= 2
        block_at = full_at if step == 1 else half_at
        if not _descend(window, y, x, step, block_at):
            return False
        peak = reals_of(block_at, PEAK_AT)
        y, x = peak[ROW] + step * peak[ROW_OFFSET], peak[COL] + step * peak[COL_OFFSET]
    return True


@helper
def _hide_peak(scores, pitch, rows, cols, at):
    """Make a placement of a map and its neighbours UNSCORED."""
    r, c = at // pitch, at % pitch
    first, stop = max(c - 1, 0), min(c + 2, cols)
    for i in range(max(r - 1, 0), min(r + 2, rows)):
        fill(scores, i * pitch + first, stop - first, UNSCORED)


@helper
def _copy_peak(source, target):
    for k in range(PEAK):
        target[k] = source[k]


@helper
def _coarse_to_fine(window, full_at):
    """Search at the lowest resolution, then at every higher one about its peak and about rivals nearly as high."""
    half_at = address_of(integers_of(full_at, COARSER_AT))
    quarter = integers_of(half_at, COARSER_AT)
    reduction, lowest_at = (4, address_of(quarter)) if quarter.size > 0 else (2, half_at)
    y0, rows = _grid(window.rows, reduction)
    x0, cols = _grid(window.cols, reduction)
    top, left = window.top + y0, window.left + x0
    if not _load_and_search(window, top, left, rows, cols, reduction, COARSE_TO_FINE, 0, lowest_at):
        return False
    pitch = padded(cols)
    scores = part(floats_of(lowest_at, FLOATS_AT), 0, rows * pitch)
    best, peak = reals_of(lowest_at, PEAK_AT), reals_of(full_at, PEAK_AT)
    at = int(best[ROW]) * pitch + int(best[COL])
    floor = scores[at] - RIVAL_SCORE
    best[SCORE] = -2.0
    for _ in range(RIVALS):
        down, right = rough_offsets(scores, pitch, rows, cols, at)
        y, x = y0 + reduction * (at // pitch + down), x0 + reduction * (at % pitch + right)
        if not _descend_to_full(window, y, x, reduction, half_at, full_at):
            return False
        if peak[SCORE] > best[SCORE]:
            _copy_peak(peak, best)
        _hide_peak(scores, pitch, rows, cols, at)
        at = first_peak(scores, scores)
        if not scores[at] >= floor:
            break
    _copy_peak(best, peak)
    return True


@cfunc(types.intp(*[types.intp] * 9), cache=True)
def _find(pixels, item_bytes, frame_rows, frame_cols, row, col, radius, method, full_at):
    """Search a frame, see `kernels.find`."""
    facts, peak, answer = reals_of(full_at, FACTS_AT), reals_of(full_at, PEAK_AT), reals_of(full_at, ANSWER_AT)
    top, left = max(row - radius, 0), max(col - radius, 0)
    rows = min(row + radius, frame_rows - int(facts[HEIGHT])) - top + 1
    cols = min(col + radius, frame_cols - int(facts[WIDTH])) - left + 1
    if rows < 1 or cols < 1:
        return NO_ROOM
    window = Window(pixels, item_bytes, frame_cols, top, left, rows, cols)
    if method == COARSE_TO_FINE:
        found = _coarse_to_fine(window, full_at)
    else:
        found = _load_and_search(window, top, left, rows, cols, 1, method, 0, full_at)
    if not found:
        return NOT_FINITE
    inside = 0 < peak[ROW] < rows - 1 and 0 < peak[COL] < cols - 1
    answer[0] = top + peak[ROW] + peak[ROW_OFFSET]
    answer[1] = left + peak[COL] + peak[COL_OFFSET]
    answer[2] = peak[SCORE]
    answer[3] = 0.0 if inside else 1.0
    return FOUND


llvm.add_symbol("cinegate_find", _find.address)
