"""Which placement wins: int16 scores with a known error, bounds that spare most of them, and a float64 decision.

Source : J. P. Lewis, "Fast Normalized Cross-Correlation", 1995.
"""

from __future__ import annotations

import numpy as np

from gating.tracking.zncc.block import (  # fmt: skip
    COL,
    COL_OFFSET,
    COUNT,
    FLAT_ENERGY,
    HEIGHT,
    NORM,
    PEAK,
    ROW,
    ROW_OFFSET,
    SCORE,
    SCORED,
    TAP_SUM,
    UNIT,
    WIDTH,
)
from gating.tracking.zncc.dense import correlate_floats, correlate_window, dot_pairs, padded_rows
from gating.tracking.zncc.dots import LEAD, patch_sums
from gating.tracking.zncc.intrinsics import address_of, blurred_maximum
from gating.tracking.zncc.memory import fast_helper, fill, finite_helper, helper, part
from gating.tracking.zncc.peak import line_peak, quadratic_peak

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
def count_above(scores, inverses, blur, floor):
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
def _patch_score(raw, middle, start, pitch, row_weights, row_taps, facts):
    """Score of one placement in float64, on pixels minus the middle of the window's range."""
    rows = padded_rows(int(facts[HEIGHT]))
    tap_pitch = row_weights.size // rows
    keep = address_of(row_taps) + row_taps.size + 2 * LEAD * tap_pitch
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
def decide(
    raw, middle, pitch, map_pitch, rows, cols, row_weights, row_taps, facts, inverses, blur, error, scores, peak
):
    """Score in float64 every placement that the error bound leaves in the race; the first best one into `peak`.

    Returns False, having decided nothing, when more than TIES are left and the scores carry more than float32's error.
    """
    floor = largest(scores, inverses, 0, scores.size, -blur) - 2.0 * error
    ties = count_above(scores, inverses, blur, floor)
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
