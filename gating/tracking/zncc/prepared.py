"""All that the kernels know of a template before they see a frame, in the layout that they expect."""

from __future__ import annotations

from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import runs_of_mask
from gating.tracking.zncc.block import CELL_ROWS, FACTS, PEAK, block_of
from gating.tracking.zncc.bounds import CELL_PX
from gating.tracking.zncc.dense import padded_lines, padded_rows
from gating.tracking.zncc.dots import LEAD
from gating.tracking.zncc.intrinsics import LANES, padded
from gating.tracking.zncc.loading import HALF_RANGE

MIN_CELLS = 4
"""Least number of cells a side: with fewer, bounds cost more than they save."""
MIN_CELL_ENERGY = 0.25
"""Least share of the template's energy in its 4x4 averages: with less, bounds rule out hardly anything."""
FLOAT_SLACK = 2e-6
"""Largest float32 rounding error of a score from exact integer sums."""
SPARE = 8 * LANES
"""Elements after a buffer that vectors may read and write."""


class Prepared:
    """A template's weights, integer taps and facts, and the buffers to search a window in.

    Parameters
    ----------
    values : (h, w) float64
        Intensities of the template.
    inside : (h, w) bool
        True where the template counts.
    side : int
        Largest number of placements in a row or column of a window.
    coarser : Prepared, optional
        The same template at half the resolution.
    """

    def __init__(
        self, values: NDArray[np.float64], inside: NDArray[np.bool_], side: int, coarser: Prepared | None = None
    ) -> None:
        weights = np.where(inside, values - values[inside].mean(), 0.0)
        self.floats = np.zeros(5 * side * padded(side) + SPARE, np.float32)
        self.answer = np.zeros(4)
        self._coarser = coarser  # never read, but its buffers must live: our block holds their addresses
        self._arrays = {
            **_template_arrays(weights, inside),
            **_window_buffers(values.shape[0], values.shape[1], side),
            "floats": self.floats,
            "answer": self.answer,
            "coarser": np.zeros(0, np.int64) if coarser is None else coarser.block,
        }
        self.block: NDArray[np.int64] = block_of(self._arrays)
        self.block_at = int(self.block.ctypes.data)

    def __reduce__(self) -> Never:
        raise TypeError("a prepared template holds the addresses of its buffers: build another one instead of a copy")


def _template_arrays(weights: NDArray[np.float64], inside: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a block that only the template decides."""
    height, width = weights.shape
    norm = float(np.linalg.norm(weights))
    unit_weights = weights / norm
    taps, tap_scale = _quantised(unit_weights, HALF_RANGE)
    cells, cell_taps, cell_scale = _cells(unit_weights, inside)
    folded = _folded(taps)
    error = float(np.linalg.norm(unit_weights - taps / tap_scale)) + FLOAT_SLACK
    facts = (height, width, inside.sum(), norm, 1.0 / tap_scale, taps.sum(), error, folded.size // 3)
    line = padded(width)
    row_weights = np.zeros((padded_rows(height), line), np.float32)
    row_weights[:height, :width] = weights
    row_taps = np.zeros((2, padded_lines(height), line), np.int16)
    row_taps[:, LEAD : LEAD + height, :width] = taps, inside
    return {
        "facts": np.array([*facts, *_cell_facts(unit_weights, cells, cell_taps, cell_scale)], np.float64),
        "weights": weights.astype(np.float32),
        "row_weights": row_weights,
        "runs": np.zeros((0, 3), np.int64) if inside.all() else runs_of_mask(inside),
        "taps": np.concatenate([_paired(taps), _paired(cell_taps), folded]),
        "row_taps": row_taps,
    }


def _window_buffers(height: int, width: int, side: int) -> dict[str, NDArray[Any]]:
    """Return the buffers of a block that a search writes, for windows of up to `side` placements a side."""
    pitch, map_pitch = padded(width + side - 1), padded(side)
    area, size = (height + side + 8) * pitch + SPARE, side * map_pitch
    return {
        "raw": np.zeros(area, np.float32),
        "scaling": np.zeros(3),
        "levels": np.zeros(2 * area + pitch, np.int16),
        "words": np.zeros(size + SPARE + 3 * ((side + 1) // 2) * map_pitch + area, np.int32),
        "lines": np.zeros(2 * (pitch + 1) + 2 * size + pitch),
        "peak": np.zeros(PEAK),
    }


def _quantised(weights: NDArray[np.float64], largest_pixel: int) -> tuple[NDArray[np.int16], float]:
    """Return weights times a scale as int16, and the scale: sums of products with int16 pixels fit int32."""
    room = (2**31 - 1) / largest_pixel - weights.size / 2
    scale = min(room / float(np.abs(weights).sum()), 32767.0 / float(np.abs(weights).max()))
    return np.rint(weights * scale).astype(np.int16), scale


def _cells(
    weights: NDArray[np.float64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int16], float]:
    """Return the average weight of each whole 4x4 cell, its integer taps and their scale; no cells if of no use."""
    side = CELL_PX
    rows, cols = weights.shape[0] // side, weights.shape[1] // side
    cells = weights[: rows * side, : cols * side].reshape(rows, side, cols, side).mean((1, 3))
    energy = side**2 * float((cells**2).sum())
    if not inside.all() or min(rows, cols) < MIN_CELLS or not energy > MIN_CELL_ENERGY:
        return np.zeros((0, 0)), np.zeros((0, 0), np.int16), 1.0
    return cells, *_quantised(cells, side * side * HALF_RANGE)


def _cell_facts(
    weights: NDArray[np.float64], cells: NDArray[np.float64], taps: NDArray[np.int16], scale: float
) -> tuple[float, ...]:
    """Return the facts from CELL_ROWS on: how well whole cells approximate the unit template."""
    if not cells.size:
        return (0.0,) * (FACTS - CELL_ROWS)
    side = CELL_PX
    smooth, quantised = np.zeros_like(weights), np.zeros_like(weights)
    block = np.ones((side, side))
    area = slice(cells.shape[0] * side), slice(cells.shape[1] * side)
    smooth[area], quantised[area] = np.kron(cells, block), np.kron(taps / scale, block)
    norm = float(np.linalg.norm(quantised))
    angle = float(np.arccos(min(1.0, (weights * quantised).sum() / norm)))
    error = float(np.linalg.norm(smooth - quantised)) + 5 * FLOAT_SLACK
    loss = float(np.linalg.norm(weights - smooth))
    return *cells.shape, 1.0 / (scale * norm), side**2 * float(taps.sum()), norm, angle, error, loss


def _paired(taps: NDArray[np.int16]) -> NDArray[np.int32]:
    """Return rows 2k and 2k + 1 in one int32 for each column, flat; an odd last row is paired with zeros."""
    rows, cols = taps.shape
    even = np.zeros((rows + rows % 2, cols), np.int16)
    even[:rows] = taps
    pairs = np.ascontiguousarray(even.reshape(len(even) // 2, 2, cols).transpose(0, 2, 1))
    low, high = pairs[..., 0].astype(np.int32) & 0xFFFF, pairs[..., 1].astype(np.int32) << 16
    return (low | high).ravel()


def _folded(taps: NDArray[np.int16]) -> NDArray[np.int32]:
    """Return even lines of the taps, even plus odd ones, and odd ones, each paired; nothing if the sums do not fit."""
    upper = taps[0::2].astype(np.int32)
    lower = np.zeros_like(upper)
    lower[: len(taps) // 2] = taps[1::2]
    both = upper + lower
    if np.abs(both).max() > 32767:
        return np.zeros(0, np.int32)
    return np.concatenate([_paired(part.astype(np.int16)) for part in (upper, both, lower)])
