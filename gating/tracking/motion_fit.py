"""From a flow field to a motion: a robust affine part, a smooth rest, and how well the motion explains the frame.

Compiled, because it runs every frame.

Source of the fit: P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares", Commun.
Stat. Theory Methods 6(9), 1977, with Cauchy weights.

Places are given in px of the region (x, y). Flow is used at every second pixel; what is smoothed from it lives on that
half grid, whose place (row, column) is pixel (2 row, 2 column) of the region.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    """Fit `affine` to the flow; return the mean weight and the deviation of the flow from it, px.

    flow : (H, W, 2) float32, px. rows, columns : (n,) places on the half grid that count.
    basis : (n, 3), 1 and two coordinates of each place. texture : (n,) weights, 0 or more, not all 0.
    outlier_px : deviation at which a place counts half. strain_ridge : pull of the linear part to 0.
    affine : (3, 2), overwritten. rest : (h, w, 3) on the half grid, overwritten: at the places weighted deviation in x
    and y, and weight, zero elsewhere. The deviation returned is the texture-weighted root mean square.
    """
    n = rows.size
    normal = np.empty((3, 5), np.float64)
    for turn in range(rounds + 1):
        normal[:] = 0.0
        total = 0.0
        for i in range(n):
            u = np.float64(flow[2 * rows[i], 2 * columns[i], 0])
            v = np.float64(flow[2 * rows[i], 2 * columns[i], 1])
            weight = texture[i]
            if turn > 0:
                du = u - basis[i, 0] * affine[0, 0] - basis[i, 1] * affine[1, 0] - basis[i, 2] * affine[2, 0]
                dv = v - basis[i, 0] * affine[0, 1] - basis[i, 1] * affine[1, 1] - basis[i, 2] * affine[2, 1]
                weight /= 1.0 + (du * du + dv * dv) / (outlier_px * outlier_px)
            total += weight
            for j in range(3):
                weighted = basis[i, j] * weight
                for k in range(3):
                    normal[j, k] += weighted * basis[i, k]
                normal[j, 3] += weighted * u
                normal[j, 4] += weighted * v
        normal[1, 1] += strain_ridge * total
        normal[2, 2] += strain_ridge * total
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
    rest[:] = 0.0
    total = 0.0
    squares = 0.0
    textures = 0.0
    for i in range(n):
        r = rows[i]
        c = columns[i]
        du = (
            flow[2 * r, 2 * c, 0] - basis[i, 0] * affine[0, 0] - basis[i, 1] * affine[1, 0] - basis[i, 2] * affine[2, 0]
        )
        dv = (
            flow[2 * r, 2 * c, 1] - basis[i, 0] * affine[0, 1] - basis[i, 1] * affine[1, 1] - basis[i, 2] * affine[2, 1]
        )
        deviation = du * du + dv * dv
        weight = texture[i] / (1.0 + deviation / (outlier_px * outlier_px))
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
    """Put affine motion plus smooth rest at (n, 2) places (x, y) into `motion` (n, 2); no rest beyond the half grid.

    Returns its largest component anywhere and the length of its mean, px.

    basis : (n, 3) of the places. rest : (h, w, 3), smoothed weighted deviations and weight; their quotient is the rest.
    shrinkage : added to the weight, so that the rest fades where nothing was seen.
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
    """ZNCC between `values` and the region at places + motion, bilinear, 0 beyond the region; 0 if that is flat.

    values : (n,) float64 of mean 0 and norm 1.
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
