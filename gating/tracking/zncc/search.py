"""Scores of a loaded window: from int16 products with a known error, from float32 products, or one by one in float64.

All functions that take `block_at` work on the block of a template whose window of `rows` x `cols` placements is loaded,
with its statistics computed.

Source : J. P. Lewis, "Fast Normalized Cross-Correlation", 1995.
"""

from __future__ import annotations

import numpy as np

from gating.tracking.zncc.block import (  # fmt: skip
    COL,
    COL_OFFSET,
    COUNT,
    FACTS_AT,
    FLAT_ENERGY,
    FLOATS_AT,
    HEIGHT,
    LEVELS_AT,
    NORM,
    PEAK,
    PEAK_AT,
    RAW_AT,
    ROW,
    ROW_OFFSET,
    ROW_TAPS_AT,
    ROW_WEIGHTS_AT,
    SCALING_AT,
    SCORE,
    SCORED,
    TAP_SUM,
    UNIT,
    WEIGHTS_AT,
    WIDTH,
    WORDS_AT,
)
from gating.tracking.zncc.dense import correlate_floats, correlate_window, dot_pairs, padded_rows
from gating.tracking.zncc.dots import LEAD, patch_sums
from gating.tracking.zncc.intrinsics import address_of, blurred_maximum, padded
from gating.tracking.zncc.memory import (  # fmt: skip
    fast_helper,
    fill,
    finite_helper,
    floats_of,
    helper,
    part,
    reals_of,
    shorts_of,
    words_of,
)
from gating.tracking.zncc.peak import line_peak, quadratic_peak, rough_offsets

TIES = 48
"""Most placements to score in float64; where more are left, float32 scores must first rule some out."""
FLOAT_ERROR = 1e-5
"""Largest error of a score from float32 products."""
UNSCORED = np.float32(-4.0)
"""Below every score."""


@helper
def pitches(cols, block_at):
    """Elements from line to line of the window's pixels and of its maps."""
    return padded(cols + int(reals_of(block_at, FACTS_AT)[WIDTH]) - 1), padded(cols)


@helper
def maps_of(rows, cols, block_at):
    """Scores, mean levels and inverse norms of the window's placements: the first three maps of `floats`, flat."""
    floats, size = floats_of(block_at, FLOATS_AT), rows * padded(cols)
    return part(floats, 0, size), part(floats, size, size), part(floats, 2 * size, size)


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
    """Largest of scores + blur * inverses, over whole vectors."""
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
def float_scores(rows, cols, block_at):
    """Score every placement from float32 products; the window's pixels are centred afterwards."""
    facts, scaling = reals_of(block_at, FACTS_AT), reals_of(block_at, SCALING_AT)
    raw, floats = floats_of(block_at, RAW_AT), floats_of(block_at, FLOATS_AT)
    taps, row_taps = floats_of(block_at, WEIGHTS_AT), floats_of(block_at, ROW_WEIGHTS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    pitch, map_pitch = pitches(cols, block_at)
    scores, means, inverses = maps_of(rows, cols, block_at)
    products = part(floats, 3 * scores.size, floats.size - 3 * scores.size)
    _centre(raw, scaling[0], scaling[1], (rows + height - 1) * pitch)
    correlate_floats(raw, pitch, taps, row_taps, height, width, rows, cols, products, map_pitch)
    scale_map(products, means, inverses, rows, cols, map_pitch, 1.0 / facts[NORM], 0.0, scores)


@helper
def window_scores(rows, cols, block_at):
    """Score every placement from int16 products, in a window of WINDOW_PX a side at most."""
    facts, products = reals_of(block_at, FACTS_AT), words_of(block_at, WORDS_AT)
    levels, row_taps = shorts_of(block_at, LEVELS_AT), shorts_of(block_at, ROW_TAPS_AT)
    pitch, map_pitch = pitches(cols, block_at)
    scores, means, inverses = maps_of(rows, cols, block_at)
    correlate_window(levels, pitch, row_taps, int(facts[HEIGHT]), products, map_pitch)
    fill(scores, 0, scores.size, UNSCORED)
    for r in range(rows):
        for at in range(r * map_pitch, r * map_pitch + cols):
            scores[at] = (products[at] - means[at] * facts[TAP_SUM]) * facts[UNIT] * inverses[at]


@helper
def level_score(at, rows, cols, block_at):
    """Score of one placement, by its index in the map, from int16 products; computed once."""
    scores, means, inverses = maps_of(rows, cols, block_at)
    if scores[at] == UNSCORED:
        facts, row_taps = reals_of(block_at, FACTS_AT), shorts_of(block_at, ROW_TAPS_AT)
        pitch, map_pitch = pitches(cols, block_at)
        start = at // map_pitch * pitch + at % map_pitch
        product = dot_pairs(shorts_of(block_at, LEVELS_AT), start, pitch, row_taps, int(facts[HEIGHT]))
        scores[at] = (product - means[at] * facts[TAP_SUM]) * facts[UNIT] * inverses[at]
    return scores[at]


@helper
def _patch_score(start, pitch, middle, block_at):
    """Score of one placement, by its first pixel in the window, in float64; `middle` is taken off every pixel."""
    facts, raw = reals_of(block_at, FACTS_AT), floats_of(block_at, RAW_AT)
    row_weights, row_taps = floats_of(block_at, ROW_WEIGHTS_AT), shorts_of(block_at, ROW_TAPS_AT)
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
def exact_peak(rows, cols, middle, blur, error, block_at):
    """Score in float64 every placement that can be the best, given the error of the scores; the best into `peak`.

    Parameters
    ----------
    middle : of the range of the pixels, 0 once they are centred
    blur : error of a score from the rounding of the levels, times the norm of its patch
    error : of a score from the rounding of the taps

    Returns
    -------
    False, with `peak` as it was, where more than TIES can be the best and float32 scores would leave fewer. Of equal
    scores the first wins.
    """
    scores, _, inverses = maps_of(rows, cols, block_at)
    floor = largest(scores, inverses, 0, scores.size, -blur) - 2.0 * error
    ties = count_above(scores, inverses, blur, floor)
    if ties > TIES and error > FLOAT_ERROR:
        return False
    pitch, map_pitch = pitches(cols, block_at)
    peak = reals_of(block_at, PEAK_AT)
    peak[SCORE] = -2.0
    peak[SCORED] = ties
    for r in range(rows):
        if largest(scores, inverses, r * map_pitch, map_pitch, blur) >= floor:
            for c in range(cols):
                at = r * map_pitch + c
                if scores[at] + blur * inverses[at] >= floor:
                    score = _patch_score(r * pitch + c, pitch, middle, block_at)
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
def rough_peak(rows, cols, block_at):
    """The largest score of the map into `peak`, with rough sub-pixel offsets."""
    peak, map_pitch = reals_of(block_at, PEAK_AT), padded(cols)
    scores, _, inverses = maps_of(rows, cols, block_at)
    at = first_peak(scores, inverses)
    peak[ROW], peak[COL], peak[SCORE], peak[SCORED] = at // map_pitch, at % map_pitch, scores[at], 0.0
    peak[ROW_OFFSET], peak[COL_OFFSET] = rough_offsets(scores, map_pitch, rows, cols, at)


@helper
def refine(rows, cols, block_at):
    """Sub-pixel offsets of the placement in `peak`, from the scores about it."""
    peak = reals_of(block_at, PEAK_AT)
    r, c = int(peak[ROW]), int(peak[COL])
    map_pitch = padded(cols)
    peak[ROW_OFFSET] = 0.0
    peak[COL_OFFSET] = 0.0
    inner_row, inner_col = 0 < r < rows - 1, 0 < c < cols - 1
    for i in range(-1, 2):
        for j in range(-1, 2):
            if (inner_row or i == 0) and (inner_col or j == 0):
                peak[PEAK - 5 + 3 * i + j] = level_score((r + i) * map_pitch + c + j, rows, cols, block_at)
    around = part(peak, PEAK - 9, 9)
    if inner_row and inner_col:
        peak[ROW_OFFSET], peak[COL_OFFSET] = quadratic_peak(around)
    elif inner_row:
        peak[ROW_OFFSET] = line_peak(around[1], around[4], around[7])
    elif inner_col:
        peak[COL_OFFSET] = line_peak(around[3], around[4], around[5])
