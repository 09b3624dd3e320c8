"""The best placement in a loaded window."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    CELL_ROWS,
    COUNT,
    DENSE,
    EXACT,
    FACTS_AT,
    HEIGHT,
    SCALING_AT,
    SURFACE,
    TAP_ERROR,
    WIDTH,
)
from gating.tracking.zncc.memory import reals_of
from gating.tracking.zncc.search import FLOAT_ERROR, exact_peak, float_scores, refine, rough_peak, window_scores

DENSE_MACS = 600_000
"""Below this many multiply-adds the full integer map is quicker than bounds."""

_statistics_symbol = types.ExternalFunction("cinegate_statistics", types.void(*[types.intp] * 4))
_level_map_symbol = types.ExternalFunction("cinegate_level_map", types.void(*[types.intp] * 3))
_pruned_search_symbol = types.ExternalFunction("cinegate_pruned_search", types.intp(*[types.intp] * 3))


@cfunc(types.void(*[types.intp] * 5), cache=True)
def _search(rows, cols, method, local, block_at):
    """Search a loaded window; peak and scores into the block's arrays. Local: the window is of WINDOW_PX at most."""
    facts, scaling = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT)
    _statistics_symbol(rows, cols, local, block_at)
    if method in (DENSE, SURFACE):
        float_scores(rows, cols, block_at)
    elif local:
        window_scores(rows, cols, block_at)
    else:
        pruned = method == EXACT and facts[CELL_ROWS] > 0
        pruned = pruned and rows * cols * facts[HEIGHT] * facts[WIDTH] > DENSE_MACS
        if not (pruned and _pruned_search_symbol(rows, cols, block_at) == 1):
            _level_map_symbol(rows, cols, block_at)
    if method == EXACT:
        blur = scaling[2] * np.sqrt(facts[COUNT])
        if not exact_peak(rows, cols, scaling[0], blur, facts[TAP_ERROR], block_at):
            float_scores(rows, cols, block_at)
            exact_peak(rows, cols, 0.0, 0.0, FLOAT_ERROR, block_at)
    elif method != SURFACE:
        rough_peak(rows, cols, block_at)
    if method in (EXACT, DENSE):
        refine(rows, cols, block_at)


llvm.add_symbol("cinegate_search", _search.address)
