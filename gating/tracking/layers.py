"""Two layers in a preparation: what stands still in the image, and what moves. Do the claims explain what moves?

Every frame around the target is taken for the sum of a layer that stands still and one that moves as the target is
claimed to. Both are solved for in turns, each from what the other leaves; then each frame tells where the moving layer
fits it best, and so on with these motions. Where the claims were right they come back nearly as they were. Where
something holds the match (a pattern fixed in the image, or tissue that does not move with the rest), the moving layer
moves farther than was claimed.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Series = NDArray[np.float64]

GRID_MM, AROUND_MM, REACH_MM = 2.0, 12.0, 8.0
"""Of the grid; of the tissue around the target; and how far from the claims the moving layer is looked for."""
MOST_FRAMES: Final = 60
ROUNDS, SWEEPS = 3, 5
LEAST_CLAIMED_MM: Final = 2.0
"""Below, a ratio of amplitudes says nothing."""
LARGEST_GROWTH: Final = 1.25
"""Targets that move with what is around them give 1.02 to 1.07; held ones 1.4 and more (`docs/tracking.md`)."""


def growth(frames: NDArray[Any], contour_px: Image, away_mm: Series, pixel_mm: float, axis: Series) -> float | None:
    """Return how many times as far as claimed the moving layer moves; None where hardly any motion is claimed.

    Parameters
    ----------
    frames : (n, rows, columns) real numbers
        The first is the reference.
    contour_px : (m, 2) float32
        Points (x, y) of the target in it.
    away_mm : (n, 2) float64
        Claimed motion (x, y) since the reference.
    pixel_mm : float
        Size of a pixel.
    axis : (2,) float64
        Unit vector along which it is looked for and measured.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(MOST_FRAMES, len(frames))).round().astype(int))
    moved = away_mm[chosen].astype(np.float64)
    claimed_mm = _amplitude(moved @ axis)
    if not claimed_mm >= LEAST_CLAIMED_MM:
        return None
    step = max(round(GRID_MM / pixel_mm), 1)
    border = math.ceil((float(np.abs(moved).max()) + REACH_MM) / pixel_mm / step)
    seen = np.stack([_around(frames[index], contour_px, pixel_mm, step, border) for index in chosen])
    moved /= step * pixel_mm
    for _ in range(ROUNDS):
        still, moving = _layers(seen, moved)
        pairs = zip(seen, moved, strict=True)
        moved = np.array([_refined(one - still, moving, at, axis, step * pixel_mm, border) for one, at in pairs])
    return _amplitude(moved @ axis) * step * pixel_mm / claimed_mm


def _around(frame: NDArray[Any], contour_px: Image, pixel_mm: float, step: int, border: int) -> Image:
    """Return the target and what is around it on the grid, with room to move; the image's last lines are repeated."""
    room = border * step
    wide = cv2.copyMakeBorder(np.asarray(frame, np.float32), *(room,) * 4, cv2.BORDER_REPLICATE)
    margin = AROUND_MM / pixel_mm
    low = np.maximum(np.floor(contour_px.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(contour_px.max(axis=0) + margin).astype(int), np.array(frame.shape[::-1]))
    columns, rows = (high - low + 2 * room) // step
    patch = wide[low[1] : low[1] + rows * step, low[0] : low[0] + columns * step]
    return np.asarray(cv2.resize(patch, (int(columns), int(rows)), interpolation=cv2.INTER_AREA), np.float32)


def _shifted(image: Image, by: Series, border: int = 0) -> Image:
    """Return an image whose content is moved by (x, y) px, without a border."""
    move = np.array([[1.0, 0.0, by[0] - border], [0.0, 1.0, by[1] - border]])
    size = image.shape[1] - 2 * border, image.shape[0] - 2 * border
    return np.asarray(cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _layers(seen: Image, moved: Series) -> tuple[Image, Image]:
    """Return the still layer, and the moving one as it lies in the reference, with mean 0."""
    still = seen.mean(axis=0)
    moving = np.zeros_like(still)
    for _ in range(SWEEPS):
        moving = np.mean([_shifted(one - still, -at) for one, at in zip(seen, moved, strict=True)], axis=0)
        moving -= moving.mean()
        still = np.mean([one - _shifted(moving, at) for one, at in zip(seen, moved, strict=True)], axis=0)
    return still, moving


def _refined(left: Image, moving: Image, at: Series, axis: Series, grid_mm: float, border: int) -> Series:
    """Return where the moving layer fits best what the still one leaves, along the axis through the claimed place."""
    steps = np.arange(-REACH_MM, REACH_MM + 0.5) / grid_mm
    inner = left[border:-border, border:-border].ravel()
    with np.errstate(invalid="ignore", divide="ignore"):  # a flat rest correlates with nothing: NaN
        moves = [_shifted(moving, at + by * axis, border).ravel() for by in steps]
        scores = np.corrcoef([*moves, inner])[-1, :-1]
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else len(steps) // 2
    offset = 0.0
    if 0 < best < len(steps) - 1:
        before, here, after = scores[best - 1 : best + 2]
        curvature = 2.0 * here - before - after
        offset = 0.5 * (after - before) / curvature if curvature > 0.0 else 0.0
    return np.asarray(at + (steps[best] + offset * (steps[1] - steps[0])) * axis, np.float64)


def _amplitude(along: Series) -> float:
    """Return the span from the 5th to the 95th percentile."""
    return float(np.subtract(*np.percentile(along, [95, 5])))
