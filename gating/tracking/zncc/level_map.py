"""The full map of scores from int16 products; its time does not depend on the pixels."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba import cfunc, types

from gating.tracking.zncc.block import (  # fmt: skip
    FACTS_AT,
    FOLDED,
    HEIGHT,
    LEVELS_AT,
    ROW_TAPS_AT,
    TAP_SUM,
    TAPS_AT,
    UNIT,
    WIDTH,
    WORDS_AT,
)
from gating.tracking.zncc.dense import correlate_column, correlate_pairs, pair_lines, spare_columns
from gating.tracking.zncc.folded import folded_products
from gating.tracking.zncc.intrinsics import LANES
from gating.tracking.zncc.memory import part, reals_of, shorts_of, words_of
from gating.tracking.zncc.search import maps_of, pitches, scale_map

FOLD_MACS = 2_000_000
"""Above this many multiply-adds the map is folded: three small maps then save more than they cost to prepare."""


@cfunc(types.void(*[types.intp] * 3), cache=True)
def _level_map(rows, cols, block_at):
    """Score every placement of a loaded window."""
    facts = reals_of(block_at, FACTS_AT)
    levels, words = shorts_of(block_at, LEVELS_AT), words_of(block_at, WORDS_AT)
    taps, row_taps = words_of(block_at, TAPS_AT), shorts_of(block_at, ROW_TAPS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    pitch, map_pitch = pitches(cols, block_at)
    scores, means, inverses = maps_of(rows, cols, block_at)
    room = scores.size + 8 * LANES + 3 * ((rows + 1) // 2) * map_pitch
    products, pairs = part(words, 0, room), part(words, room, words.size - room)
    tap_rows, folded = (height + 1) // 2, 3 * int(facts[FOLDED])
    spare = spare_columns(cols)
    if folded > 0 and rows * cols * height * width > FOLD_MACS:
        folded_taps = part(taps, taps.size - folded, folded)
        folded_products(levels, pairs, products, pitch, map_pitch, rows, cols - spare, folded_taps, height, width)
    else:
        pair_lines(levels, rows + 2 * tap_rows - 2, pitch, 1, pairs)
        vectors = (cols - spare + LANES - 1) // LANES
        correlate_pairs(pairs, pitch, 2, 1, taps, tap_rows, width, rows, vectors, products, map_pitch)
    for c in range(cols - spare, cols):
        column, sums = part(levels, c, levels.size - c), part(products, c, products.size - c)
        correlate_column(column, pitch, row_taps, height, rows, sums, map_pitch)
    scale_map(products, means, inverses, rows, cols, map_pitch, facts[UNIT], facts[TAP_SUM], scores)


llvm.add_symbol("cinegate_level_map", _level_map.address)
