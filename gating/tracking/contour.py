"""Contour propagation: the direct fit carries a template's outline to a frame.

The match gives the shift to about a pixel, and the frame before gives the deformation. From one or both of them the fit
finds the affine motion and the first bending modes under which the frame looks most like the template.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import mask_from_contour
from gating.tracking.bending import AFFINE, BendingModes
from gating.tracking.carrying import FOUND, carry
from gating.tracking.direct_fit import prepare_fit
from gating.tracking.local_contrast import Picture
from gating.tracking.sampling import sample, work_for

Array = NDArray[np.float64]

SAMPLES: Final = 1600
BENDING_MODES: Final = 10
MAX_PRECISION_MM: Final = 20.0
FIELD_PX: Final = 8
"""Grid on which the motion of a whole frame is computed."""


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
    usual : float
        How large a deformation is believed, relative to the usual one.

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
        usual: float = 1.0,
    ) -> None:
        self._spacing_mm, self._contour, self._content_px = spacing_mm, contour_px.astype(np.float64), content_px
        self._shape = picture.fine.shape
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
        modes = self._modes = BendingModes(low, high, self._contour.mean(axis=0), self._length_px, BENDING_MODES)
        self._fine = prepare_fit(picture.fine, places, modes.at(places.T), modes.energies, self._length_px, step, usual)
        self._coarse = prepare_fit(
            picture.coarse,
            ((few - (picture.step - 1) / 2.0) / picture.step).astype(np.float32),
            np.ascontiguousarray(modes.at(few.T)[:, :AFFINE]),
            modes.energies[:AFFINE],
            self._length_px / picture.step,
            wide_step / picture.step,
            usual,
        )
        self._point_basis = modes.at(self._contour)
        self._content_basis = modes.at(_lattice(inside, _step(inside)).T).mean(axis=0)
        self._smooth = np.zeros(places.shape[1], np.float32)
        sample(picture.smooth, places, work_for(places.shape[1]), self._smooth)
        self._raw = np.zeros(places.shape[1], np.float32)
        sample(picture.raw, places, work_for(places.shape[1]), self._raw)
        self._begun, self._continued, self._last = np.zeros((3, AFFINE + BENDING_MODES, 2))
        self._affine, self._found = np.zeros((AFFINE, 2)), np.zeros(FOUND)
        self._is_warm = False

    def keep(self, moved: Propagation) -> None:
        """Begin the next fit with this motion as well."""
        self._last[:], self._is_warm = moved.coefficients, True

    def moved_back(self, frame: NDArray[Any], moved: Propagation) -> NDArray[np.float32]:
        """Return a whole frame, (rows, columns), as it would look without a motion; slow, for a preparation."""
        rows, columns = self._shape
        field = (self._field_basis @ moved.coefficients).astype(np.float32)
        to_x, to_y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        fine = cv2.remap(field, to_x / FIELD_PX, to_y / FIELD_PX, cv2.INTER_LINEAR)
        seen = np.asarray(frame, np.float32)
        moved_x, moved_y = to_x + fine[..., 0], to_y + fine[..., 1]
        back = cv2.remap(seen, moved_x, moved_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(back, np.float32)

    @cached_property
    def _field_basis(self) -> Array:
        """The functions all over the frame, on a grid of `FIELD_PX`: (n, m, K), once for all the frames moved back."""
        x, y = np.meshgrid(*(np.arange(-(-length // FIELD_PX) + 1) * FIELD_PX for length in self._shape[::-1]))
        return self._modes.at(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*x.shape, -1)

    def propagate(self, picture: Picture, shift_x: float, shift_y: float, likeness: float) -> Propagation:
        """Carry the contour to a frame in which the template was found, shifted by (shift_x, shift_y) px.

        `likeness` is the ZNCC with which it was found.
        """
        contour = np.empty(self._contour.shape, np.float32)
        motion = np.empty_like(self._begun)
        carry(
            picture.fine, picture.coarse, picture.smooth, picture.raw, self._fine, self._coarse, self._smooth,
            self._raw, shift_x, shift_y, float(picture.step), likeness, self._last, self._is_warm, self._affine,
            self._begun, self._continued, self._contour, self._point_basis, self._content_basis, motion, contour,
            self._found,
        )  # fmt: skip
        cost, score, raw_score, score_shifted, x, y, strain, bend_px, deviation, beyond_px = self._found.tolist()
        return Propagation(
            contour,
            (self._content_px[0] + x, self._content_px[1] + y),
            score,
            raw_score,
            score_shifted,
            math.hypot(x - shift_x, y - shift_y) * self._spacing_mm,
            strain,
            bend_px * self._spacing_mm,
            min(deviation * self._spacing_mm, MAX_PRECISION_MM),
            beyond_px,
            cost,
            motion,
        )


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
