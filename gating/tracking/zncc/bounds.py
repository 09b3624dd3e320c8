"""Upper bounds of the score from 4x4 cells: a sixteenth of the work shows which placements cannot win.

Source : M. Gharavi-Alkhansari, "A fast globally optimal algorithm for template matching using low-resolution pruning",
         IEEE Trans. Image Process. 10(4), 2001, doi:10.1109/83.913587; here for zero-mean normalised correlation.
"""

from __future__ import annotations

import numpy as np

from gating.tracking.zncc.block import (  # fmt: skip
    CELL_COLS,
    CELL_ERROR,
    CELL_LOSS,
    CELL_NORM,
    CELL_ROWS,
    CELL_SUM,
    CELL_UNIT,
    FACTS_AT,
    FLOATS_AT,
    HEIGHT,
    LEVELS_AT,
    LINES_AT,
    TAPS_AT,
    WIDTH,
    WORDS_AT,
)
from gating.tracking.zncc.dense import correlate_pairs, pair_lines
from gating.tracking.zncc.intrinsics import LANES
from gating.tracking.zncc.memory import fast_helper, fill, floats_of, helper, part, reals_of, shorts_of, words_of
from gating.tracking.zncc.search import UNSCORED, maps_of, pitches, scale_map

CELL_PX = 4


@helper
def bound_maps(rows, cols, block_at):
    """Scores of the cells and upper bounds of the scores: the fourth and fifth map of `floats`, flat."""
    floats, size = floats_of(block_at, FLOATS_AT), rows * pitches(cols, block_at)[1]
    return part(floats, 3 * size, size), part(floats, 4 * size, size)


@helper
def _levels_and_cells(rows, cols, block_at):
    """The window's levels and, behind them, the sums of levels over the cell that begins at every pixel, flat."""
    levels, height = shorts_of(block_at, LEVELS_AT), int(reals_of(block_at, FACTS_AT)[HEIGHT])
    room = (rows + height + 7) * pitches(cols, block_at)[0]
    return part(levels, 0, room), part(levels, room, levels.size - room)


@helper
def _sum_cells(levels, lines, pitch, cells, column):
    for y in range(lines - CELL_PX + 1):
        a = part(levels, y * pitch, pitch)
        b = part(levels, (y + 1) * pitch, pitch)
        c = part(levels, (y + 2) * pitch, pitch)
        d = part(levels, (y + 3) * pitch, pitch)
        for x in range(pitch):
            column[x] = np.int16(np.int16(a[x] + b[x]) + np.int16(c[x] + d[x]))
        line = part(cells, y * pitch, pitch)
        for x in range(pitch - CELL_PX + 1):
            line[x] = np.int16(np.int16(column[x] + column[x + 1]) + np.int16(column[x + 2] + column[x + 3]))


@fast_helper
def _add_line(line, sign, width, sums, squares):
    for x in range(width):
        v = np.float64(line[x])
        sums[x] += sign * v
        squares[x] += sign * v * v


@helper
def _grid_sums(cells, pitch, rows, cols, cell_rows, cell_cols, lines, sums, squares, map_pitch):
    """Sum and sum of squares, at every placement, of the cells that tile the patch."""
    width = cols + CELL_PX * (cell_cols - 1)
    column, column_squares = part(lines, 0, width), part(lines, pitch, width)
    for phase in range(min(CELL_PX, rows)):
        fill(column, 0, width, 0.0)
        fill(column_squares, 0, width, 0.0)
        for i in range(cell_rows - 1):
            y = phase + CELL_PX * i
            _add_line(part(cells, y * pitch, pitch), 1.0, width, column, column_squares)
        for r in range(phase, rows, CELL_PX):
            y = r + CELL_PX * (cell_rows - 1)
            _add_line(part(cells, y * pitch, pitch), 1.0, width, column, column_squares)
            at = r * map_pitch
            for c in range(min(CELL_PX, cols)):
                total = 0.0
                square = 0.0
                for j in range(cell_cols):
                    total += column[c + CELL_PX * j]
                    square += column_squares[c + CELL_PX * j]
                sums[at + c] = total
                squares[at + c] = square
            for c in range(CELL_PX, cols):
                gone, come = c - CELL_PX, c + CELL_PX * (cell_cols - 1)
                sums[at + c] = sums[at + gone] + (column[come] - column[gone])
                squares[at + c] = squares[at + gone] + (column_squares[come] - column_squares[gone])
            _add_line(part(cells, r * pitch, pitch), -1.0, width, column, column_squares)


@helper
def score_cells(rows, cols, block_at):
    """Score the template's cells at every placement, into the first of `bound_maps`."""
    facts, taps, words = reals_of(block_at, FACTS_AT), words_of(block_at, TAPS_AT), words_of(block_at, WORDS_AT)
    height, width = int(facts[HEIGHT]), int(facts[WIDTH])
    pitch, map_pitch = pitches(cols, block_at)
    levels, cells = _levels_and_cells(rows, cols, block_at)
    _, means, inverses = maps_of(rows, cols, block_at)
    likely, _ = bound_maps(rows, cols, block_at)
    products, pairs = part(words, 0, likely.size), part(words, likely.size, words.size - likely.size)
    whole = (height + 1) // 2 * width
    tap_rows, vectors = (int(facts[CELL_ROWS]) + 1) // 2, (cols + LANES - 1) // LANES
    _sum_cells(levels, rows + height - 1, pitch, cells, part(cells, cells.size - pitch, pitch))
    pair_lines(cells, rows + 2 * CELL_PX * tap_rows - 2 * CELL_PX, pitch, CELL_PX, pairs)
    correlate_pairs(
        pairs, pitch, 2 * CELL_PX, CELL_PX, part(taps, whole, taps.size - whole), tap_rows, int(facts[CELL_COLS]), rows,
        vectors, products, map_pitch,
    )  # fmt: skip
    scale_map(products, means, inverses, rows, cols, map_pitch, facts[CELL_UNIT], facts[CELL_SUM], likely)


@fast_helper
def _bound_line(likely, sums, squares, means, inverses, cols, norm, error, loss, cell_count, rounding, bounds):
    area = np.float64(CELL_PX * CELL_PX)
    for c in range(cols):
        mean = np.float64(means[c])
        inverse = np.float64(inverses[c])
        coarse_energy = squares[c] / area - 2.0 * mean * sums[c] + area * cell_count * mean * mean
        coarse = max(0.0, np.sqrt(max(coarse_energy, 0.0)) - 2.0 * rounding) * inverse
        fine = np.sqrt(np.float32(max(0.0, 1.0 - coarse * coarse)))
        bounds[c] = likely[c] * np.float32(norm) + np.float32(error + rounding * inverse) + np.float32(loss) * fine


@helper
def bound_scores(rows, cols, rounding, block_at):
    """Upper bound of the score at every placement, sharper than the angle to the cells alone, after `score_cells`.

    With T the unit template, L its part constant on cells (quantised, of norm CELL_NORM), P the patch about its mean, a
    and b the norms of P's part constant on cells and of the rest: <T, P> <= <L, P> + error a + loss b, where
    loss = |T - cell averages| and a^2 + b^2 = |P|^2.

    Parameters
    ----------
    rounding : norm of the rounding of a patch's levels
    """
    facts, lines = reals_of(block_at, FACTS_AT), reals_of(block_at, LINES_AT)
    cell_rows, cell_cols = int(facts[CELL_ROWS]), int(facts[CELL_COLS])
    pitch, map_pitch = pitches(cols, block_at)
    _, cells = _levels_and_cells(rows, cols, block_at)
    _, means, inverses = maps_of(rows, cols, block_at)
    likely, bounds = bound_maps(rows, cols, block_at)
    sums, squares = part(lines, 2 * pitch, bounds.size), part(lines, 2 * pitch + bounds.size, bounds.size)
    _grid_sums(cells, pitch, rows, cols, cell_rows, cell_cols, lines, sums, squares, map_pitch)
    for r in range(rows):
        at = r * map_pitch
        _bound_line(
            part(likely, at, cols), part(sums, at, cols), part(squares, at, cols), part(means, at, cols),
            part(inverses, at, cols), cols, facts[CELL_NORM], facts[CELL_ERROR], facts[CELL_LOSS],
            cell_rows * cell_cols, rounding, part(bounds, at, cols),
        )  # fmt: skip
        fill(bounds, at + cols, map_pitch - cols, UNSCORED)
