"""Template matching: the best placement of one template in a search window of a cine frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.tracking.zncc import block, kernels
from gating.tracking.zncc.intrinsics import padded
from gating.tracking.zncc.prepared import Prepared

Method = Literal["exact", "coarse_to_fine", "dense"]
MIN_TEMPLATE_PX = 4
MIN_HALVED_PX, MIN_QUARTERED_PX = 16, 12
"""Least side, and least square root of the area, of a template at half and at quarter resolution.

A template of less than 32 px is searched exactly: that costs little more, and at half resolution its peak can lie
beside the true one.
"""


class Match(Struct, frozen=True):
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
        Intensities in any unit; stored as float32.
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
        inside: NDArray[np.bool_] = np.ones(template.shape, bool) if mask is None else np.asarray(mask, bool)
        self.shape: tuple[int, int] = (template.shape[0], template.shape[1])
        self.max_radius_px = int(max_radius_px)
        values = template.astype(np.float64)
        quarter = _reduced(values, inside, 4, MIN_QUARTERED_PX, self.max_radius_px // 2 + 1)
        half = _reduced(values, inside, 2, MIN_HALVED_PX, self.max_radius_px + 1, quarter)
        self._full = Prepared(values, inside, 2 * self.max_radius_px + 1, half)
        if half is None:
            self._methods = {**self._methods, "coarse_to_fine": block.EXACT}

    _methods: Mapping[str, int] = {
        "exact": block.EXACT, "coarse_to_fine": block.COARSE_TO_FINE, "dense": block.DENSE,
    }  # fmt: skip

    def surface(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[NDArray[np.float32], int, int]:
        """Score every placement within `radius_px` of (row, col), clipped to the image.

        Returns
        -------
        scores : (n, m) float32
            View of a buffer that the next call overwrites.
        top, left : int
            Placement that scores[0, 0] belongs to.

        Raises
        ------
        ValueError
            If the radius is out of range, the window leaves no placement, or a pixel is not finite.
        """
        self._find(pixels, row, col, radius_px, block.SURFACE)
        top, left, rows, cols = self._window(pixels, row, col, radius_px)
        pitch = padded(cols)
        return self._full.floats[: rows * pitch].reshape(rows, pitch)[:, :cols], top, left

    def match(self, pixels: NDArray[Any], row: int, col: int, radius_px: int, method: Method = "exact") -> Match:
        """Find the best placement within `radius_px` of the expected top-left placement (row, col).

        Parameters
        ----------
        pixels : (H, W) uint8, uint16 or float32
            C-contiguous; may be read-only.
        row, col : int
            Expected placement.
        radius_px : int
            0 to `max_radius_px`.
        method : "exact", "coarse_to_fine" or "dense"
            `exact` provably finds the peak of the full float64 surface. `coarse_to_fine` searches at a quarter or half
            of the resolution, then about that place at every higher one. `dense` computes the float32 surface and takes
            its peak.

        Raises
        ------
        ValueError
            As `surface`.
        """
        self._find(pixels, row, col, radius_px, self._methods[method])
        peak_row, peak_col, score, at_edge = self._full.answer.tolist()
        return Match(peak_row, peak_col, score, at_edge == 1.0)

    def _find(self, pixels: NDArray[Any], row: int, col: int, radius_px: int, method: int) -> None:
        if pixels.dtype.char not in "BHf" or not pixels.flags.c_contiguous:
            layout = "" if pixels.flags.c_contiguous else ", not C-contiguous"
            raise ValueError(
                f"frame has dtype {pixels.dtype}{layout}; it must be uint8, uint16 or float32, C-contiguous"
            )
        if not 0 <= radius_px <= self.max_radius_px:
            raise ValueError(f"radius_px is {radius_px}; it must lie in 0..{self.max_radius_px} (max_radius_px)")
        status = kernels.find(pixels, row, col, radius_px, method, self._full.block_at)
        if status == block.NO_ROOM:
            raise ValueError(
                f"placement row {row}, col {col} with radius_px {radius_px} leaves no room for a template of "
                f"{self.shape[0]}x{self.shape[1]} in a frame of {pixels.shape[0]}x{pixels.shape[1]}"
            )
        if status == block.NOT_FINITE:
            raise ValueError("frame holds NaN or infinite pixels in the search window; every pixel must be finite")

    def _window(self, pixels: NDArray[Any], row: int, col: int, radius_px: int) -> tuple[int, int, int, int]:
        """Return the first placement of the window, clipped to the image, and its rows and columns of placements."""
        height, width = pixels.shape
        top, left = max(row - radius_px, 0), max(col - radius_px, 0)
        rows = min(row + radius_px, height - self.shape[0]) - top + 1
        cols = min(col + radius_px, width - self.shape[1]) - left + 1
        return top, left, rows, cols


def _reduced(
    values: NDArray[np.float64],
    inside: NDArray[np.bool_],
    reduction: int,
    min_px: int,
    side: int,
    coarser: Prepared | None = None,
) -> Prepared | None:
    """Return the template at a lower resolution; None if too little of it is left."""
    rows, cols = values.shape[0] // reduction, values.shape[1] // reduction
    blocks, cells = (slice(reduction * rows), slice(reduction * cols)), (rows, reduction, cols, reduction)
    reduced = values[blocks].reshape(cells).mean((1, 3))
    kept: NDArray[np.bool_] = np.asarray(inside[blocks].reshape(cells).all(axis=(1, 3)), bool)
    if min(rows, cols) < min_px or kept.sum() < min_px**2:
        return None
    if not np.ptp(reduced[kept]) > 1e-3 * np.ptp(values[inside]):
        return None
    return Prepared(reduced, kept, side, coarser)


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


def warm_up() -> None:
    """Compile every kernel, or load it from the cache, and run each once."""
    frame = ((np.arange(96 * 96, dtype=np.int64).reshape(96, 96) * 7919) % 251).astype(np.uint8)
    matcher = TemplateMatcher(frame[24:64, 24:64], max_radius_px=24)
    for dtype in (np.uint8, np.uint16, np.float32):
        matcher.match(frame.astype(dtype), 24, 24, 24)
