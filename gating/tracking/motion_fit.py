"""From a flow field to a motion: a robust affine part, a smooth rest, and how well the motion explains the frame.

Compiled, because every frame needs it.

Source of the fit: P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares", Commun.
Stat. Theory Methods 6(9), 1977, with Cauchy weights.

Places are (x, y) in px of the region. The fit uses the flow at every second pixel. What it smooths lies on that half
grid, whose place (row, column) is pixel (2 row, 2 column) of the region.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray


@register_jitable
def _deviation(u: float, v: float, at: NDArray[np.float64], affine: NDArray[np.float64]) -> tuple[float, float]:
    """Return what the affine motion leaves of a flow (u, v), px; at : (3,), the row of the basis for its place."""
    du = u - at[0] * affine[0, 0] - at[1] * affine[1, 0] - at[2] * affine[2, 0]
    dv = v - at[0] * affine[0, 1] - at[1] * affine[1, 1] - at[2] * affine[2, 1]
    return du, dv


@register_jitable
def _add_place(normal: NDArray[np.float64], at: NDArray[np.float64], weight: float, u: float, v: float) -> None:
    """Add a place with flow (u, v) to the normal equations, (3, 5): the matrix and the right-hand sides of x and y."""
    for j in range(3):
        weighted = at[j] * weight
        for k in range(3):
            normal[j, k] += weighted * at[k]
        normal[j, 3] += weighted * u
        normal[j, 4] += weighted * v


@register_jitable
def _solve(normal: NDArray[np.float64], affine: NDArray[np.float64]) -> None:
    """Solve the normal equations for `affine`, (3, 2), by elimination, which overwrites them."""
    for j in range(3):
        for k in range(j + 1, 3):
            factor = normal[k, j] / normal[j, j]
            for m in range(j, 5):
                normal[k, m] -= factor * normal[j, m]
    for side in range(2):
        for j in range(2, -1, -1):
            value = normal[j, 3 + side]
            for k in range(j + 1, 3):
                value -= normal[j, k] * affine[k, side]
            affine[j, side] = value / normal[j, j]


@njit(
    "UniTuple(float64, 2)(float32[:, :, ::1], int64[::1], int64[::1], float64[:, ::1], float64[::1], float64, float64,"
    " int64, float64[:, ::1], float32[:, :, ::1])",
    cache=True,
    nogil=True,
)
def fit_affine(
    flow: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    basis: NDArray[np.float64],
    texture: NDArray[np.float64],
    outlier_px: float,
    strain_ridge: float,
    rounds: int,
    affine: NDArray[np.float64],
    rest: NDArray[np.float32],
) -> tuple[float, float]:
    """Fit `affine` to the flow, and write to `rest` what it leaves.

    Parameters
    ----------
    flow : (H, W, 2) float32, px
    rows, columns : (n,) int64, the places on the half grid that count
    basis : (n, 3) float64, 1 and two coordinates of each place
    texture : (n,) float64, weights, 0 or more, not all 0
    outlier_px : deviation at which a place counts half
    strain_ridge : pull of the linear part to 0
    rounds : times that the weights are adapted to the deviations
    affine : (3, 2) float64, overwritten
    rest : (h, w, 3) float32 on the half grid, overwritten: at the places the weighted deviation in x and y, px, and the
        weight, elsewhere 0

    Returns
    -------
    Mean weight, and the texture-weighted root mean square of the deviation, px.
    """
    n = rows.size
    outlier = outlier_px * outlier_px
    normal = np.empty((3, 5), np.float64)
    for turn in range(rounds + 1):
        normal[:] = 0.0
        total = 0.0
        for i in range(n):
            u = np.float64(flow[2 * rows[i], 2 * columns[i], 0])
            v = np.float64(flow[2 * rows[i], 2 * columns[i], 1])
            weight = texture[i]
            if turn > 0:
                du, dv = _deviation(u, v, basis[i], affine)
                weight /= 1.0 + (du * du + dv * dv) / outlier
            total += weight
            _add_place(normal, basis[i], weight, u, v)
        normal[1, 1] += strain_ridge * total
        normal[2, 2] += strain_ridge * total
        _solve(normal, affine)
    rest[:] = 0.0
    total = 0.0
    squares = 0.0
    textures = 0.0
    for i in range(n):
        r = rows[i]
        c = columns[i]
        du, dv = _deviation(np.float64(flow[2 * r, 2 * c, 0]), np.float64(flow[2 * r, 2 * c, 1]), basis[i], affine)
        deviation = du * du + dv * dv
        weight = texture[i] / (1.0 + deviation / outlier)
        rest[r, c, 0] = du * weight
        rest[r, c, 1] = dv * weight
        rest[r, c, 2] = weight
        total += weight
        squares += texture[i] * deviation
        textures += texture[i]
    return total / n, math.sqrt(squares / textures)


@njit(
    "UniTuple(float64, 2)"
    "(float64[:, ::1], float64[:, ::1], float32[:, :, ::1], float64, float64[:, ::1], float64[:, ::1])",
    cache=True,
    nogil=True,
)
def motion_at(
    places: NDArray[np.float64],
    basis: NDArray[np.float64],
    rest: NDArray[np.float32],
    shrinkage: float,
    affine: NDArray[np.float64],
    motion: NDArray[np.float64],
) -> tuple[float, float]:
    """Write the motion at every place, the affine part plus the smooth rest; beyond the half grid there is no rest.

    Parameters
    ----------
    places : (n, 2) float64, (x, y)
    basis : (n, 3) float64, 1 and two coordinates of each place
    rest : (h, w, 3) float32, smoothed weighted deviations in x and y, and smoothed weight; their quotient is the rest
    shrinkage : added to the weight, so that the rest fades where nothing was seen
    affine : (3, 2) float64
    motion : (n, 2) float64, overwritten, px

    Returns
    -------
    Largest component of the motion anywhere, and length of its mean, px.
    """
    height, width, _ = rest.shape
    farthest = 0.0
    mean_x = 0.0
    mean_y = 0.0
    for i in range(places.shape[0]):
        for side in range(2):
            motion[i, side] = (
                basis[i, 0] * affine[0, side] + basis[i, 1] * affine[1, side] + basis[i, 2] * affine[2, side]
            )
        x = 0.5 * places[i, 0]
        y = 0.5 * places[i, 1]
        left = math.floor(x)
        top = math.floor(y)
        for row in range(top, top + 2):
            for column in range(left, left + 2):
                if 0 <= row < height and 0 <= column < width:
                    share = (1.0 - abs(x - column)) * (1.0 - abs(y - row))
                    share /= rest[row, column, 2] + shrinkage
                    motion[i, 0] += share * rest[row, column, 0]
                    motion[i, 1] += share * rest[row, column, 1]
        farthest = max(farthest, abs(motion[i, 0]), abs(motion[i, 1]))
        mean_x += motion[i, 0] / places.shape[0]
        mean_y += motion[i, 1] / places.shape[0]
    return farthest, math.hypot(mean_x, mean_y)


@njit("float64(uint8[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1])", cache=True, nogil=True)
def score_at(
    region: NDArray[np.uint8], places: NDArray[np.float64], motion: NDArray[np.float64], values: NDArray[np.float64]
) -> float:
    """ZNCC between `values` and the region at places + motion; 0 where the region is flat there.

    Parameters
    ----------
    region : (rows, columns) uint8; interpolated bilinearly, 0 beyond its border
    places, motion : (n, 2) float64, (x, y)
    values : (n,) float64 of mean 0 and norm 1
    """
    height, width = region.shape
    total = 0.0
    squares = 0.0
    product = 0.0
    for i in range(places.shape[0]):
        x = places[i, 0] + motion[i, 0]
        y = places[i, 1] + motion[i, 1]
        left = math.floor(x)
        top = math.floor(y)
        value = 0.0
        for row in range(top, top + 2):
            for column in range(left, left + 2):
                if 0 <= row < height and 0 <= column < width:
                    value += (1.0 - abs(x - column)) * (1.0 - abs(y - row)) * region[row, column]
        total += value
        squares += value * value
        product += values[i] * value
    spread = squares - total * total / places.shape[0]
    return product / math.sqrt(spread) if spread > 1e-9 * squares else 0.0
