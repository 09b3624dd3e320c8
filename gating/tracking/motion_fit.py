"""A robust affine motion in a flow field: iteratively reweighted least squares, compiled because it runs every frame.

Source: P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares", Commun. Stat.
Theory Methods 6(9), 1977, with Cauchy weights.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SIGNATURE = (
    "float64(float32[:, :, ::1], int64[::1], int64[::1], float64[:, ::1], float64[::1], float64, float64, int64,"
    " float64[:, ::1], float32[:, :, ::1], float32[:, ::1])"
)


@njit(_SIGNATURE, cache=True, nogil=True)
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
    density: NDArray[np.float32],
) -> float:
    """Fit `affine` to the flow at every second pixel; return the mean weight.

    flow : (H, W, 2) float32, px. rows, columns : (n,) places on the half grid that count.
    basis : (n, 3), 1 and two coordinates of each place. texture : (n,) weights, 0 or more, not all 0.
    outlier_px : deviation at which a place counts half. strain_ridge : pull of the linear part to 0.
    affine : (3, 2), overwritten. rest, density : (h, w, 2) and (h, w) on the half grid, zero elsewhere, overwritten at
    the places with weighted deviation and weight.
    """
    n = rows.size
    normal = np.empty((3, 5), np.float64)
    total = 0.0
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
    total = 0.0
    for i in range(n):
        r = rows[i]
        c = columns[i]
        du = (
            flow[2 * r, 2 * c, 0] - basis[i, 0] * affine[0, 0] - basis[i, 1] * affine[1, 0] - basis[i, 2] * affine[2, 0]
        )
        dv = (
            flow[2 * r, 2 * c, 1] - basis[i, 0] * affine[0, 1] - basis[i, 1] * affine[1, 1] - basis[i, 2] * affine[2, 1]
        )
        weight = texture[i] / (1.0 + (du * du + dv * dv) / (outlier_px * outlier_px))
        rest[r, c, 0] = du * weight
        rest[r, c, 1] = dv * weight
        density[r, c] = weight
        total += weight
    return total / n


_SCATTER_SIGNATURE = (
    "float64(float32[:, :, ::1], int64[::1], int64[::1], float64[:, ::1], float64[::1], float64[:, ::1])"
)


@njit(_SCATTER_SIGNATURE, cache=True, nogil=True)
def scatter_px(
    flow: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    basis: NDArray[np.float64],
    texture: NDArray[np.float64],
    affine: NDArray[np.float64],
) -> float:
    """Return the texture-weighted root mean square deviation of the flow from `affine`, px; arguments as above."""
    squares = 0.0
    total = 0.0
    for i in range(rows.size):
        for side in range(2):
            deviation = np.float64(flow[2 * rows[i], 2 * columns[i], side])
            for j in range(3):
                deviation -= basis[i, j] * affine[j, side]
            squares += texture[i] * deviation * deviation
        total += texture[i]
    return math.sqrt(squares / total)
