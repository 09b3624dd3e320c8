"""Template matching: the best placement of one template in a search window of a cine frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gating.tracking import kernels

Method = Literal["exact", "coarse_to_fine", "dense"]
MIN_TEMPLATE_PX = 4
_INTEGRAL = {"B": True, "H": True, "f": False}
MIN_CELLS = 4
"""Cells a side below which bounds are not worth their set-up."""
FLOAT_SLACK = 2e-6
"""float32 rounding of a score made from exact integer sums."""


@dataclass(frozen=True, slots=True)
class Match:
    """Best placement of a template.

    Attributes
    ----------
    row, col : float
        Sub-pixel placement of the template's top-left pixel, in frame pixels.
    score : float
        ZNCC at the integer peak, in [-1, 1]; a flat patch scores 0, never NaN.
    at_edge : bool
        The integer peak lies on the border of the search window, so the true peak may lie outside it.
    """

    row: float
    col: float
    score: float
    at_edge: bool


class TemplateMatcher:
    """One template and the buffers to find it within `max_radius_px` of an expected placement.

    Parameters
    ----------
    template : (h, w) array
        Intensities in any unit; kept as float32.
    mask : (h, w) boolean array, optional
        True where the template counts.
    max_radius_px : int
        Largest search radius that `match` and `surface` accept.

    Raises
    ------
    ValueError
        If the template is tiny, flat or not finite, the mask is empty or misshapen, or the radius is negative.
    """

    def __init__(self, template: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, max_radius_px: int) -> None:
        template = np.ascontiguousarray(template, dtype=np.float32)
        _check_template(template, mask, max_radius_px)
        inside = np.ones(template.shape, bool) if mask is None else np.asarray(mask, bool)
        self.shape: tuple[int, int] = (template.shape[0], template.shape[1])
        self.max_radius_px = int(max_radius_px)
        self._prepare(template.astype(np.float64), inside)
        self._allocate()

    def surface(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[NDArray[np.float32], int, int]:
        """Score every placement within `radius_px` of (row, col), clipped to the image.

        Returns
        -------
        scores : (n, m) float32 view of a buffer that the next call overwrites
        top, left : int
            Placement that scores[0, 0] belongs to.

        Raises
        ------
        ValueError
            If the radius is out of range, the window leaves no placement, or a pixel is not finite.
        """
        top, left, rows, cols = self._window(pixels, row, col, radius_px)
        self._load(pixels, top, left, rows, cols)
        kernels.score_surface(
            rows, cols, self._scaling, self._facts, self._flat_weights, self._runs, self._raw, self._floats, self._lines
        )
        pitch = kernels.padded(cols)
        return self._floats[: rows * pitch].reshape(rows, pitch)[:, :cols], top, left

    def match(self, pixels: NDArray[Any], row: int, col: int, radius_px: int, method: Method = "exact") -> Match:
        """Find the best placement within `radius_px` of the expected top-left placement (row, col).

        Parameters
        ----------
        pixels : (H, W) uint8, uint16 or float32, C-contiguous; may be read-only
        method : "exact", "coarse_to_fine" or "dense"
            `exact` finds the peak of the full float64 surface, provably; `coarse_to_fine` looks for it where the
            template's 4x4 averages fit best; `dense` computes the float32 surface and takes its peak.

        Raises
        ------
        ValueError
            As `surface`.
        """
        top, left, rows, cols = self._window(pixels, row, col, radius_px)
        self._load(pixels, top, left, rows, cols)
        _SEARCH[method](
            rows, cols, self._scaling, self._facts, self._exact_taps, self._flat_weights, self._runs, self._taps,
            self._row_taps, self._raw, self._floats, self._levels, self._words, self._lines, self._peak,
        )  # fmt: skip
        peak_row, peak_col, score, row_offset, col_offset, _ = self._peak.tolist()
        at_edge = not (0 < peak_row < rows - 1 and 0 < peak_col < cols - 1)
        return Match(top + peak_row + row_offset, left + peak_col + col_offset, score, at_edge)

    def _load(self, pixels: NDArray[Any], top: int, left: int, rows: int, cols: int) -> None:
        height, width = rows + self.shape[0] - 1, cols + self.shape[1] - 1
        integral = _INTEGRAL.get(pixels.dtype.char)
        if integral is None or not pixels.flags.c_contiguous:
            layout = "" if pixels.flags.c_contiguous else ", not C-contiguous"
            raise ValueError(f"frame has dtype {pixels.dtype}{layout}; it must be uint8, uint16 or float32, C-contiguous")
        if not kernels.load_window(pixels, top, left, height, width, integral, self._raw, self._levels, self._scaling):
            raise ValueError("frame holds NaN or infinite pixels in the search window; every pixel must be finite")

    def _window(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[int, int, int, int]:
        if not 0 <= radius_px <= self.max_radius_px:
            raise ValueError(f"radius_px is {radius_px}; it must lie in 0..{self.max_radius_px} (max_radius_px)")
        height, width = pixels.shape
        top, left = max(row - radius_px, 0), max(col - radius_px, 0)
        rows = min(row + radius_px, height - self.shape[0]) - top + 1
        cols = min(col + radius_px, width - self.shape[1]) - left + 1
        if rows < 1 or cols < 1:
            raise ValueError(
                f"placement row {row}, col {col} with radius_px {radius_px} leaves no room for a template of "
                f"{self.shape[0]}x{self.shape[1]} in a frame of {height}x{width}"
            )
        return top, left, rows, cols

    def _prepare(self, values: NDArray[np.float64], inside: NDArray[np.bool_]) -> None:
        """Everything that depends on the template alone."""
        height, width = values.shape
        weights = np.where(inside, values - values[inside].mean(), 0.0)
        norm = float(np.linalg.norm(weights))
        unit_weights = weights / norm
        taps, tap_scale = _quantised(unit_weights, kernels.HALF_RANGE)
        cells, cell_taps, cell_scale = _cells(unit_weights, inside)
        self._facts = np.zeros(kernels.FACTS)
        self._facts[: kernels.CELL_ROWS] = (
            height, width, inside.sum(), norm, 1.0 / tap_scale, taps.sum(),
            np.linalg.norm(unit_weights - taps / tap_scale) + FLOAT_SLACK,
        )  # fmt: skip
        self._facts[kernels.CELL_ROWS :] = _cell_facts(unit_weights, cells, cell_taps, cell_scale)
        self._exact_taps = np.stack([weights, inside.astype(np.float64)])
        self._runs = _runs(inside) if not inside.all() else np.zeros((0, 3), np.int64)
        self._taps = np.concatenate([_paired(taps), _paired(cell_taps)])
        padded = kernels.padded_rows(height), kernels.padded(width)
        row_taps, row_weights = np.zeros(padded, np.int16), np.zeros(padded, np.float32)
        row_taps[:height, :width], row_weights[:height, :width] = taps, weights
        self._row_taps = row_taps.ravel()
        self._flat_weights = weights.astype(np.float32).ravel(), row_weights.ravel()

    def _allocate(self) -> None:
        """Buffers for the largest window, in the layouts that the kernels cut up."""
        height, width = self.shape
        side = 2 * self.max_radius_px + 1
        pitch, map_pitch = kernels.padded(width + side - 1), kernels.padded(side)
        spare = 8 * kernels.LANES
        area, size = (height + side + 8) * pitch + spare, side * map_pitch
        self._raw = np.zeros(area, np.float32)
        self._scaling = np.zeros(3)
        self._floats = np.zeros(5 * size + spare, np.float32)
        self._levels = np.zeros(2 * area + pitch, np.int16)
        self._words = np.zeros(size + spare + area, np.int32)
        self._lines = np.zeros(2 * (pitch + 1) + 2 * size)
        self._peak = np.zeros(kernels.PEAK)


_SEARCH = {"exact": kernels.match_exact, "coarse_to_fine": kernels.match_exact, "dense": kernels.match_exact}


def _quantised(weights: NDArray[np.float64], largest_pixel: int) -> tuple[NDArray[np.int16], float]:
    """Weights times the returned scale as int16, so that their sum of products with int16 pixels fits int32."""
    room = (2**31 - 1) / largest_pixel - weights.size / 2
    scale = min(room / float(np.abs(weights).sum()), 32767.0 / float(np.abs(weights).max()))
    return np.rint(weights * scale).astype(np.int16), scale


def _cells(
    weights: NDArray[np.float64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int16], float]:
    """Average weight of each whole 4x4 cell, and its integer taps; no cells where they cannot serve."""
    side = kernels.CELL_PX
    rows, cols = weights.shape[0] // side, weights.shape[1] // side
    cells = weights[: rows * side, : cols * side].reshape(rows, side, cols, side).mean((1, 3))
    if not inside.all() or min(rows, cols) < MIN_CELLS or not np.abs(cells).max() > 0.0:
        return np.zeros((0, 0)), np.zeros((0, 0), np.int16), 1.0
    return cells, *_quantised(cells, side * side * kernels.HALF_RANGE)


def _cell_facts(
    weights: NDArray[np.float64], cells: NDArray[np.float64], taps: NDArray[np.int16], scale: float
) -> tuple[float, ...]:
    """The CELL_ facts of kernels: how well whole cells stand in for the unit template."""
    if not cells.size:
        return (0.0,) * (kernels.FACTS - kernels.CELL_ROWS)
    side = kernels.CELL_PX
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
    """Rows 2k and 2k + 1 side by side in one int32 a column, flat; an odd last row pairs with zeros."""
    rows, cols = taps.shape
    even = np.zeros((rows + rows % 2, cols), np.int16)
    even[:rows] = taps
    pairs = np.ascontiguousarray(even.reshape(len(even) // 2, 2, cols).transpose(0, 2, 1))
    low, high = pairs[..., 0].astype(np.int32) & 0xFFFF, pairs[..., 1].astype(np.int32) << 16
    return (low | high).ravel()


def _runs(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Runs of the mask as (row, first column, one past the last column)."""
    edges = np.diff(np.pad(inside.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]), dtype=np.int64)


def _check_template(template: NDArray[np.float32], mask: NDArray[np.bool_] | None, max_radius_px: int) -> None:
    if template.ndim != 2 or min(template.shape) < MIN_TEMPLATE_PX:
        raise ValueError(f"template has shape {template.shape}; it must be 2D and {MIN_TEMPLATE_PX} px or more a side")
    if not np.isfinite(template).all():
        raise ValueError("template holds NaN or infinite pixels; every pixel must be finite")
    if mask is not None and np.shape(mask) != template.shape:
        raise ValueError(f"mask has shape {np.shape(mask)}; it must be the template's, {template.shape}")
    inside = template if mask is None else template[np.asarray(mask, bool)]
    if inside.size < MIN_TEMPLATE_PX**2:
        raise ValueError(f"mask keeps {inside.size} pixels of the template; it must keep {MIN_TEMPLATE_PX**2} or more")
    if not float(np.ptp(inside)) > 1e-6 * float(np.abs(inside).max()):
        raise ValueError(f"template is flat (every pixel about {inside.flat[0]:g}); it must have contrast")
    if max_radius_px < 0:
        raise ValueError(f"max_radius_px is {max_radius_px}; it must be 0 or more")
