"""The best placement in a loaded window."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    CELL_ROWS,
    COARSE_TO_FINE,
    COL,
    COL_OFFSET,
    COUNT,
    DENSE,
    EXACT,
    FACTS_AT,
    FLOATS_AT,
    HEIGHT,
    LEVELS_AT,
    PEAK_AT,
    RAW_AT,
    ROW,
    ROW_OFFSET,
    ROW_TAPS_AT,
    ROW_WEIGHTS_AT,
    SCALING_AT,
    SCORE,
    SCORED,
    TAP_ERROR,
    WEIGHTS_AT,
    WIDTH,
    WORDS_AT,
)
from gating.tracking.zncc.intrinsics import padded
from gating.tracking.zncc.memory import floats_of, part, reals_of, shorts_of, words_of
from gating.tracking.zncc.peak import rough_offsets
from gating.tracking.zncc.search import FLOAT_ERROR, decide, first_peak, float_scores, refine, window_scores

DENSE_MACS = 600_000
"""Below this many multiply-adds the full integer map is quicker than bounds."""

_statistics_symbol = types.ExternalFunction("cinegate_statistics", types.void(*[types.intp] * 4))
_level_map_symbol = types.ExternalFunction("cinegate_level_map", types.void(*[types.intp] * 3))
_bounded_symbol = types.ExternalFunction("cinegate_bounded", types.intp(*[types.intp] * 3))


@cfunc(types.void(*[types.intp] * 5), cache=True)
def _search(rows, cols, method, local, block_at):
    """Search a loaded window; peak and scores into the block's arrays. Local: the window is of LOCAL_PX at most."""
    facts, scaling, peak = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT), reals_of(block_at, PEAK_AT)
    raw, floats = floats_of(block_at, RAW_AT), floats_of(block_at, FLOATS_AT)
    level, words = shorts_of(block_at, LEVELS_AT), words_of(block_at, WORDS_AT)
    row_taps = shorts_of(block_at, ROW_TAPS_AT)
    weights = floats_of(block_at, WEIGHTS_AT), floats_of(block_at, ROW_WEIGHTS_AT)
    pitch, map_pitch = padded(cols + int(facts[WIDTH]) - 1), padded(cols)
    size = rows * map_pitch
    scores, means, inverses = part(floats, 0, size), part(floats, size, size), part(floats, 2 * size, size)
    products32 = part(floats, 3 * size, floats.size - 3 * size)
    _statistics_symbol(rows, cols, local, block_at)
    blur = scaling[2] * np.sqrt(facts[COUNT])
    scored = method >= DENSE
    if scored:
        float_scores(raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores)
    elif local:
        window_scores(level, words, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores)
        scored = True
    elif method == EXACT and facts[CELL_ROWS] > 0 and rows * cols * facts[HEIGHT] * facts[WIDTH] > DENSE_MACS:
        scored = _bounded_symbol(rows, cols, block_at) == 1
    if not scored:
        _level_map_symbol(rows, cols, block_at)
    if method == EXACT and not decide(
        raw, scaling[0], pitch, map_pitch, rows, cols, weights[1], row_taps, facts, inverses, blur, facts[TAP_ERROR],
        scores, peak,
    ):  # fmt: skip
        float_scores(raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products32, scores)
        decide(
            raw, 0.0, pitch, map_pitch, rows, cols, weights[1], row_taps, facts, inverses, 0.0, FLOAT_ERROR, scores,
            peak,
        )  # fmt: skip
    if method in (COARSE_TO_FINE, DENSE):
        at = first_peak(scores, inverses)
        peak[ROW], peak[COL], peak[SCORE], peak[SCORED] = at // map_pitch, at % map_pitch, scores[at], 0.0
        peak[ROW_OFFSET], peak[COL_OFFSET] = rough_offsets(scores, map_pitch, rows, cols, at)
    if method in (EXACT, DENSE):
        refine(level, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores, peak)


llvm.add_symbol("cinegate_search", _search.address)
