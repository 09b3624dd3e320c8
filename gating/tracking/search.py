"""Which placement wins: int16 scores with a known error, bounds that spare most of them, and a float64 decision.

Source : J. P. Lewis, "Fast Normalized Cross-Correlation", 1995.
"""

from __future__ import annotations

import numpy as np

from gating.tracking.bounded import bound_scores, correlate_cells
from gating.tracking.dense import (
    correlate_floats,
    correlate_pairs,
    correlate_window,
    dot_pairs,
    padded_rows,
    spare_columns,
)
from gating.tracking.dots import WINDOW_PX, patch_sums
from gating.tracking.folded import folded_products
from gating.tracking.intrinsics import LANES, address_of, blurred_maximum
from gating.tracking.memory import fast_helper, fill, finite_helper, helper, part
from gating.tracking.peak import line_peak, quadratic_peak
from gating.tracking.window import FLAT_ENERGY, pair_lines

# Indices into a template's `facts`, float64.
HEIGHT, WIDTH, COUNT, NORM, UNIT, TAP_SUM, TAP_ERROR, FOLDED = range(8)
CELL_ROWS, CELL_COLS, CELL_UNIT, CELL_SUM, CELL_NORM, CELL_ANGLE, CELL_ERROR, CELL_LOSS = range(8, 16)
FACTS = 16
# Indices into `peak`, float64: integer placement, score, sub-pixel offsets, placements scored.
ROW, COL, SCORE, ROW_OFFSET, COL_OFFSET, SCORED = range(6)
PEAK = 6 + 9
"""The last nine hold the scores about the peak."""

DENSE_MACS = 600_000
"""Below this many multiply-adds the full integer map is quicker than bounds."""
RACE_MACS = 400_000
"""Above this many multiply-adds in a race on angles alone, sharper bounds pay."""
FOLD_MACS = 2_000_000
"""Above this many multiply-adds the map is folded: its three small maps then save more than making them costs."""
DENSE_SHARE = 0.35
"""Share of placements in the race above which the full map is quicker than one placement at a time."""
TIES = 48
"""Placements scored in float64 before the float32 surface has to thin them out."""
FLOAT_ERROR = 1e-5
UNSCORED = np.float32(-4.0)


@fast_helper
def scale_map(products, means, inverses, rows, cols, map_pitch, unit, tap_sum, scores):
    """Scores from sums of products: (products - means * tap_sum) * unit * inverses; the padding becomes UNSCORED."""
    unit, tap_sum = np.float32(unit), np.float32(tap_sum)
    for r in range(rows):
        at = r * map_pitch
        product, score = part(products, at, cols), part(scores, at, cols)
        mean, inverse = part(means, at, cols), part(inverses, at, cols)
        for c in range(cols):
            value = (np.float32(product[c]) - mean[c] * tap_sum) * unit * inverse[c]
            value = value if value < np.float32(1.0) else np.float32(1.0)
            score[c] = value if value > np.float32(-1.0) else np.float32(-1.0)
        fill(scores, at + cols, map_pitch - cols, UNSCORED)


@helper
def largest(scores, inverses, start, count, blur):
    """Largest of scores + blur * inverses over whole vectors."""
    return blurred_maximum(address_of(scores), address_of(inverses), start, count, np.float32(blur))


@finite_helper
def _count(scores, inverses, blur, floor):
    """How many of scores + blur * inverses reach the floor."""
    blur, floor = np.float32(blur), np.float32(floor)
    reached = np.int32(0)
    for k in range(scores.size):
        reached += np.int32(scores[k] + blur * inverses[k] >= floor)
    return reached


@fast_helper
def _centre(raw, middle, scale, size):
    middle, scale = np.float32(middle), np.float32(scale)
    for k in range(size):
        raw[k] = (raw[k] - middle) * scale


@helper
def float_scores(raw, scaling, pitch, map_pitch, rows, cols, weights, facts, means, inverses, products, scores):
    """Scores from float32 products; leaves the pixels centred."""
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    _centre(raw, scaling[0], scaling[1], (rows + height - 1) * pitch)
    correlate_floats(raw, pitch, weights[0], weights[1], height, width, rows, cols, products, map_pitch)
    scale_map(products, means, inverses, rows, cols, map_pitch, 1.0 / facts[NORM], 0.0, scores)


@helper
def window_scores(levels, products, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores):
    """Score every placement of a window of WINDOW_PX a side at most from int16 products."""
    correlate_window(levels, pitch, row_taps, int(facts[HEIGHT]), products, map_pitch)
    fill(scores, 0, scores.size, UNSCORED)
    for r in range(rows):
        for at in range(r * map_pitch, r * map_pitch + cols):
            scores[at] = (products[at] - means[at] * facts[TAP_SUM]) * facts[UNIT] * inverses[at]


@helper
def level_scores(levels, pairs, products, pitch, map_pitch, rows, cols, taps, row_taps, facts, means, inverses, scores):
    """Score every placement from int16 products."""
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    tap_rows, folded = (height + 1) // 2, 3 * int(facts[FOLDED])
    spare = spare_columns(cols)
    if folded > 0 and rows * cols * height * width > FOLD_MACS:
        folded_taps = part(taps, taps.size - folded, folded)
        folded_products(levels, pairs, products, pitch, map_pitch, rows, cols - spare, folded_taps, height, width)
    else:
        pair_lines(levels, rows + 2 * tap_rows - 2, pitch, 1, pairs)
        vectors = (cols - spare + LANES - 1) // LANES
        correlate_pairs(pairs, pitch, 2, 1, taps, tap_rows, width, rows, vectors, products, map_pitch)
    for r in range(rows):
        for c in range(cols - spare, cols):
            products[r * map_pitch + c] = dot_pairs(levels, r * pitch + c, pitch, row_taps, height)
    scale_map(products, means, inverses, rows, cols, map_pitch, facts[UNIT], facts[TAP_SUM], scores)


@helper
def _patch_score(raw, middle, start, pitch, row_weights, row_taps, facts):
    """Score of one placement in float64, on pixels minus the middle of the window's range."""
    rows = padded_rows(int(facts[HEIGHT]))
    tap_pitch = row_weights.size // rows
    keep = address_of(row_taps) + row_taps.size + 2 * (WINDOW_PX - 1) * tap_pitch
    product, total, squares = patch_sums(
        address_of(raw), start, pitch, middle, address_of(row_weights), keep, rows, tap_pitch
    )
    energy = squares - total * total / facts[COUNT]
    if not energy > FLAT_ENERGY * 1e-9 + 1e-13 * squares:
        return 0.0
    return min(1.0, max(-1.0, product / (facts[NORM] * np.sqrt(energy))))


@helper
def level_score(levels, pitch, map_pitch, at, row_taps, facts, means, inverses, scores):
    """Score of one placement from int16 products; computed once."""
    if scores[at] == UNSCORED:
        source = at // map_pitch * pitch + at % map_pitch
        product = dot_pairs(levels, source, pitch, row_taps, int(facts[HEIGHT]))
        scores[at] = (product - means[at] * facts[TAP_SUM]) * facts[UNIT] * inverses[at]
    return scores[at]


@helper
def climb(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, start, scores):
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
def race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, blur, bounds, floor, scores):
    """Score every placement whose bound reaches the floor."""
    for r in range(rows):
        if largest(bounds, inverses, r * map_pitch, map_pitch, blur) >= floor:
            for at in range(r * map_pitch, r * map_pitch + cols):
                if bounds[at] + blur * inverses[at] >= floor:
                    level_score(levels, pitch, map_pitch, at, row_taps, facts, means, inverses, scores)


@helper
def bounded_scores(
    levels, cells, pairs, products, lines, pitch, map_pitch, rows, cols, cell_taps, row_taps, facts, blur,
    means, inverses, likely, bounds, scores,
):  # fmt: skip
    """Score the placements that can win; False when they are too many for one at a time."""
    cell_rows, cell_cols, height = int(facts[CELL_ROWS]), int(facts[CELL_COLS]), int(facts[HEIGHT])
    area = height * int(facts[WIDTH])
    correlate_cells(
        levels, cells, pairs, products, pitch, map_pitch, rows, cols, cell_taps, cell_rows, cell_cols, height
    )
    scale_map(products, means, inverses, rows, cols, map_pitch, facts[CELL_UNIT], facts[CELL_SUM], likely)
    fill(scores, 0, scores.size, UNSCORED)
    peak = largest(likely, inverses, 0, likely.size, 0.0)
    start = 0
    while likely[start] != peak:
        start += 1
    start = climb(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, start, scores)
    floor = scores[start] - facts[TAP_ERROR] - blur * inverses[start]
    angle_floor = _angle_floor(floor, facts[CELL_ANGLE])
    if _count(likely, inverses, blur, angle_floor) * area <= RACE_MACS:
        race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, blur, likely, angle_floor, scores)
        return True
    if not floor > facts[CELL_LOSS]:  # a patch of pure detail would reach the floor: so would most of a noisy window
        return False
    bound_scores(
        cells, lines, pitch, map_pitch, rows, cols, cell_rows, cell_cols, facts[CELL_NORM], facts[CELL_ERROR],
        facts[CELL_LOSS], blur, likely, means, inverses, bounds,
    )  # fmt: skip
    if _count(bounds, inverses, 0.0, floor) > DENSE_SHARE * rows * cols:
        return False
    race(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, 0.0, bounds, floor, scores)
    return True


@helper
def decide(
    raw, middle, pitch, map_pitch, rows, cols, row_weights, row_taps, facts, inverses, blur, error, scores, peak
):
    """Score in float64 every placement that the error bound leaves in the race; the first best one into `peak`.

    Returns False, having decided nothing, when more than TIES are left and the scores carry more than float32's error.
    """
    floor = largest(scores, inverses, 0, scores.size, -blur) - 2.0 * error
    ties = _count(scores, inverses, blur, floor)
    if ties > TIES and error > FLOAT_ERROR:
        return False
    peak[SCORE] = -2.0
    peak[SCORED] = ties
    for r in range(rows):
        if largest(scores, inverses, r * map_pitch, map_pitch, blur) >= floor:
            for c in range(cols):
                at = r * map_pitch + c
                if scores[at] + blur * inverses[at] >= floor:
                    score = _patch_score(raw, middle, r * pitch + c, pitch, row_weights, row_taps, facts)
                    if score > peak[SCORE]:
                        peak[ROW], peak[COL], peak[SCORE] = r, c, score
    return True


@helper
def first_peak(scores, inverses):
    """Index of the largest score, the first of equals."""
    peak = largest(scores, inverses, 0, scores.size, 0.0)
    at = 0
    while scores[at] != peak:
        at += 1
    return at


@helper
def rough_offsets(scores, pitch, rows, cols, at):
    """Sub-pixel offsets of a peak in a map, to know where to look at a higher resolution."""
    down = line_peak(scores[at - pitch], scores[at], scores[at + pitch]) if 0 < at // pitch < rows - 1 else 0.0
    right = line_peak(scores[at - 1], scores[at], scores[at + 1]) if 0 < at % pitch < cols - 1 else 0.0
    return down, right


@helper
def refine(levels, pitch, map_pitch, rows, cols, row_taps, facts, means, inverses, scores, peak):
    """Sub-pixel offsets of the placement in `peak`, from the scores about it."""
    r, c = int(peak[ROW]), int(peak[COL])
    at = r * map_pitch + c
    peak[ROW_OFFSET] = 0.0
    peak[COL_OFFSET] = 0.0
    inner_row, inner_col = 0 < r < rows - 1, 0 < c < cols - 1
    for i in range(-1, 2):
        for j in range(-1, 2):
            if (inner_row or i == 0) and (inner_col or j == 0):
                near = at + i * map_pitch + j
                score = level_score(levels, pitch, map_pitch, near, row_taps, facts, means, inverses, scores)
                peak[PEAK - 5 + 3 * i + j] = score
    around = part(peak, PEAK - 9, 9)
    if inner_row and inner_col:
        peak[ROW_OFFSET], peak[COL_OFFSET] = quadratic_peak(around)
    elif inner_row:
        peak[ROW_OFFSET] = line_peak(around[1], around[4], around[7])
    elif inner_col:
        peak[COL_OFFSET] = line_peak(around[3], around[4], around[5])
