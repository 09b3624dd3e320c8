"""Compiled kernels for zero-mean normalised cross-correlation (ZNCC) of a template over a search window."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def zncc_surface(pixels, top, left, rows, cols, weights, mask, norm, out):
    """Score every placement of a template in a search window.

    pixels  : (H, W) uint8, uint16 or float32, finite
    weights : (h, w) float32, zero-mean inside the mask and 0 outside it
    mask    : (h, w) float32, 1 inside and 0 outside
    norm    : Euclidean norm of the weights
    out     : (>= rows, >= cols) float32; out[r, c] places the template's top-left pixel at pixels[top + r, left + c];
              a flat patch scores 0, never NaN
    Source  : J. P. Lewis, "Fast Normalized Cross-Correlation", 1995.
    """
    height, width = weights.shape
    count = 0.0
    for i in range(height):
        for j in range(width):
            count += mask[i, j]
    for r in range(rows):
        for c in range(cols):
            product = 0.0
            total = 0.0
            squares = 0.0
            for i in range(height):
                line = pixels[top + r + i, left + c : left + c + width]
                for j in range(width):
                    value = np.float64(line[j])
                    inside = mask[i, j] * value
                    product += weights[i, j] * value
                    total += inside
                    squares += inside * value
            energy = squares - total * total / count
            if energy > 1e-9 * squares:
                out[r, c] = max(-1.0, min(1.0, product / (norm * np.sqrt(energy))))
            else:
                out[r, c] = 0.0


def warm_up() -> None:
    """Compile (or load from the cache) every kernel for every frame type: three dtypes, writable and read-only."""
    from gating.tracking.matcher import TemplateMatcher

    frame = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 97
    matcher = TemplateMatcher(frame[8:24, 8:24].astype(np.float32), max_radius_px=4)
    for dtype in (np.uint8, np.uint16, np.float32):
        for writable in (True, False):
            pixels = frame.astype(dtype)
            pixels.flags.writeable = writable
            matcher.surface(pixels, 8, 8, 4)
            for method in ("exact", "coarse_to_fine", "dense"):
                matcher.match(pixels, 8, 8, 4, method)  # type: ignore[arg-type]
