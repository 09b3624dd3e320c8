"""A drawn abdomen at exhale: body, lung, liver with vessels, target, kidney, spine.

The unit is half the shorter side of the field of view; x runs along columns, y along rows, and both are 0 in the
middle. +x is posterior in a sagittal image and left in a coronal one; +y is inferior. Signals are relative to fat,
roughly as in a balanced steady-state image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]

LUNG, MUSCLE, BOWEL, LIVER, VESSEL, FAT = 0.06, 0.3, 0.55, 0.5, 0.8, 1.0
TARGET_CENTRE: Final = (-0.12, 0.16)
CONTOUR_POINTS: Final = 72


def target_outline(radius: float) -> NDArray[np.float64]:
    """Return the outline of the target at exhale: a circle with two and with three soft lobes.

    The outline is (72, 2) of (x, y), in units of half the field of view, as the radius is.
    """
    angle = np.arange(CONTOUR_POINTS) * (2 * math.pi / CONTOUR_POINTS)
    distance = _lobed(np.cos(angle), np.sin(angle), radius)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1) + TARGET_CENTRE


@dataclass(frozen=True, slots=True)
class Slice:
    """What sets one drawn slice apart from another."""

    vessels: int
    """Number of the set of vessels that it cuts."""
    has_target: bool


def draw(
    x: Image,
    y: Image,
    edge: float,
    *,
    plane: str,
    seed: int,
    slices: Sequence[Slice],
    target_radius: float,
    target_signal: float,
) -> list[Image]:
    """Return the signal at the points (x, y), for each of several neighbouring slices.

    Parameters
    ----------
    x, y
        Coordinates, (1, columns) and (rows, 1), in units of half the field of view.
    edge
        Half the width over which one tissue blends into the next.
    seed
        Seed of the tissue texture and the vessels.
    """
    x, y = np.broadcast_arrays(x, y)
    organs = np.full(x.shape, 0.01)
    texture = _texture(x, y, np.random.Generator(np.random.PCG64([seed, 3])))
    for paint in (_paint_body, _paint_chest, _paint_kidney, _paint_spine if plane == "sagittal" else _paint_ribs):
        paint(organs, x, y, edge, texture)
    liver = _liver_depth(x, y)
    _over(organs, liver, LIVER * (1 + 0.12 * texture), edge)
    images = []
    for slice_ in slices:
        image = organs.copy()
        _paint_vessels(image, x, y, edge, liver, np.random.Generator(np.random.PCG64([seed, 4, slice_.vessels])))
        if slice_.has_target:
            _paint_target(image, x, y, edge, texture, target_radius, target_signal)
        images.append(image)
    return images


def _paint_target(image: Image, x: Image, y: Image, edge: float, texture: Image, radius: float, signal: float) -> None:
    away_x, away_y = x - TARGET_CENTRE[0], y - TARGET_CENTRE[1]
    away = np.sqrt(away_x**2 + away_y**2)
    safe = np.where(away > 0, away, 1.0)
    outside = away - _lobed(away_x / safe, away_y / safe, radius)
    core = 1 - 0.18 * np.clip(1 - away / radius, 0, 1)
    _over(image, outside, signal * core * (1 + 0.08 * texture), edge)


def _lobed(cosine: NDArray[Any], sine: NDArray[Any], radius: float) -> NDArray[Any]:
    two, three = 2 * cosine**2 - 1, 4 * cosine**3 - 3 * cosine
    distance: NDArray[Any] = radius * (1 + 0.10 * two + 0.05 * three + 0.06 * sine)
    return distance


def _over(image: Image, outside: Image, signal: Image | float, edge: float) -> None:
    """Paint where `outside` (a distance, negative inside) is below 0, with a soft edge."""
    share = np.clip(0.5 - outside / (2 * edge), 0, 1)
    share = share * share * (3 - 2 * share)
    image += share * (signal - image)


def _ellipse(x: Image, y: Image, centre: tuple[float, float], radii: tuple[float, float]) -> Image:
    """Return the approximate distance to an ellipse: 0 on its outline, with unit slope there along the shorter axis."""
    a, b = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    root: Image = np.sqrt(a * a + b * b)
    return (root - 1) * min(radii)


def _dome(x: Image) -> Image:
    """Return the height of the diaphragm at x."""
    height: Image = -0.30 + 0.55 * (x + 0.12) ** 2
    return height


def _liver_depth(x: Image, y: Image) -> Image:
    """Return the distance to the liver: below the diaphragm, above the oblique lower edge, in front of the spine."""
    lower = 0.48 - 0.35 * (x + 0.1) - y
    depth: Image = np.maximum(np.maximum(_dome(x) - y, -lower), np.maximum(x - 0.40, -0.66 - x))
    return depth


def _paint_body(image: Image, x: Image, y: Image, edge: float, texture: Image) -> None:
    body = _ellipse(x, y, (0.0, 0.1), (0.9, 1.9))
    _over(image, body, FAT * (1 + 0.05 * texture), edge)
    _over(image, body + 0.09, MUSCLE, edge)
    _over(image, body + 0.15, BOWEL * (1 + 0.55 * texture), edge)


def _paint_chest(image: Image, x: Image, y: Image, edge: float, texture: Image) -> None:
    inside = _ellipse(x, y, (0.0, 0.1), (0.9, 1.9)) + 0.15
    _over(image, np.maximum(inside, y - _dome(x)), LUNG * (1 + 0.8 * texture), edge)
    _over(image, _ellipse(x, y, (-0.36, -0.84), (0.26, 0.30)), 0.65 * (1 + 0.15 * texture), edge)


def _paint_kidney(image: Image, x: Image, y: Image, edge: float, texture: Image) -> None:
    _over(image, _ellipse(x, y, (0.27, 0.62), (0.15, 0.27)), 0.72 * (1 + 0.06 * texture), edge)
    _over(image, _ellipse(x, y, (0.27, 0.62), (0.09, 0.20)), 0.55 * (1 + 0.15 * texture), edge)


def _paint_spine(image: Image, x: Image, y: Image, edge: float, texture: Image) -> None:
    _over(image, np.abs(x - 0.60) - 0.13, 0.62, edge)
    for level in range(-6, 7):
        block = np.maximum(np.abs(x - 0.60) - 0.12, np.abs(y - 0.05 - 0.27 * level) - 0.10)
        _over(image, block, 0.38 * (1 + 0.2 * texture), edge)
    _over(image, np.abs(x - 0.765) - 0.03, 1.05, edge)


def _paint_ribs(image: Image, x: Image, y: Image, edge: float, texture: Image) -> None:
    for level in range(-6, 5):
        for side in (-1, 1):
            rib = _ellipse(x, y, (side * 0.76, 0.05 + 0.22 * level), (0.035, 0.06))
            _over(image, rib, 0.25 * (1 + 0.2 * texture), edge)


def _paint_vessels(image: Image, x: Image, y: Image, edge: float, liver: Image, random: np.random.Generator) -> None:
    """Paint tapering, bending vessels from the porta outwards, cut off at the outline of the liver."""
    nearest = np.full(image.shape, np.inf)
    for _ in range(13):
        heading = random.uniform(math.pi * 0.95, math.pi * 2.05)
        px, py = 0.12 + random.normal(0, 0.06), 0.38 + random.normal(0, 0.06)
        radius = random.uniform(0.016, 0.036)
        for _ in range(7):
            heading += random.normal(0, 0.30)
            qx, qy = px + 0.10 * math.cos(heading), py + 0.10 * math.sin(heading)
            _segment(nearest, x, y, (px, py), (qx, qy), radius)
            px, py, radius = qx, qy, radius * 0.86
    _over(image, np.maximum(nearest, liver + 0.02), VESSEL, edge)


def _segment(
    nearest: Image, x: Image, y: Image, start: tuple[float, float], end: tuple[float, float], radius: float
) -> None:
    """Lower `nearest` to the distance from a thick segment, within the box that it can affect."""
    reach = 3 * radius
    columns = np.flatnonzero((x[0] > min(start[0], end[0]) - reach) & (x[0] < max(start[0], end[0]) + reach))
    rows = np.flatnonzero((y[:, 0] > min(start[1], end[1]) - reach) & (y[:, 0] < max(start[1], end[1]) + reach))
    if not len(rows) or not len(columns):
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    dx, dy = end[0] - start[0], end[1] - start[1]
    ax, ay = x[box] - start[0], y[box] - start[1]
    along = np.clip((ax * dx + ay * dy) / (dx * dx + dy * dy), 0, 1)
    away = np.sqrt((ax - along * dx) ** 2 + (ay - along * dy) ** 2) - radius
    np.minimum(nearest[box], away, out=nearest[box])


def _texture(x: Image, y: Image, random: np.random.Generator) -> Image:
    """Return smooth noise at three scales, about -1 to 1: random values on grids, interpolated bilinearly."""
    field = np.zeros(x.shape)
    for step, weight in ((0.16, 0.5), (0.07, 0.35), (0.03, 0.25)):
        size = math.ceil(6.0 / step) + 2
        grid = random.uniform(-1, 1, (size, size))
        gx, gy = (x[0] + 3.0) / step, (y[:, 0] + 3.0) / step
        ix, iy = np.clip(gx.astype(np.intp), 0, size - 2), np.clip(gy.astype(np.intp), 0, size - 2)
        fx, fy = np.clip(gx - ix, 0, 1), np.clip(gy - iy, 0, 1)[:, None]
        above = grid[iy][:, ix] * (1 - fx) + grid[iy][:, ix + 1] * fx
        below = grid[iy + 1][:, ix] * (1 - fx) + grid[iy + 1][:, ix + 1] * fx
        field += weight * (above * (1 - fy) + below * fy)
    return field
