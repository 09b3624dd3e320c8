"""Contour propagation: optical flow around the matched place carries a template's outline to a frame.

The match gives the rigid shift. DIS optical flow, from the template's surroundings to those in the frame at that shift,
gives the remaining motion. Flow is only as good as the texture under it, so an affine motion is fitted to it, weighted
by texture and robust to outliers. The rest of the flow is smoothed with the same weights, and fades to zero where there
is no texture.

Sources: T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, doi 10.1007/978-3-319-46493-0_29;
normalised convolution: H. Knutsson, C.-F. Westin, CVPR 1993, doi 10.1109/CVPR.1993.341081.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import mask_from_contour
from gating.tracking.motion_fit import fit_affine, motion_at, score_at

Image = NDArray[np.float32]

MAX_REGION_PX = 96
CONTEXT_MM = 10.0
GREY_MEAN, GREY_STD = 90.0, 36.0
TEXTURE_NOISE = 6.0
OUTLIER_MM = 5.0
SMOOTHING = 0.08
SHRINKAGE = 0.04
STRAIN_RIDGE = 0.02
ROBUST_ROUNDS = 2
QUICK, THOROUGH = (0, 10), (2, 25)
"""Iterations of variational refinement and of gradient descent. After the match, the quick flow usually suffices."""
FAR_PX = 1.0
"""Beyond this motion the thorough flow is computed: it reaches farther."""
NOISE_AREA_PX = 4.0
MAX_PRECISION_MM = 20.0
MIN_SEEN = 0.2
"""Least share of the template in the image for a fit to that part alone."""


class Propagation(Struct, frozen=True):
    """A contour carried to a frame, and how well the frame fits after it is moved back.

    Attributes
    ----------
    contour_px : (n, 2) float32
        Points (x, y) in the frame.
    score : float
        ZNCC inside the template's mask between the template and the frame moved back by the fitted motion.
    shift_mm : float
        Length of the mean motion beyond the match.
    strain : float
        Largest gradient of the fitted affine motion, dimensionless.
    scatter_mm : float
        Weighted deviation of the flow from the fitted affine motion.
    precision_mm : float
        Standard deviation of the position from noise and misfit, in its worst direction.
    beyond_image_px : float
        How far the contour reaches out of the image.
    """

    contour_px: NDArray[np.float32]
    score: float
    shift_mm: float
    strain: float
    scatter_mm: float
    precision_mm: float
    beyond_image_px: float


class _Part(Struct, frozen=True):
    """The part of a template's surroundings that a motion is fitted to.

    Attributes
    ----------
    mask8 : (rows, columns) uint8
        Mask of the region, above 0 where it counts.
    rows, columns, basis, weights : arrays
        Places on the half grid, see `gating.tracking.motion_fit.fit_affine`.
    places, place_basis, values : arrays
        Every pixel of the mask, its row of the basis, and its normalised grey value.
    """

    mask8: NDArray[np.uint8]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    basis: NDArray[np.float64]
    weights: NDArray[np.float64]
    places: NDArray[np.float64]
    place_basis: NDArray[np.float64]
    values: NDArray[np.float64]


class _Motion(Struct, frozen=True):
    """A motion fitted to a flow, see `gating.tracking.motion_fit`: px of the region, strain dimensionless."""

    affine: NDArray[np.float64]
    rest: NDArray[np.float32]
    shrinkage: float
    scatter: float
    strain: float


def make_flow(rounds: tuple[int, int]) -> Any:
    """Return DIS optical flow; `bench/compare_contours.py` replaces it by others.

    The medium preset with fewer iterations, because the fit smooths anyway: without variational refinement a third of
    the time is saved at the same accuracy (`docs/tracking.md`).
    """
    opencv: Any = cv2
    flow = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setVariationalRefinementIterations(rounds[0])
    flow.setGradientDescentIterations(rounds[1])
    return flow


class ContourFlow:
    """The surroundings of one template, ready to be compared with the same place in a frame.

    Parameters
    ----------
    frame : (rows, columns) float32
        The frame that the template is cut from.
    contour_px : (n, 2) float32
        Points (x, y) of the target in it.
    margin_px : float
        Width of the tissue around the target that takes part in the fit.
    spacing_mm : float
        Size of a pixel.
    """

    def __init__(self, frame: Image, contour_px: NDArray[np.float32], margin_px: float, spacing_mm: float) -> None:
        self._spacing_mm = spacing_mm
        low, high = contour_px.min(axis=0), contour_px.max(axis=0)
        self._centre = (low + high).astype(np.float64) / 2.0
        side = np.ceil(high - low + 2.0 * (margin_px + CONTEXT_MM / spacing_mm)).astype(int) + 1
        self._size = (int(side[0]), int(side[1]))
        self._scale = min(1.0, MAX_REGION_PX / float(side.max()))
        self._flows = make_flow(QUICK), make_flow(THOROUGH)
        self._contour = contour_px.astype(np.float64)
        region = self._region(frame, 0.0, 0.0)
        rows, columns = region.shape
        self._points = self._to_region(self._contour)
        reach = 2 * round(margin_px * self._scale) + 1
        inside = mask_from_contour(self._points, (rows, columns)).astype(np.uint8)
        around = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        mask8 = self._in_image(np.asarray(around, np.uint8), frame.shape, 0.0, 0.0)
        self._region8 = _to_grey(region, mask8)
        self._prepare_fit(inside.astype(bool), mask8)
        # This allocates their buffers now, not between a frame and its answer.
        for flow in self._flows:
            flow.calc(self._region8, self._region8, None)

    def _prepare_fit(self, inside: NDArray[np.bool_], mask8: NDArray[np.uint8]) -> None:
        """Compute texture weights and the affine basis, on every second pixel: the flow is no finer."""
        mask = mask8.astype(bool)
        texture, self._information = _texture(self._region8, mask)
        self._texture_weights = np.where(mask, texture / (texture + TEXTURE_NOISE), 0.0) + 1e-4 * mask
        self._half_shape = mask[::2, ::2].shape
        self._length = max(float(np.sqrt(inside.sum() / np.pi)), 2.0)
        self._middle = self._points.mean(axis=0)
        self._point_basis = self._affine_basis(self._points)
        self._blur_px = max(SMOOTHING * self._length, 2.0) / 2.0 + 1.0
        self._whole = self._part(mask8)
        corners = np.array([self._whole.places.min(axis=0), self._whole.places.max(axis=0)])
        self._ends = np.reshape((corners + 0.5) / self._scale - 0.5 + self._corner(), -1).tolist()

    def _part(self, mask8: NDArray[np.uint8]) -> _Part:
        mask = mask8.astype(bool)
        kept = mask[::2, ::2]
        rows, columns = (np.ascontiguousarray(axis, np.int64) for axis in np.nonzero(kept))
        places = np.ascontiguousarray(np.argwhere(mask)[:, ::-1], np.float64)
        return _Part(
            mask8,
            rows,
            columns,
            self._affine_basis(np.stack([2.0 * columns, 2.0 * rows], axis=1)),
            self._texture_weights[::2, ::2][kept].astype(np.float64),
            places,
            self._affine_basis(places),
            _normalised(self._region8[mask]),
        )

    def _in_image(
        self, mask8: NDArray[np.uint8], shape: tuple[int, ...], shift_x: float, shift_y: float
    ) -> NDArray[np.uint8]:
        """Return the part of a mask of the region that lies in an image of (rows, columns)."""
        ends = np.array([[0.0, 0.0], [shape[1] - 1.0, shape[0] - 1.0]])
        (left, top), (right, bottom) = self._to_region(ends - (shift_x, shift_y)).tolist()
        rows, columns = np.arange(mask8.shape[0])[:, None], np.arange(mask8.shape[1])
        within = (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)
        return np.asarray(mask8 * within, np.uint8)

    def _seen(self, shape: tuple[int, ...], shift_x: float, shift_y: float) -> tuple[_Part, bool]:
        """Return the part in the image at that shift, all if that is too little, and whether any of it is cut off."""
        whole = self._whole
        left, top, right, bottom = self._ends
        if left + shift_x >= 0 and top + shift_y >= 0 and right + shift_x < shape[1] and bottom + shift_y < shape[0]:
            return whole, False
        mask8 = self._in_image(whole.mask8, shape, shift_x, shift_y)
        pixels = int(np.count_nonzero(mask8))
        cut = pixels < len(whole.places)
        return self._part(mask8) if cut and pixels >= MIN_SEEN * len(whole.places) else whole, cut

    def _affine_basis(self, points: NDArray[Any]) -> NDArray[np.float64]:
        offset = (points - self._middle) / self._length
        return np.column_stack([np.ones(len(points)), offset])

    def _region(self, pixels: NDArray[Any], shift_x: float, shift_y: float) -> Image:
        x, y = float(self._centre[0] + shift_x), float(self._centre[1] + shift_y)
        width, height = self._size
        left, top = (max(math.floor(at - side / 2) - 1, 0) for at, side in ((x, width), (y, height)))
        around = pixels[top : top + height + 4, left : left + width + 4].astype(np.float32)
        if not around.size:
            around, left, top = pixels.astype(np.float32), 0, 0
        region = cv2.getRectSubPix(around, self._size, (x - left, y - top))
        if self._scale < 1.0:
            region = cv2.resize(region, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA)
        return np.asarray(region, np.float32)

    def _to_region(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        local: NDArray[np.float64] = (points - self._corner() + 0.5) * self._scale - 0.5
        return local

    def _corner(self) -> NDArray[np.float64]:
        """Return x and y of the region's first pixel in the template's frame."""
        corner: NDArray[np.float64] = self._centre - (np.array(self._size) - 1) / 2.0
        return corner

    def propagate(self, frame: NDArray[Any], shift_x: float, shift_y: float) -> Propagation:
        """Carry the contour to a frame in which the template was found, shifted by (shift_x, shift_y) px."""
        seen, cut = self._seen(frame.shape, shift_x, shift_y)
        region = self._region(frame, shift_x, shift_y)
        region8 = _to_grey(region, seen.mask8)
        moved = np.empty_like(self._points)
        for flow in self._flows:
            fit = self._fit(flow.calc(self._region8, region8, None), seen)
            farthest_px, mean_px = motion_at(
                self._points, self._point_basis, fit.rest, fit.shrinkage, fit.affine, moved
            )
            if farthest_px <= FAR_PX:
                break
        contour = (self._contour + moved / self._scale + (shift_x, shift_y)).astype(np.float32)
        back = np.empty_like(seen.places)
        motion_at(seen.places, seen.place_basis, fit.rest, fit.shrinkage, fit.affine, back)
        score = score_at(region8, seen.places, back, seen.values)
        misfit = GREY_STD**2 * max(1.0 - score * abs(score), 1e-4)
        scale_mm = self._spacing_mm / self._scale
        return Propagation(
            contour,
            score,
            mean_px * scale_mm,
            fit.strain,
            fit.scatter * scale_mm,
            min(math.sqrt(misfit * NOISE_AREA_PX / self._information) * scale_mm, MAX_PRECISION_MM),
            _beyond(contour, frame.shape) if cut else 0.0,
        )

    def _fit(self, flow: NDArray[np.float32], seen: _Part) -> _Motion:
        outlier = OUTLIER_MM * self._scale / self._spacing_mm
        affine, rest = np.empty((3, 2)), np.empty((*self._half_shape, 3), np.float32)
        places = (seen.rows, seen.columns, seen.basis, seen.weights)
        mean_weight, scatter = fit_affine(flow, *places, outlier, STRAIN_RIDGE, ROBUST_ROUNDS, affine, rest)
        strain = max(map(abs, affine[1:].ravel().tolist())) / self._length
        rest = np.asarray(cv2.GaussianBlur(rest, (0, 0), self._blur_px), np.float32)
        return _Motion(affine, rest, SHRINKAGE * mean_weight + 1e-6, scatter, strain)


def _beyond(contour: NDArray[np.float32], shape: tuple[int, ...]) -> float:
    """Return how far a contour reaches beyond the outer edges of an image's pixels, px."""
    edge = np.array([shape[1], shape[0]]) - 0.5
    return max(float(np.max(-0.5 - contour)), float(np.max(contour - edge)), 0.0)


def _to_grey(region: Image, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an 8-bit image whose mean and deviation inside the mask are the same for every frame."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(region, mask=mask))
    gain = GREY_STD / deviation if deviation > 0 else 0.0
    return np.asarray(cv2.addWeighted(region, gain, region, 0.0, GREY_MEAN - mean * gain, dtype=cv2.CV_8U), np.uint8)


def _normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    values = pixels.astype(np.float64)
    values -= values.mean()
    norm = float(np.linalg.norm(values))
    return values / norm if norm > 0 else values


def _texture(region8: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[Image, float]:
    """Return how well the texture fixes both components of a motion: at every pixel, and in all inside the mask.

    Both are the smaller eigenvalue of the structure tensor, (grey levels per px)^2, once smoothed and once summed.

    Source: J. Shi, C. Tomasi, "Good features to track", CVPR 1994.
    """
    grey = region8.astype(np.float32)
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
    tensor = (dx * dx, dy * dy, dx * dy)
    xx, yy, xy = (np.asarray(cv2.GaussianBlur(product, (0, 0), 2.5), np.float32) for product in tensor)
    whole = np.array([[product[mask].sum()] for product in tensor], np.float32)
    return _smaller_eigenvalue(xx, yy, xy), max(float(_smaller_eigenvalue(whole[0], whole[1], whole[2])[0]), 1e-6)


def _smaller_eigenvalue(xx: Image, yy: Image, xy: Image) -> Image:
    return np.asarray(0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy), np.float32)
