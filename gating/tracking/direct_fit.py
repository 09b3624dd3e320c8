"""The direct fit: the motion of a template from the intensities themselves, by inverse composition.

A motion is a sum of functions of the place, `gating.tracking.bending`, with a coefficient in x and one in y for each.
The steepest-descent images and the inverse Hessian belong to the template and are computed once; a step samples the
frame at the moved places, and projects the difference. A step is undone on the template's side and composed with the
motion so far; the composition is exact for affine motions, and of first order for the bending modes.

Large differences count no more than `CLIP`: something else is seen there. The bending modes are pulled to 0, in
proportion to their energy.

Source: S. Baker, I. Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", Int. J. Comput. Vis. 56(3), 2004,
doi 10.1023/B:VISI.0000011205.11775.fd, sections 3.2 and 4; priors: part 4 of the same series, CMU-RI-TR-04-14.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from gating.tracking.bending import AFFINE

Array = NDArray[np.float64]
Image = NDArray[np.float32]

CLIP: Final = 0.5
"""Largest difference of local contrast that counts."""
STIFFNESS: Final = 10.0
"""Pull of the bending modes to 0, relative to the pull of the image on the translation."""
USUAL_STRAIN: Final = 0.05
"""Standard deviation of the affine motion's gradients: small targets without much texture are not deformed at will."""
NOISE: Final = 0.5
"""Mean square difference of a usual fit, times the pixels that share their noise."""
STEP_PX: Final = 0.02
"""Once no coefficient changes by more, the motion is found."""
RIDGE: Final = 1e-6
_FAST = {"contract", "reassoc", "nsz"}


class FitProblem(Struct, frozen=True):
    """What a template brings to a fit, for n places and K functions.

    Attributes
    ----------
    places : (2, n) float32
        x and y, px of the image.
    basis : (K, n) float32
        The functions there; the first three are affine.
    values : (n,) float32
        The template's image there.
    steepest : (n, 2 K) float32
        Change of the image with each coefficient.
    inverse : (2 K, 2 K) float64
        Of the Hessian with the prior.
    prior : (K,) float64
        Pull of each function's coefficients to 0.
    length_px : float
        Unit of the affine functions.
    work : (3, n) float32
        Motion in x and y, and difference, of the newest step.
    gradient : (2 K,) float64
    """

    places: Image
    basis: Image
    values: Image
    steepest: Image
    inverse: Array
    prior: Array
    length_px: float
    work: Image
    gradient: Array


def prepare_fit(image: Image, places: Image, basis: Array, energies: Array, length_px: float) -> FitProblem:
    """Return the fit of an image's neighbourhood to other images.

    Parameters
    ----------
    image : (rows, columns) float32
        Local contrast of the template's frame.
    places : (2, n) float32
    basis : (n, K) float64
    energies : (K,) float64
        Bending energies.
    length_px : float
    """
    count, n = basis.shape[1], places.shape[1]
    functions = np.ascontiguousarray(basis.T, np.float32)
    values, after, before = (np.zeros(n, np.float32) for _ in range(3))
    sample(image, places, np.zeros((2, n), np.float32), values)
    steepest = np.empty((n, count, 2), np.float32)
    for axis in range(2):
        half = np.zeros((2, n), np.float32)
        half[axis] = 0.5
        sample(image, places, half, after)
        sample(image, places, -half, before)
        steepest[:, :, axis] = (functions * (after - before)).T
    flat = np.ascontiguousarray(steepest.reshape(n, 2 * count))
    hessian = flat.T.astype(np.float64) @ flat
    pull = float(hessian[0, 0] + hessian[1, 1]) / 2.0 + 1e-9
    prior = STIFFNESS * pull * energies
    prior[1:AFFINE] = NOISE / (USUAL_STRAIN * length_px) ** 2
    inverse = np.asarray(np.linalg.inv(hessian + np.diag(np.repeat(prior, 2) + RIDGE * pull)), np.float64)
    work = np.zeros((3, n), np.float32)
    return FitProblem(places, functions, values, flat, inverse, prior, length_px, work, np.zeros(2 * count))


def align(problem: FitProblem, image: Image, coefficients: Array, most_steps: int) -> float:
    """Move the template until it fits an image.

    Parameters
    ----------
    problem : FitProblem
    image : (rows, columns) float32
    coefficients : (K, 2) float64
        Where to begin, px; overwritten by what is found.
    most_steps : int
        0 leaves them as they are.

    Returns
    -------
    float
        Mean square of the clipped differences of all places inside the image, 0 to `CLIP` squared; that if none is.
    """
    p = problem
    return float(
        _align(
            image, p.places, p.basis, p.values, p.steepest, p.inverse, p.prior, p.length_px, most_steps, coefficients,
            p.work, p.gradient,
        )
    )  # fmt: skip


@njit("void(float32[:, ::1], float64[:, ::1], float32[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def displace(basis: Image, coefficients: Array, motion: Image) -> None:
    """Write the motion of every place, px: (K, n) functions times (K, 2) coefficients, to rows 0 and 1 of `motion`."""
    x, y = motion[0], motion[1]
    x[:] = 0.0
    y[:] = 0.0
    for k in range(basis.shape[0]):
        function = basis[k]
        in_x, in_y = np.float32(coefficients[k, 0]), np.float32(coefficients[k, 1])
        for i in range(x.size):
            x[i] += in_x * function[i]
            y[i] += in_y * function[i]


@register_jitable
def _is_inside(image: Image, x: float, y: float) -> bool:
    """Return whether an image shows a place; NaN is nowhere."""
    height, width = image.shape
    return x >= 0.0 and y >= 0.0 and x <= width - 1 and y <= height - 1


@register_jitable
def _between(image: Image, x: Any, y: Any) -> Any:
    """Return the bilinear value of an image at a place inside it."""
    height, width = image.shape
    column, row = min(int(x), width - 2), min(int(y), height - 2)
    right, down = x - np.float32(column), y - np.float32(row)
    upper = image[row, column] + right * (image[row, column + 1] - image[row, column])
    lower = image[row + 1, column] + right * (image[row + 1, column + 1] - image[row + 1, column])
    return upper + down * (lower - upper)


@njit("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])", cache=True, nogil=True, fastmath=_FAST)
def sample(image: Image, places: Image, motion: Image, values: Image) -> None:
    """Write the bilinear value of an image at every place + motion; beyond its border `values` keeps what it has."""
    for i in range(places.shape[1]):
        x, y = places[0, i] + motion[0, i], places[1, i] + motion[1, i]
        if _is_inside(image, x, y):
            values[i] = _between(image, x, y)


@njit(
    "float64(float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    fastmath=_FAST,
)
def _differences(image: Image, places: Image, values: Image, work: Image) -> float:
    """Write the clipped differences to row 2 of `work`, 0 where a place has left the image; return their mean square.

    NaN, which no comparison keeps inside the image, counts as outside.
    """
    squares = 0.0
    seen = 0
    clip = np.float32(CLIP)
    for i in range(values.size):
        x, y = places[0, i] + work[0, i], places[1, i] + work[1, i]
        difference: np.float32 = np.float32(0.0)
        if _is_inside(image, x, y):
            difference = _between(image, x, y) - values[i]
            difference = min(max(difference, -clip), clip)
            seen += 1
        work[2, i] = difference
        squares += float(difference * difference)
    return squares / seen if seen > 0 else CLIP * CLIP


@njit("void(float32[:, ::1], float32[::1], float64[::1])", cache=True, nogil=True, fastmath=_FAST)
def _project(steepest: Image, differences: Image, gradient: Array) -> None:
    gradient[:] = 0.0
    for i in range(differences.size):
        for j in range(gradient.size):
            gradient[j] += steepest[i, j] * differences[i]


@njit(
    "float64(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1], float64[:, ::1],"
    " float64[::1], float64, int64, float64[:, ::1], float32[:, ::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _align(
    image: Image,
    places: Image,
    basis: Image,
    values: Image,
    steepest: Image,
    inverse: Array,
    prior: Array,
    length_px: float,
    most_steps: int,
    coefficients: Array,
    work: Image,
    gradient: Array,
) -> float:
    """See `align`."""
    count = coefficients.shape[0]
    for _ in range(most_steps):
        displace(basis, coefficients, work)
        _differences(image, places, values, work)
        _project(steepest, work[2], gradient)
        for k in range(count):
            gradient[2 * k] += prior[k] * coefficients[k, 0]
            gradient[2 * k + 1] += prior[k] * coefficients[k, 1]
        xx, xy = 1.0 + coefficients[1, 0] / length_px, coefficients[2, 0] / length_px
        yx, yy = coefficients[1, 1] / length_px, 1.0 + coefficients[2, 1] / length_px
        largest = 0.0
        for k in range(count):
            x = 0.0
            y = 0.0
            for j in range(2 * count):
                x += inverse[2 * k, j] * gradient[j]
                y += inverse[2 * k + 1, j] * gradient[j]
            step_x, step_y = xx * x + xy * y, yx * x + yy * y
            coefficients[k, 0] -= step_x
            coefficients[k, 1] -= step_y
            largest = max(largest, abs(step_x), abs(step_y))
        if not largest >= STEP_PX:
            break
    displace(basis, coefficients, work)
    return _differences(image, places, values, work)


@njit("UniTuple(float64, 2)(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])", cache=True, nogil=True)
def score_at(image: Image, places: Image, motion: Image, values: Image) -> tuple[float, float]:
    """ZNCC between `values` and an image at places + motion, and the share of the places that the image shows.

    Parameters
    ----------
    image : (rows, columns) float32; interpolated bilinearly
    places : (2, n) float32, x and y
    motion : (2 or more, n) float32, x and y in its first two rows
    values : (n,) float32

    Returns
    -------
    ZNCC over the places inside the image, 0 where either side is flat; and their share.
    """
    seen = 0
    ours = 0.0
    theirs = 0.0
    ours_squared = 0.0
    theirs_squared = 0.0
    product = 0.0
    for i in range(values.size):
        x, y = places[0, i] + motion[0, i], places[1, i] + motion[1, i]
        if _is_inside(image, x, y):
            value = np.float64(_between(image, x, y))
            own = np.float64(values[i])
            seen += 1
            ours += own
            theirs += value
            ours_squared += own * own
            theirs_squared += value * value
            product += own * value
    if seen == 0:
        return 0.0, 0.0
    spread = ours_squared - ours * ours / seen
    other_spread = theirs_squared - theirs * theirs / seen
    share = seen / values.size
    if not (spread > 1e-9 * ours_squared and other_spread > 1e-9 * theirs_squared):
        return 0.0, share
    return (product - ours * theirs / seen) / math.sqrt(spread * other_spread), share
