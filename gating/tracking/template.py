"""Templates: the target's appearance in one frame, and the search for all of them in another.

A search runs on a reduced grid over the whole search region, then on the full grid around the best placements. It
returns for every template its best placement and the best rival at another place; the confidence judges them.

A target near the image's edge may move half out of it. There the last line of the image is repeated, so that a template
fits where only a part of it is visible. The repeated lines lower the score; they never raise it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid, mask_from_contour
from gating.tracking.contour import ContourFit
from gating.tracking.rivals import best_two, doubt
from gating.tracking.tracker import TrackingError
from gating.tracking.zncc.matcher import TemplateMatcher

Image = NDArray[np.float32]

COARSE_TEMPLATE_PX = 20
MAX_REDUCTION = 6
MIN_TEMPLATE_MM = 24.0
MAX_REFINED = 4


class Placement(Struct, frozen=True):
    """One template at one place.

    Attributes
    ----------
    template : int
        Index in the list of templates.
    x_px, y_px : float
        Centre of the target if it is there.
    score : float
        ZNCC on the full grid.
    preference : float
        Score minus the cost of the distance from the expected place.
    lead : float
        Score on the reduced grid minus the best one of the same template at another place.
    at_edge : bool
        The placement touches the border of its window.
    """

    template: int
    x_px: float
    y_px: float
    score: float
    preference: float
    lead: float
    at_edge: bool


@dataclass(slots=True)
class Template:
    """What the target looked like in one frame.

    Attributes
    ----------
    centre_px : tuple of float
        Centre (x, y) of the target in that frame.
    contour_px : (n, 2) float32
        Points (x, y) of the target in that frame.
    top, left : int
        First row and column of the patch, multiples of `reduction`.
    reduction : int
        Pixels of the full grid, along each side, in one pixel of the reduced grid.
    fine, coarse : TemplateMatcher
        The patch on the full and on the reduced grid.
    fit : ContourFit
    generation : int
        0 for the reference, otherwise one more than its parent's.
    born_s, used_s : float
        When it was accepted and when it last won, since the reference.
    """

    centre_px: tuple[float, float]
    contour_px: NDArray[np.float32]
    top: int
    left: int
    reduction: int
    fine: TemplateMatcher
    coarse: TemplateMatcher
    fit: ContourFit
    generation: int = 0
    born_s: float = 0.0
    used_s: float = field(default=0.0)


def reduction_for(contour_px: NDArray[np.float32], margin_px: float) -> int:
    """Return how many pixels of the full grid, along each side, make one pixel of the reduced grid."""
    side = float(np.sqrt(np.prod(np.ptp(contour_px, axis=0) + 2.0 * margin_px)))
    return int(np.clip(round(side / COARSE_TEMPLATE_PX), 1, MAX_REDUCTION))


def margin_for(contour_px: NDArray[np.float32], margin_mm: float, spacing_mm: float) -> float:
    """Return the margin in px; small targets get more, so that their templates are unmistakable."""
    smaller_mm = float(np.ptp(contour_px, axis=0).min()) * spacing_mm
    return max(margin_mm, (MIN_TEMPLATE_MM - smaller_mm) / 2.0) / spacing_mm


def reduce(pixels: NDArray[Any], reduction: int) -> Image:
    """Return the block means of a frame, without the last rows and columns that do not fill a block."""
    if reduction == 1:
        return np.asarray(pixels, np.float32)
    rows, columns = (side // reduction for side in pixels.shape)
    whole = pixels[: rows * reduction, : columns * reduction]
    if whole.dtype == np.uint8:  # a mean rounded to 8 bits would be coarser than the noise
        whole = whole.astype(np.float32)
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def masked_around(contour_px: NDArray[np.float32], margin_px: float, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a mask, 0 or 1, of a target and the tissue around it in a frame of (rows, columns)."""
    inside = mask_from_contour(contour_px, (shape[0], shape[1])).astype(np.uint8)
    width = 2 * round(margin_px) + 1
    return np.asarray(cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))), np.uint8)


def cut_template(
    pixels: NDArray[Any],
    reduced: Image,
    contour_px: NDArray[np.float32],
    fit: ContourFit,
    margin_px: float,
    reach_px: int,
) -> Template:
    """Cut a template and its mask out of a frame.

    Parameters
    ----------
    pixels : (rows, columns) real numbers
    reduced : (n, m) float32
        Its block means.
    contour_px : (n, 2) float32
        Points (x, y) of the target in it.
    fit : ContourFit
        Of the same contour in the same frame.
    margin_px : float
        Width of the tissue around the target that belongs to the template.
    reach_px : int
        Largest radius of a search.

    Raises
    ------
    TrackingError
        If the target has no contrast there, or the template leaves no room in the frame.
    """
    frame = np.asarray(pixels, np.float32)
    reduction = frame.shape[0] // reduced.shape[0]
    mask = masked_around(contour_px, margin_px, frame.shape)
    coarse_mask = reduce(mask.astype(np.float32), reduction) >= 0.5
    rows, columns = np.flatnonzero(coarse_mask.any(axis=1)), np.flatnonzero(coarse_mask.any(axis=0))
    if not len(rows) or not len(columns):
        raise TrackingError("the target covers no pixel of the reduced frame")
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = int(rows[0]) * reduction, int(columns[0]) * reduction
    fine = np.s_[top : (int(rows[-1]) + 1) * reduction, left : (int(columns[-1]) + 1) * reduction]
    patch = frame[fine]
    if patch.shape[0] >= frame.shape[0] - 2 or patch.shape[1] >= frame.shape[1] - 2:
        raise TrackingError(
            f"the template of {patch.shape[0]} x {patch.shape[1]} px (target and margin) leaves no room to move in the "
            f"frame of {frame.shape[0]} x {frame.shape[1]} px"
        )
    try:
        return Template(
            contour_centroid(contour_px),
            np.asarray(contour_px, np.float32),
            top,
            left,
            reduction,
            TemplateMatcher(patch, mask=mask[fine] > 0, max_radius_px=reduction + 2),
            TemplateMatcher(reduced[here], mask=coarse_mask[here], max_radius_px=reach_px // reduction + 2),
            fit,
        )
    except ValueError as error:
        raise TrackingError(f"the target cannot be used as a template: {error}") from error


class SearchRegion(Struct, frozen=True):
    """Where to search: around an expected centre, at a cost that grows with the distance from it.

    Attributes
    ----------
    x_px, y_px : float
        Expected centre of the target.
    radius_px : float
        Distance of the farthest placement.
    free_px : float
        Distance that costs nothing.
    cost_per_px : float
        Cost of every further px, in units of the score.
    """

    x_px: float
    y_px: float
    radius_px: float
    free_px: float
    cost_per_px: float

    def cost(self, x_px: float, y_px: float, score: float) -> float:
        """Return the cost of a target centre at a place, found with that score."""
        excess = math.hypot(x_px - self.x_px, y_px - self.y_px) - self.free_px
        return self.cost_per_px * excess * doubt(score) if excess > 0.0 else 0.0


def place(
    templates: list[Template], pixels: NDArray[Any], reduced: Image, reach: SearchRegion, apart_px: float
) -> list[Placement]:
    """Return the best placements of all templates, at most two separate ones of each, best first.

    A second placement at the border of its window is the slope of something else, and is left out.

    Parameters
    ----------
    templates : list of Template
    pixels : (rows, columns) uint8, uint16 or float32
        The frame.
    reduced : (n, m) float32
        Its block means.
    reach : SearchRegion
    apart_px : float
        Placements farther apart than this are different places.
    """
    border = _border(templates, pixels.shape, reach)
    if border:
        pixels, reduced = continued(pixels, border * templates[0].reduction), continued(reduced, border)
    peaks = []
    for index, template in enumerate(templates):
        best, *second = _coarse_peaks(template, reduced, border, reach, apart_px)
        peaks += [(index, best, True), *((index, peak, False) for peak in second)]
    peaks.sort(key=lambda entry: -entry[1].preference)
    found = []
    for index, peak, foremost in peaks[:MAX_REFINED]:
        placement = _refine(index, templates[index], pixels, border, peak, reach)
        if foremost or not placement.at_edge:
            found.append(placement)
    return sorted(found, key=lambda placement: -placement.preference)


def _border(templates: list[Template], shape: tuple[int, ...], reach: SearchRegion) -> int:
    """Return how far to continue the image, px of the reduced grid: the target may leave it by half a template."""
    needed = 0.0
    for template in templates:
        x, y = template.centre_px
        for side, first, length, at, expected in (
            (shape[0], template.top, template.fine.shape[0], y, reach.y_px),
            (shape[1], template.left, template.fine.shape[1], x, reach.x_px),
        ):
            start = first + expected - at
            out = max(reach.radius_px - start, start + length + reach.radius_px - side)
            needed = max(needed, min(out, length / 2.0))
    return math.ceil(needed / templates[0].reduction)


def continued(pixels: NDArray[Any], border_px: int) -> NDArray[Any]:
    """Return an image with its outermost lines repeated `border_px` times on every side."""
    sides = (border_px,) * 4
    return np.asarray(cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_REPLICATE))


def place_at(
    index: int, template: Template, pixels: NDArray[Any], x_px: float, y_px: float, reach: SearchRegion
) -> Placement:
    """Return the placement of a template near a proposed target centre; it has no lead."""
    step = template.reduction
    border = max(template.fine.shape) // (2 * step) + 1
    row = round(template.top + y_px - template.centre_px[1]) + border * step
    column = round(template.left + x_px - template.centre_px[0]) + border * step
    return _refine(index, template, continued(pixels, border * step), border, _Peak(row, column, 0.0, 0.0), reach)


class _Peak(Struct, frozen=True):
    """Top-left row and column on the continued full grid, lead over the template's other peak."""

    row: int
    column: int
    lead: float
    preference: float


def _coarse_peaks(template: Template, reduced: Image, border: int, reach: SearchRegion, apart_px: float) -> list[_Peak]:
    """Return the best peak on the reduced grid, and the best one apart from it if the window leaves room for one."""
    step = template.reduction
    row = (template.top + reach.y_px - template.centre_px[1]) / step + border
    column = (template.left + reach.x_px - template.centre_px[0]) / step + border
    height, width = template.coarse.shape
    within_row = min(max(round(row), 0), reduced.shape[0] - height)
    within_column = min(max(round(column), 0), reduced.shape[1] - width)
    radius = min(math.ceil(reach.radius_px / step), template.coarse.max_radius_px)
    scores, top, left = template.coarse.surface(reduced, within_row, within_column, radius)
    r, c, preference, r2, c2, rival = best_two(
        scores, row - top, column - left, step, reach.free_px, reach.cost_per_px, apart_px
    )
    if r2 < 0:
        return [_Peak((top + r) * step, (left + c) * step, float(scores[r, c]), preference)]
    lead = float(scores[r, c] - scores[r2, c2])
    return [
        _Peak((top + r) * step, (left + c) * step, lead, preference),
        _Peak((top + r2) * step, (left + c2) * step, -lead, rival),
    ]


def _refine(
    index: int, template: Template, frame: NDArray[Any], border: int, peak: _Peak, reach: SearchRegion
) -> Placement:
    height, width = template.fine.shape
    row = min(max(peak.row, 0), frame.shape[0] - height)
    column = min(max(peak.column, 0), frame.shape[1] - width)
    match = template.fine.match(frame, row, column, template.fine.max_radius_px)
    border_px = border * template.reduction
    x = template.centre_px[0] + match.col - border_px - template.left
    y = template.centre_px[1] + match.row - border_px - template.top
    cost = reach.cost(x, y, match.score)
    return Placement(index, x, y, match.score, match.score - cost, peak.lead, match.at_edge)
