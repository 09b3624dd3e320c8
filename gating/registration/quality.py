"""How far an alignment may be believed: measures, each with a limit, and the doubts that follow."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, laplace, uniform_filter

AROUND_MM: Final = 25.0
"""What lies this far around the contour must agree too: a target alone tells little."""
_WINDOW_MM: Final = 12.0
TARGET_NAME: Final = re.compile(r"^(z_?)?(i?gtv|i?ctv|ptv|itv|target|tumou?r)", re.IGNORECASE)
"""Names of targets after AAPM TG-263, section on target nomenclature (doi:10.1016/j.ijrobp.2017.12.013)."""


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of the measures: conventions of this project, set on the phantom volumes of `bench.registration`."""

    least_covered: float = 0.95
    least_agreement: float = 0.95
    least_contrast: float = 3.0
    most_spread_mm: float = 1.5
    most_translation_mm: float = 20.0
    most_rotation_deg: float = 12.0
    most_deformation_mm: float = 8.0
    least_area_ratio: float = 0.5


class Quality(Struct, frozen=True, kw_only=True):
    """What was measured of one alignment.

    Attributes
    ----------
    covered
        Share of the surroundings that the volume covers.
    agreement
        Local correlation of image and resliced volume around the contour, its magnitude, 0 to 1.
    contrast
        Structure of the image around the contour over its noise.
    spread_mm
        Largest distance between the contour's centres by registrations from other starts.
    translation_mm, rotation_deg
        Size of the rigid part.
    deformation_mm
        Largest shift of the deformation around the contour.
    area_ratio
        Area of the contour over the largest that the structure has in any parallel plane.
    """

    covered: float
    agreement: float
    contrast: float
    spread_mm: float
    translation_mm: float
    rotation_deg: float
    deformation_mm: float
    area_ratio: float


def surroundings(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> NDArray[np.bool_]:
    """Return the box around a mask, wider by `AROUND_MM`."""
    rows, columns = np.nonzero(mask)
    box = np.zeros(mask.shape, np.bool_)
    if rows.size:
        dy, dx = (round(AROUND_MM / one) for one in spacing_mm)
        box[max(0, rows.min() - dy) : rows.max() + dy + 1, max(0, columns.min() - dx) : columns.max() + dx + 1] = True
    return box


def local_agreement(a: NDArray[Any], b: NDArray[Any], box: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Return how two images correlate in windows around each pixel of a box, 0 to 1.

    Each window counts as much as both images vary in it, so that noise in even tissue tells nothing. The sign is not
    used, as contrast may be inverted from organ to organ.
    """
    size = [max(3, round(_WINDOW_MM / one)) for one in spacing_mm]
    known = np.isfinite(b)
    x, y = (np.where(known, np.nan_to_num(image), 0.0).astype(np.float64) for image in (a, b))
    share = uniform_filter(known.astype(np.float64), size)
    usable = box & (share > 0.5)
    if not usable.any():
        return 0.0

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        averaged: NDArray[np.float64] = uniform_filter(image, size)[usable] / share[usable]
        return averaged

    mean_x, mean_y = mean(x), mean(y)
    variances = (mean(x * x) - mean_x**2) * (mean(y * y) - mean_y**2)
    covariance = mean(x * y) - mean_x * mean_y
    varies = float(np.sqrt(np.maximum(variances, 0.0)).sum())
    return float(np.abs(covariance).sum()) / varies if varies > 0 else 0.0


def contrast(pixels: NDArray[Any], box: NDArray[np.bool_]) -> float:
    """Return the standard deviation of what is smooth in a box, over that of the noise.

    The noise is told by the median magnitude of a Laplacian of four neighbours, whose squares add up to 20.
    """
    image = np.asarray(pixels, np.float64)
    if not box.any():
        return 0.0
    noise = 1.4826 * float(np.median(np.abs(laplace(image)[box]))) / math.sqrt(20.0)
    structure = float(np.std(gaussian_filter(image, 2.0)[box]))
    return structure / noise if noise > 0 else (float("inf") if structure > 0 else 0.0)


def doubts(quality: Quality, name: str, *, surrogate: bool = False, limits: Limits | None = None) -> tuple[str, ...]:
    """Return a sentence for each measure beyond its limit; empty if there is none.

    Parameters
    ----------
    quality
        What was measured.
    name
        Of the structure.
    surrogate
        Whether the structure is meant to be none of the plan's targets.
    """
    most = limits or Limits()
    checks = (
        (surrogate or TARGET_NAME.match(name) is not None, f"{name} is no target by its name (TG-263)"),
        (quality.covered >= most.least_covered, _least("covered", quality.covered, most.least_covered)),
        (quality.agreement >= most.least_agreement, _least("agreement", quality.agreement, most.least_agreement)),
        (quality.contrast >= most.least_contrast, _least("contrast", quality.contrast, most.least_contrast)),
        (quality.spread_mm <= most.most_spread_mm, _most("spread_mm", quality.spread_mm, most.most_spread_mm)),
        (
            quality.translation_mm <= most.most_translation_mm,
            _most("translation_mm", quality.translation_mm, most.most_translation_mm),
        ),
        (
            quality.rotation_deg <= most.most_rotation_deg,
            _most("rotation_deg", quality.rotation_deg, most.most_rotation_deg),
        ),
        (
            quality.deformation_mm <= most.most_deformation_mm,
            _most("deformation_mm", quality.deformation_mm, most.most_deformation_mm),
        ),
        (quality.area_ratio >= most.least_area_ratio, _least("area_ratio", quality.area_ratio, most.least_area_ratio)),
    )
    return tuple(sentence for kept, sentence in checks if not kept)


def _least(name: str, value: float, limit: float) -> str:
    return f"{name} is {value:.2f}; {limit:g} or more is needed"


def _most(name: str, value: float, limit: float) -> str:
    return f"{name} is {value:.2f}; {limit:g} or less is needed"
