"""Bounds that spare most placements: only those that can win are scored, one at a time."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    CELL_ANGLE,
    CELL_COLS,
    CELL_ERROR,
    CELL_LOSS,
    CELL_NORM,
    CELL_ROWS,
    CELL_SUM,
    CELL_UNIT,
    COUNT,
    FACTS_AT,
    FLOATS_AT,
    HEIGHT,
    LEVELS_AT,
    LINES_AT,
    ROW_TAPS_AT,
    SCALING_AT,
    TAP_ERROR,
    TAPS_AT,
    WIDTH,
    WORDS_AT,
)
from gating.tracking.zncc.bounded import bound_scores, correlate_cells
from gating.tracking.zncc.intrinsics import padded
from gating.tracking.zncc.memory import fill, floats_of, helper, part, reals_of, shorts_of, words_of
from gating.tracking.zncc.search import UNSCORED, count_above, largest, level_score, scale_map

RACE_MACS = 400_000
"""Above this many multiply-adds in a race on angles alone, sharper bounds pay."""
DENSE_SHARE = 0.35
"""Share of placements in the race above which the full map is quicker than one placement at a time."""


@helper
def _climb(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, start, scores):
    """Step to the best of the eight neighbours until none is better."""
    r, c = start // map_pitch, start % map_pitch
    while True:
        best_r, best_c = r, c
        best = level_score(levels, pitch, map_pitch, r * map_pitch + c, row_taps, facts, means, inverses, scores)
        for y in range(max(r - 1, 0), min(r + 2, rows)):
            for x in range(max(c - 1, 0), min(c + 2, cols)):
                at = y * map_pitch + x
                score = level_score(levels, pitch, map_pitch, at, row_taps, facts, means, inverses, scores)
                if score > best:
                    best_r, best_c, best = y, x, score
        if best_r == r and best_c == c:
            return r * map_pitch + c
        r, c = best_r, best_c


@helper
def _angle_floor(score, angle):
    """Least score of the cells that a placement as good as `score` can have, `angle` between template and cells."""
    wide = np.arccos(min(1.0, max(-1.0, score))) + angle
    return np.cos(wide) - 1e-5 if wide < np.pi else -2.0


@helper
def _race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, blur, bounds, floor, scores):
    """Score every placement whose bound reaches the floor."""
    for r in range(rows):
        if largest(bounds, inverses, r * map_pitch, map_pitch, blur) >= floor:
            for at in range(r * map_pitch, r * map_pitch + cols):
                if bounds[at] + blur * inverses[at] >= floor:
                    level_score(levels, pitch, map_pitch, at, row_taps, facts, means, inverses, scores)


@cfunc(types.intp(*[types.intp] * 3), cache=True)
def _bounded(rows, cols, block_at):
    """Score the placements of a loaded window that can win; 0 when they are too many for one at a time."""
    facts, scaling, lines = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT), reals_of(block_at, LINES_AT)
    floats, all_levels, words = (
        floats_of(block_at, FLOATS_AT),
        shorts_of(block_at, LEVELS_AT),
        words_of(block_at, WORDS_AT),
    )
    taps, row_taps = words_of(block_at, TAPS_AT), shorts_of(block_at, ROW_TAPS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    cell_rows, cell_cols, area = int(facts[CELL_ROWS]), int(facts[CELL_COLS]), height * width
    pitch, map_pitch = padded(cols + width - 1), padded(cols)
    size, room = rows * map_pitch, (rows + height + 7) * pitch
    levels, cells = part(all_levels, 0, room), part(all_levels, room, all_levels.size - room)
    scores, means, inverses = part(floats, 0, size), part(floats, size, size), part(floats, 2 * size, size)
    likely, bounds = part(floats, 3 * size, size), part(floats, 4 * size, size)
    products, pairs = part(words, 0, size), part(words, size, words.size - size)
    whole = (height + 1) // 2 * width
    cell_taps = part(taps, whole, taps.size - whole)
    blur = scaling[2] * np.sqrt(facts[COUNT])
    correlate_cells(
        levels, cells, pairs, products, pitch, map_pitch, rows, cols, cell_taps, cell_rows, cell_cols, height
    )
    scale_map(products, means, inverses, rows, cols, map_pitch, facts[CELL_UNIT], facts[CELL_SUM], likely)
    fill(scores, 0, scores.size, UNSCORED)
    peak = largest(likely, inverses, 0, likely.size, 0.0)
    start = 0
    while likely[start] != peak:
        start += 1
    start = _climb(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, start, scores)
    floor = scores[start] - facts[TAP_ERROR] - blur * inverses[start]
    angle_floor = _angle_floor(floor, facts[CELL_ANGLE])
    if count_above(likely, inverses, blur, angle_floor) * area <= RACE_MACS:
        _race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, blur, likely, angle_floor, scores)
        return 1
    if not floor > facts[CELL_LOSS]:  # a patch of pure detail would reach the floor: so would most of a noisy window
        return 0
    bound_scores(
        cells, lines, pitch, map_pitch, rows, cols, cell_rows, cell_cols, facts[CELL_NORM], facts[CELL_ERROR],
        facts[CELL_LOSS], blur, likely, means, inverses, bounds,
    )  # fmt: skip
    if count_above(bounds, inverses, 0.0, floor) > DENSE_SHARE * rows * cols:
        return 0
    _race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, 0.0, bounds, floor, scores)
    return 1


llvm.add_symbol("cinegate_bounded", _bounded.address)
