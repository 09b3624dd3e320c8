"""A contour carried to a frame, in one compiled pass: the fit, and the numbers that it is judged by."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit, types
from numba.extending import register_jitable
from numpy.typing import NDArray

from gating.geometry.contours import NO_AREA
from gating.tracking.bending import AFFINE
from gating.tracking.direct_fit import PROBLEM, FitProblem, descend, deviation_px
from gating.tracking.sampling import displace, score_at

Array = NDArray[np.float64]
Image = NDArray[np.float32]

COARSE_STEPS, FINE_STEPS = 10, 12
FOUND: Final = 10
"""Numbers that a fit is judged by, see `carry`."""
MIN_SEEN: Final = 0.2
"""Least share of the template in the image for a score."""


@register_jitable
def beyond_image_px(contour: NDArray[np.float32], shape: tuple[int, ...]) -> float:
    """Return how far a contour reaches beyond the outer edges of an image's pixels, px."""
    beyond = 0.0
    for i in range(contour.shape[0]):
        x, y = contour[i, 0], contour[i, 1]
        beyond = max(beyond, -0.5 - x, -0.5 - y, x - (shape[1] - 0.5), y - (shape[0] - 0.5))
    return beyond


@njit("UniTuple(float64, 2)(float32[:, ::1])", cache=True, nogil=True)
def centroid_of(contour: NDArray[np.float32]) -> tuple[float, float]:
    """Return `gating.geometry.contours.contour_centroid` of an outline, px, in a tenth of the time."""
    x0, y0 = np.float64(contour[0, 0]), np.float64(contour[0, 1])
    twice_area, x, y = 0.0, 0.0, 0.0
    for i in range(1, contour.shape[0] - 1):
        one_x, one_y = contour[i, 0] - x0, contour[i, 1] - y0
        other_x, other_y = contour[i + 1, 0] - x0, contour[i + 1, 1] - y0
        cross = one_x * other_y - one_y * other_x
        twice_area += cross
        x += cross * (one_x + other_x)
        y += cross * (one_y + other_y)
    if not abs(twice_area) > NO_AREA:
        return math.nan, math.nan
    return x0 + x / (3.0 * twice_area), y0 + y / (3.0 * twice_area)


@register_jitable
def _moved(points: Array, basis: Array, motion: Array, out: NDArray[np.float32]) -> None:
    """Write points moved by a sum of functions, (n, K) at the points."""
    for i in range(points.shape[0]):
        x, y = points[i, 0], points[i, 1]
        for k in range(motion.shape[0]):
            x += basis[i, k] * motion[k, 0]
            y += basis[i, k] * motion[k, 1]
        out[i, 0], out[i, 1] = x, y


@register_jitable
def _copy(coefficients: Array, scale: float, out: Array) -> None:
    """Write coefficients times a factor; the functions that they do not have get 0."""
    for k in range(out.shape[0]):
        for axis in range(2):
            out[k, axis] = scale * coefficients[k, axis] if k < coefficients.shape[0] else 0.0


@register_jitable
def _score(image: Image, fine: FitProblem, values: Image) -> float:
    score, seen = score_at(image, fine.places, fine.work, values)
    return score if seen >= MIN_SEEN else 0.0


_IMAGE, _VALUES, _MATRIX, _VECTOR = types.float32[:, ::1], types.float32[::1], types.float64[:, ::1], types.float64[::1]


@njit(
    types.void(
        _IMAGE, _IMAGE, _IMAGE, _IMAGE, PROBLEM, PROBLEM, _VALUES, _VALUES, types.float64, types.float64, types.float64,
        types.float64, _MATRIX, types.boolean, _MATRIX, _MATRIX, _MATRIX, _MATRIX, _MATRIX, _VECTOR, _MATRIX, _IMAGE,
        _VECTOR,
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def carry(
    in_fine: Image,
    in_coarse: Image,
    in_smooth: Image,
    in_raw: Image,
    fine: FitProblem,
    coarse: FitProblem,
    smooth: Image,
    raw: Image,
    shift_x: float,
    shift_y: float,
    step: float,
    likeness: float,
    last: Array,
    is_warm: bool,
    affine: Array,
    begun: Array,
    continued: Array,
    points: Array,
    point_basis: Array,
    content_basis: Array,
    motion: Array,
    contour: Image,
    found: Array,
) -> None:
    """Fit a template to a frame, and judge the fit: `ContourFit.propagate` without Python, and without its lock.

    The affine motion on the coarse grid comes first, as it reaches farther; from there, and from the `last` motion if
    there is one, the fit goes on with all functions, and the better of both is found.

    Parameters
    ----------
    in_fine, in_coarse, in_smooth, in_raw : (rows, columns) float32
        The frame as a `Picture`.
    fine, coarse : FitProblem
    smooth, raw : (n,) float32
        The template at the places of `fine`.
    shift_x, shift_y, likeness : float
        See `ContourFit.propagate`.
    step : float
        Pixels of the full grid in one of the coarse grid.
    last, begun, continued, motion : (K, 2) float64
        All but `last` are overwritten; `motion` is what was found.
    is_warm : bool
        Whether there is a last motion.
    affine : (3, 2) float64
        Overwritten.
    points, point_basis, content_basis : (m, 2), (m, K), (K,) float64
        Outline, and the functions there and in the mean over the target.
    contour : (m, 2) float32
        The outline, moved.
    found : (FOUND,) float64
        Cost, scores (smooth, raw, smooth and only shifted), motion of the content in x and y, strain, bending in px,
        deviation in px, and px beyond the image.
    """
    for k in range(affine.shape[0]):
        affine[k, 0] = affine[k, 1] = 0.0
    affine[0, 0], affine[0, 1] = shift_x / step, shift_y / step
    descend(in_coarse, coarse, affine, COARSE_STEPS, likeness)
    _copy(affine, step, begun)
    cost = descend(in_fine, fine, begun, FINE_STEPS, likeness)
    _copy(begun, 1.0, motion)
    if is_warm:
        _copy(last, 1.0, continued)
        other = descend(in_fine, fine, continued, FINE_STEPS, likeness)
        if other < cost:
            cost = other
            _copy(continued, 1.0, motion)
        else:
            displace(fine.basis, motion, fine.work)
    found[0], found[1], found[2] = cost, _score(in_smooth, fine, smooth), _score(in_raw, fine, raw)
    x, y, strain, bend = 0.0, 0.0, 0.0, 0.0
    for k in range(motion.shape[0]):
        in_x, in_y = motion[k, 0], motion[k, 1]
        x += content_basis[k] * in_x
        y += content_basis[k] * in_y
        if k >= AFFINE:
            bend += in_x * in_x + in_y * in_y
        elif k > 0:
            strain = max(strain, abs(in_x), abs(in_y))
    for i in range(fine.work.shape[1]):
        fine.work[0, i], fine.work[1, i] = x, y
    found[3], found[4], found[5] = _score(in_smooth, fine, smooth), x, y
    found[6], found[7] = strain / fine.length_px, math.sqrt(bend)
    found[8] = deviation_px(fine, content_basis, cost)
    _moved(points, point_basis, motion, contour)
    found[9] = beyond_image_px(contour, in_fine.shape)
