"""The direct fit: the motion of a template from the intensities themselves, by inverse composition.

A motion is a sum of functions of the place, `gating.tracking.bending`, with a coefficient in x and one in y for each.
The steepest-descent images and the inverse Hessian belong to the template and are computed once; a step samples the
frame at the moved places, and projects the difference. A step is undone on the template's side and composed with the
motion so far; the composition is exact for affine motions, and of first order for the bending modes.

Large differences count no more than `CLIP`: something else is seen there. Every deformation is pulled to 0 as far as
noise could feign it: a usual size is known for each, and the noise is what the fit leaves. So a fit is the most
probable motion, and a small target in heavy noise is only shifted where a clear one of the same size is deformed.

Source: S. Baker, I. Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", Int. J. Comput. Vis. 56(3), 2004,
doi 10.1023/B:VISI.0000011205.11775.fd, sections 3.2 and 4; priors: part 4 of the same series, CMU-RI-TR-04-14.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import register_jitable
from numpy.typing import NDArray

from gating.tracking.bending import AFFINE
from gating.tracking.local_contrast import SMOOTHING_PX
from gating.tracking.sampling import INSIDE, LOWER, SEEN, UPPER, displace, look, sample, work_for

Array = NDArray[np.float64]
Image = NDArray[np.float32]

CLIP: Final = 0.5
"""Largest difference of local contrast that counts."""
USUAL_STRAIN: Final = 0.03
"""Standard deviation of the affine motion's gradients, dimensionless, other than a rotation's."""
USUAL_ROTATION: Final = 0.07
"""The same of a rotation, which strains nothing, rad."""
USUAL_BEND: Final = 0.0007
"""Standard deviation of a bending mode of energy 1, relative to the unit of length."""
NOISE_AREA_PX: Final = 4.0 * math.pi * SMOOTHING_PX**2
"""Pixels that share their noise after a Gaussian has smoothed it: 1 divided by the sum of its squares."""
LEAST_LIKENESS: Final = 0.1
STEP_PX: Final = 0.02
"""Once no coefficient changes by more, the motion is found."""
RIDGE: Final = 1e-6
_FAST = {"contract", "reassoc", "nsz"}


class FitProblem(NamedTuple):
    """What a template brings to a fit, for n places and K functions.

    Attributes
    ----------
    places : (2, n) float32
        x and y, px of the image.
    basis : (K, n) float32
        The functions there; the first three are affine.
    values : (n,) float32
        The template's image there.
    slopes : (2, n) float32
        Of the image in x and y; times a function, it changes so with that function's coefficient.
    axes : (2 K, 2 K) float64
        Rows: motions that the image and the prior tell apart. The image pulls each of them with 1.
    pulls : (2 K,) float64
        The prior's pull on them for a noise of 1.
    prior : (2 K, 2 K) float64
        Its pull of the coefficients to 0, likewise.
    shared : float
        Places that share their noise.
    length_px : float
        Unit of the affine functions.
    work : (WORK_ROWS, n) float32
        Motion, differences and pixels of the newest step, see `gating.tracking.sampling`.
    gradient : (2, 2 K) float64
        Its gradient by the coefficients, and along the axes.
    """

    places: Image
    basis: Image
    values: Image
    slopes: Image
    axes: Array
    pulls: Array
    prior: Array
    shared: float
    length_px: float
    work: Image
    gradient: Array


def prepare_fit(
    image: Image,
    places: Image,
    basis: Array,
    energies: Array,
    length_px: float,
    step_px: float,
    usual: float = 1.0,
) -> FitProblem:
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
    step_px : float
        Distance between neighbouring places.
    usual : float
        Size of the usual deformation, relative to that of a target between any two frames.
    """
    count, n = basis.shape[1], places.shape[1]
    functions = np.ascontiguousarray(basis.T, np.float32)
    values, after, before = (np.zeros(n, np.float32) for _ in range(3))
    work, slopes = work_for(n), np.empty((2, n), np.float32)
    sample(image, places, work, values)
    for axis in range(2):
        work[axis] = 0.5
        sample(image, places, work, after)
        work[axis] = -0.5
        sample(image, places, work, before)
        work[axis], slopes[axis] = 0.0, after - before
    flat = (functions[:, None] * slopes).reshape(2 * count, n)
    hessian = flat.astype(np.float64) @ flat.T
    ridge = RIDGE * (float(hessian[0, 0] + hessian[1, 1]) / 2.0 + 1e-9)
    prior = _prior(energies, length_px) / usual**2
    # Axes A with A H A' = 1 and A P A' diagonal, so that the inverse of H + noise P is A' / (1 + noise pulls) A.
    whitening = np.linalg.inv(np.linalg.cholesky(hessian + ridge * np.eye(2 * count)))
    pulls, rotation = np.linalg.eigh(whitening @ prior @ whitening.T)
    axes = np.ascontiguousarray(rotation.T @ whitening)
    shared = max(NOISE_AREA_PX / step_px**2, 1.0)
    gradient = np.zeros((2, 2 * count))
    return FitProblem(places, functions, values, slopes, axes, pulls, prior, shared, length_px, work, gradient)


def _prior(energies: Array, length_px: float) -> Array:
    """Return the pull of the coefficients to 0, (2 K, 2 K), for a noise of 1."""
    pulls = energies / (USUAL_BEND * length_px) ** 2
    pulls[1:AFFINE] = 1.0 / (USUAL_STRAIN * length_px) ** 2
    prior = np.diag(np.repeat(pulls, 2))
    turned = np.zeros(len(prior))
    turned[3], turned[4] = math.sqrt(0.5), -math.sqrt(0.5)  # y along x, and x along y
    prior += np.outer(turned, turned) * (1.0 / (USUAL_ROTATION * length_px) ** 2 - pulls[1])
    return np.asarray(prior, np.float64)


def align(problem: FitProblem, image: Image, coefficients: Array, most_steps: int, likeness: float = 1.0) -> float:
    """Move the template until it fits an image.

    Parameters
    ----------
    problem : FitProblem
    image : (rows, columns) float32
    coefficients : (K, 2) float64
        Where to begin, px; overwritten by what is found.
    most_steps : int
        0 leaves them as they are.
    likeness : float
        About the ZNCC of template and image. The rest of the template's structure is noise, and its slopes tell
        nothing of a motion; the pull of the image on the motion is smaller by that.

    Returns
    -------
    float
        Mean square of the clipped differences of all places inside the image, 0 to `CLIP` squared; that if none is.
    """
    return float(descend(image, problem, coefficients, most_steps, likeness))


@njit(
    "float64(float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    fastmath=_FAST,
)
def _differences(image: Image, places: Image, values: Image, work: Image) -> float:
    """Replace what is seen by its clipped differences, 0 where a place has left the image; return their mean square.

    NaN, which no comparison keeps inside the image, counts as outside.
    """
    count = look(image, places, work)
    seen, inside = work[SEEN], work[INSIDE]
    clip = np.float32(CLIP)
    squares: np.float32 = np.float32(0.0)
    for i in range(values.size):
        difference = min(max(seen[i] - values[i], -clip), clip) * inside[i]
        seen[i] = difference
        squares += difference * difference
    return np.float64(squares) / count if count > 0 else CLIP * CLIP


@njit("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float64[::1])", cache=True, nogil=True, fastmath=_FAST)
def _project(basis: Image, slopes: Image, work: Image, gradient: Array) -> None:
    """Write the gradient by the coefficients; it overwrites the pixels in `work`, which nothing needs any more."""
    differences, by_x, by_y, slope_x, slope_y = work[SEEN], work[UPPER], work[LOWER], slopes[0], slopes[1]
    for i in range(differences.size):
        by_x[i] = slope_x[i] * differences[i]
        by_y[i] = slope_y[i] * differences[i]
    last = basis.shape[0] - 1
    for k in range(0, last + 1, 2):  # by twos: a loaded product then serves both
        other = min(k + 1, last)
        first, second = basis[k], basis[other]
        x: np.float32 = np.float32(0.0)
        y: np.float32 = np.float32(0.0)
        other_x: np.float32 = np.float32(0.0)
        other_y: np.float32 = np.float32(0.0)
        for i in range(differences.size):
            x += first[i] * by_x[i]
            y += first[i] * by_y[i]
            other_x += second[i] * by_x[i]
            other_y += second[i] * by_y[i]
        gradient[2 * k], gradient[2 * k + 1] = x, y
        gradient[2 * other], gradient[2 * other + 1] = other_x, other_y


@njit("void(float64[:, ::1], float64[::1], float64, float64[:, ::1])", cache=True, nogil=True, fastmath=_FAST)
def _solve(axes: Array, pulls: Array, noise: float, gradient: Array) -> None:
    """Replace row 0 of `gradient` by the step of Gauss and Newton; row 1 has its part along each axis."""
    step, along = gradient[0], gradient[1]
    for i in range(pulls.size):
        total = 0.0
        for j in range(pulls.size):
            total += axes[i, j] * step[j]
        along[i] = total / (1.0 + noise * pulls[i])
    step[:] = 0.0
    for i in range(pulls.size):
        for j in range(pulls.size):
            step[j] += axes[i, j] * along[i]


_IMAGE, _MATRIX = types.float32[:, ::1], types.float64[:, ::1]
PROBLEM: Final = types.NamedTuple(
    (_IMAGE, _IMAGE, types.float32[::1], _IMAGE, _MATRIX, types.float64[::1], _MATRIX, types.float64, types.float64,
     _IMAGE, _MATRIX), FitProblem,
)  # fmt: skip
"""The type of a problem in a kernel."""


@njit(types.float64(_IMAGE, PROBLEM, _MATRIX, types.int64, types.float64), cache=True, nogil=True)
def descend(image: Image, problem: FitProblem, coefficients: Array, most_steps: int, likeness: float) -> float:
    """See `align`, which is this for Python."""
    p = problem
    step, count, length_px = p.gradient[0], coefficients.shape[0], p.length_px
    shared = p.shared / max(likeness, LEAST_LIKENESS)
    for _ in range(most_steps):
        displace(p.basis, coefficients, p.work)
        noise = shared * _differences(image, p.places, p.values, p.work)
        _project(p.basis, p.slopes, p.work, step)
        for i in range(step.size):
            for k in range(count):
                step[i] += noise * (p.prior[i, 2 * k] * coefficients[k, 0] + p.prior[i, 2 * k + 1] * coefficients[k, 1])
        _solve(p.axes, p.pulls, noise, p.gradient)
        xx, xy = 1.0 + coefficients[1, 0] / length_px, coefficients[2, 0] / length_px
        yx, yy = coefficients[1, 1] / length_px, 1.0 + coefficients[2, 1] / length_px
        largest = 0.0
        for k in range(count):
            x, y = step[2 * k], step[2 * k + 1]
            step_x, step_y = xx * x + xy * y, yx * x + yy * y
            coefficients[k, 0] -= step_x
            coefficients[k, 1] -= step_y
            largest = max(largest, abs(step_x), abs(step_y))
        if not largest >= STEP_PX:
            break
    displace(p.basis, coefficients, p.work)
    return _differences(image, p.places, p.values, p.work)


@register_jitable
def deviation_px(problem: FitProblem, function: Array, cost: float) -> float:
    """Return the standard deviation that noise leaves a motion after a fit, px, in its worst direction.

    Parameters
    ----------
    problem : FitProblem
    function : (K,) float64
        The motion, as a sum of the functions.
    cost : float
        What `align` returned.
    """
    noise = problem.shared * cost
    xx, xy, yy = 0.0, 0.0, 0.0
    for axis in range(problem.pulls.size):
        x, y = 0.0, 0.0
        for k in range(function.size):
            x += problem.axes[axis, 2 * k] * function[k]
            y += problem.axes[axis, 2 * k + 1] * function[k]
        weight = 1.0 / (1.0 + noise * problem.pulls[axis])
        xx, xy, yy = xx + weight * x * x, xy + weight * x * y, yy + weight * y * y
    largest = (xx + yy) / 2.0 + math.sqrt(((xx - yy) / 2.0) ** 2 + xy * xy)
    return math.sqrt(noise * largest)
