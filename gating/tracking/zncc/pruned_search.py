"""Search by pruning: upper bounds rule out most placements, and only those that can win are scored, one at a time."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    CELL_ANGLE,
    CELL_LOSS,
    COUNT,
    FACTS_AT,
    HEIGHT,
    SCALING_AT,
    TAP_ERROR,
    WIDTH,
)
from gating.tracking.zncc.bounds import bound_maps, bound_scores, score_cells
from gating.tracking.zncc.intrinsics import padded
from gating.tracking.zncc.memory import fill, helper, reals_of
from gating.tracking.zncc.search import UNSCORED, count_above, first_peak, largest, level_score, maps_of

ANGLE_MACS = 400_000
"""If the angle to the cells alone leaves more multiply-adds than this to do, sharper bounds pay."""
DENSE_SHARE = 0.35
"""If more than this share of the placements can win, the full map is quicker than one placement at a time."""


@helper
def _climb(start, rows, cols, block_at):
    """Step to the best of the eight neighbours until none is better; the index of that placement in the map."""
    map_pitch = padded(cols)
    r, c = start // map_pitch, start % map_pitch
    while True:
        best_r, best_c = r, c
        best = level_score(r * map_pitch + c, rows, cols, block_at)
        for y in range(max(r - 1, 0), min(r + 2, rows)):
            for x in range(max(c - 1, 0), min(c + 2, cols)):
                score = level_score(y * map_pitch + x, rows, cols, block_at)
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
def _score_candidates(bounds, blur, floor, rows, cols, block_at):
    """Score every placement whose bound reaches the floor."""
    map_pitch = padded(cols)
    _, _, inverses = maps_of(rows, cols, block_at)
    for r in range(rows):
        if largest(bounds, inverses, r * map_pitch, map_pitch, blur) >= floor:
            for at in range(r * map_pitch, r * map_pitch + cols):
                if bounds[at] + blur * inverses[at] >= floor:
                    level_score(at, rows, cols, block_at)


@cfunc(types.intp(*[types.intp] * 3), cache=True)
def _pruned_search(rows, cols, block_at):
    """Score the placements of a loaded window that can win; 0 where they are too many for one at a time, else 1."""
    facts, scaling = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT)
    scores, _, inverses = maps_of(rows, cols, block_at)
    likely, bounds = bound_maps(rows, cols, block_at)
    blur = scaling[2] * np.sqrt(facts[COUNT])
    score_cells(rows, cols, block_at)
    fill(scores, 0, scores.size, UNSCORED)
    start = _climb(first_peak(likely, inverses), rows, cols, block_at)
    floor = scores[start] - facts[TAP_ERROR] - blur * inverses[start]
    angle_floor = _angle_floor(floor, facts[CELL_ANGLE])
    if count_above(likely, inverses, blur, angle_floor) * int(facts[HEIGHT]) * int(facts[WIDTH]) <= ANGLE_MACS:
        _score_candidates(likely, blur, angle_floor, rows, cols, block_at)
        return 1
    if not floor > facts[CELL_LOSS]:  # a patch of pure detail would reach the floor: so would most of a noisy window
        return 0
    bound_scores(rows, cols, blur, block_at)
    if count_above(bounds, inverses, 0.0, floor) > DENSE_SHARE * rows * cols:
        return 0
    _score_candidates(bounds, 0.0, floor, rows, cols, block_at)
    return 1


llvm.add_symbol("cinegate_pruned_search", _pruned_search.address)
