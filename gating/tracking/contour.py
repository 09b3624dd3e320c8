"""Contour propagation: the direct fit carries a template's outline to a frame.

The match gives the shift to about a pixel, and the frame before gives the deformation. From one or both of them the fit
finds the affine motion and the first bending modes under which the frame looks most like the template.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import mask_from_contour
from gating.tracking.bending import AFFINE, BendingModes
from gating.tracking.direct_fit import align, deviation_px, prepare_fit
from gating.tracking.local_contrast import Picture
from gating.tracking.sampling import sample, score_at

Array = NDArray[np.float64]

SAMPLES: Final = 1600
BENDING_MODES: Final = 10
COARSE_STEPS, FINE_STEPS = 10, 12
MAX_PRECISION_MM: Final = 20.0
MIN_SEEN: Final = 0.2
"""Least share of the template in the image for a score."""


class Propagation(Struct, frozen=True):
    """A contour carried to a frame, and how well the frame fits after it is moved back.

    Attributes
    ----------
    contour_px : (n, 2) float32
        Points (x, y) in the frame.
    content_px : tuple of float
        Centre (x, y) of what is inside: the reference centre, moved by the mean motion inside the contour.
    score : float
        ZNCC between the template and the frame moved back, over the target and the tissue around it.
    raw_score : float
        The same with the noise of both frames, which are smoothed otherwise.
    score_shifted : float
        `score` for the frame shifted by the mean motion, not deformed.
    shift_mm : float
        Distance of the mean motion from the match.
    strain : float
        Largest gradient of the affine motion, dimensionless.
    bending_mm : float
        Root mean square of the bending.
    precision_mm : float
        Standard deviation of the mean motion from noise and misfit, in its worst direction.
    beyond_image_px : float
        How far the contour reaches out of the image.
    cost : float
        Mean square of the clipped differences of local contrast.
    coefficients : (K, 2) float64
        The motion, see `gating.tracking.direct_fit`.
    """

    contour_px: NDArray[np.float32]
    content_px: tuple[float, float]
    score: float
    raw_score: float
    score_shifted: float
    shift_mm: float
    strain: float
    bending_mm: float
    precision_mm: float
    beyond_image_px: float
    cost: float
    coefficients: Array


class ContourFit:
    """The surroundings of one template, ready to be fitted to a frame.

    Parameters
    ----------
    picture : Picture
        The frame that the template is cut from.
    contour_px : (n, 2) float32
        Points (x, y) of the target in it.
    content_px : tuple of float
        Centre (x, y) of the content in it.
    margin_px : float
        Width of the tissue around the target that takes part in the fit.
    spacing_mm : float
        Size of a pixel.

    Raises
    ------
    ValueError
        If the target covers no pixel.
    """

    def __init__(
        self,
        picture: Picture,
        contour_px: NDArray[np.float32],
        content_px: tuple[float, float],
        margin_px: float,
        spacing_mm: float,
    ) -> None:
        self._spacing_mm, self._contour, self._content_px = spacing_mm, contour_px.astype(np.float64), content_px
        inside = mask_from_contour(contour_px, picture.fine.shape)
        width = 2 * round(margin_px) + 1
        around = cv2.dilate(inside.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        if not inside.any():
            raise ValueError("the target covers no pixel")
        around = picture.bands.outside(np.asarray(around, np.uint8))
        self._length_px = max(math.sqrt(np.count_nonzero(inside) / math.pi), 2.0)
        step = _step(around)
        wide_step = max(2.0 * step, picture.step)
        places, few = _lattice(around, step), _lattice(around, wide_step)
        low, high = places.min(axis=1).astype(np.float64), places.max(axis=1).astype(np.float64)
        modes = BendingModes(low, high, self._contour.mean(axis=0), self._length_px, BENDING_MODES)
        self._fine = prepare_fit(picture.fine, places, modes.at(places.T), modes.energies, self._length_px, step)
        self._coarse_step = picture.step
        self._coarse = prepare_fit(
            picture.coarse,
            ((few - (picture.step - 1) / 2.0) / picture.step).astype(np.float32),
            np.ascontiguousarray(modes.at(few.T)[:, :AFFINE]),
            modes.energies[:AFFINE],
            self._length_px / picture.step,
            wide_step / picture.step,
        )
        self._point_basis = modes.at(self._contour)
        self._content_basis = modes.at(_lattice(inside, _step(inside)).T).mean(axis=0)
        self._smooth = np.zeros(places.shape[1], np.float32)
        sample(picture.smooth, places, np.zeros_like(places), self._smooth)
        self._raw = np.zeros(places.shape[1], np.float32)
        sample(picture.raw, places, np.zeros_like(places), self._raw)
        self._begun, self._continued = np.zeros((2, AFFINE + BENDING_MODES, 2))
        self._affine = np.zeros((AFFINE, 2))
        self._last: Array | None = None

    def keep(self, moved: Propagation) -> None:
        """Begin the next fit with this motion as well."""
        self._last = moved.coefficients

    def propagate(self, picture: Picture, shift_x: float, shift_y: float, likeness: float) -> Propagation:
        """Carry the contour to a frame in which the template was found, shifted by (shift_x, shift_y) px.

        `likeness` is the ZNCC with which it was found.
        """
        self._begin(picture, shift_x, shift_y, likeness)
        fitted = self._fit(picture, self._begun, likeness)
        if self._last is not None:
            self._continued[:] = self._last
            fitted = min(fitted, self._fit(picture, self._continued, likeness), key=lambda one: one.cost)
        return self._propagation(fitted, picture, shift_x, shift_y)

    def _begin(self, picture: Picture, shift_x: float, shift_y: float, likeness: float) -> None:
        """Begin with the affine motion on the coarse grid: it reaches farther than the fine one."""
        affine = self._affine
        affine[:] = 0.0
        affine[0] = shift_x / self._coarse_step, shift_y / self._coarse_step
        align(self._coarse, picture.coarse, affine, COARSE_STEPS, likeness)
        self._begun[:] = 0.0
        np.multiply(affine, self._coarse_step, out=self._begun[:AFFINE])

    def _fit(self, picture: Picture, coefficients: Array, likeness: float) -> _Fitted:
        cost = align(self._fine, picture.fine, coefficients, FINE_STEPS, likeness)
        score, seen = score_at(picture.smooth, self._fine.places, self._fine.work, self._smooth)
        if not seen >= MIN_SEEN:
            return _Fitted(coefficients, cost, 0.0, 0.0)
        raw_score, _ = score_at(picture.raw, self._fine.places, self._fine.work, self._raw)
        return _Fitted(coefficients, cost, score, raw_score)

    def _propagation(self, fitted: _Fitted, picture: Picture, shift_x: float, shift_y: float) -> Propagation:
        motion = fitted.coefficients.copy()
        contour = (self._contour + self._point_basis @ motion).astype(np.float32)
        x, y = (float(value) for value in self._content_basis @ motion)
        return Propagation(
            contour,
            (self._content_px[0] + x, self._content_px[1] + y),
            fitted.score,
            fitted.raw_score,
            self._score_shifted(picture, x, y),
            math.hypot(x - shift_x, y - shift_y) * self._spacing_mm,
            float(np.abs(motion[1:AFFINE]).max()) / self._length_px,
            math.sqrt(float((motion[AFFINE:] ** 2).sum())) * self._spacing_mm,
            min(deviation_px(self._fine, self._content_basis, fitted.cost) * self._spacing_mm, MAX_PRECISION_MM),
            beyond_image_px(contour, picture.fine.shape),
            fitted.cost,
            motion,
        )

    def _score_shifted(self, picture: Picture, x: float, y: float) -> float:
        work = self._fine.work
        work[0], work[1] = x, y
        score, seen = score_at(picture.smooth, self._fine.places, work, self._smooth)
        return score if seen >= MIN_SEEN else 0.0


class _Fitted(Struct, frozen=True):
    """A motion, its cost on the full grid, and its scores, smoothed and raw."""

    coefficients: Array
    cost: float
    score: float
    raw_score: float


def _step(mask: NDArray[Any]) -> float:
    """Return the step of a lattice with about `SAMPLES` places inside a mask."""
    return max(math.sqrt(np.count_nonzero(mask) / SAMPLES), 1.0)


def _lattice(mask: NDArray[Any], step: float) -> NDArray[np.float32]:
    """Return the places (x, y), (2, n), of a lattice inside a mask; its pixels themselves for a step of 1."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    ys, xs = (np.arange(at[0] + (step - 1.0) / 2.0, at[-1] + 0.01, step) for at in (rows, columns))
    x, y = (axis.ravel() for axis in np.meshgrid(xs, ys))
    inside = mask[np.round(y).astype(int), np.round(x).astype(int)] > 0
    return np.ascontiguousarray(np.stack([x[inside], y[inside]]), np.float32)


def beyond_image_px(contour: NDArray[np.float32], shape: tuple[int, ...]) -> float:
    """Return how far a contour reaches beyond the outer edges of an image's pixels, px."""
    edge = np.array([shape[1], shape[0]]) - 0.5
    return max(float(np.max(-0.5 - contour)), float(np.max(contour - edge)), 0.0)
