"""Carries a structure of a volume into the plane of an image, with what tells whether to believe it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gating.errors import CinegateError
from gating.geometry.contours import contour_from_mask
from gating.geometry.plane import ImagePlane
from gating.registration.quality import Limits, Quality, contrast, doubts, local_agreement, surroundings
from gating.registration.slice_to_volume import Alignment, Points, align, pixel_centres, through


class RegistrationError(CinegateError, ValueError):
    """A structure cannot be carried over. One sentence."""


class Solid(Protocol):
    """A structure of a plan, as `drivers.recordings.rtstruct.Structure` is."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def contains(self, points_mm: Points) -> NDArray[np.bool_]:
        """Return which LPS points (..., 3) lie in it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A structure in the plane of an image.

    Attributes
    ----------
    contour_px
        (n, 2) of (x, y); empty if the plane does not cut it.
    mask
        (rows, columns) pixels inside.
    alignment
        Where each pixel lies in the volume.
    quality, doubts
        What was measured, and what is beyond its limit.
    shift_lps_mm
        From where the structure's middle is in the volume to where it is in the patient now, rigid part.
    """

    contour_px: NDArray[np.float32]
    mask: NDArray[np.bool_]
    alignment: Alignment
    quality: Quality
    doubts: tuple[str, ...]
    shift_lps_mm: tuple[float, float, float]


def carry(
    volume: Any,
    structure: Solid,
    middle_mm: NDArray[np.float64],
    pixels: NDArray[Any],
    plane: ImagePlane,
    *,
    surrogate: bool = False,
    unseen: NDArray[np.float64] | None = None,
    limits: Limits | None = None,
) -> Carried:
    """Carry a structure from its volume into the plane of an image.

    Parameters
    ----------
    volume
        `SimpleITK.Image` in which the structure was drawn, LPS.
    structure
        The structure.
    middle_mm
        (3,) LPS, its middle.
    pixels, plane
        Image of the cine, and where it is.
    surrogate
        Whether the structure is meant to be none of the plan's targets.
    unseen
        Direction along which the volume tells nothing, (3,) LPS; None if it tells all.
    limits
        Of the measures, beyond which they are doubts.

    Raises
    ------
    RegistrationError
        If volume and plane do not meet, or the registration fails; one sentence.
    """
    try:
        found = align(volume, pixels, plane, middle_mm)
    except RuntimeError as error:
        asked = "do they show the same place?"
        reason = f"{asked} ({str(error).strip().splitlines()[-1][:200]})"
        text = f"{structure.name}: the volume cannot be registered to the image; {reason}"
        raise RegistrationError(text) from None
    shape = pixels.shape[0], pixels.shape[1]
    mask = _cut(structure, found, plane, shape)
    box = surroundings(mask, plane.spacing_mm)
    spread_mm = max(
        _apart_mm(mask, _cut(structure, replace(found, rigid=again), plane, shape), plane) for again in found.others
    )
    inverse = found.rigid.GetInverse()
    at_mm = np.array(inverse.TransformPoint(middle_mm.tolist()))
    shift_mm = at_mm - middle_mm
    if unseen is not None:
        shift_mm -= (shift_mm @ unseen) * unseen
    deformed_mm = np.linalg.norm(found.shift_px * (plane.spacing_mm[1], plane.spacing_mm[0]), axis=-1)
    quality = Quality(
        covered=float(np.isfinite(found.resliced)[box].mean()) if box.any() else 0.0,
        agreement=local_agreement(pixels, found.resliced, box, plane.spacing_mm),
        contrast=contrast(pixels, box),
        spread_mm=spread_mm,
        translation_mm=float(np.linalg.norm(shift_mm)),
        rotation_deg=found.rotation_deg,
        deformation_mm=float(deformed_mm[box].max()) if box.any() else 0.0,
        area_ratio=_area_ratio(structure, found, plane, mask),
    )
    lr, ap, si = map(float, shift_mm)
    contour = contour_from_mask(mask) if mask.any() else np.empty((0, 2), np.float32)
    doubted = doubts(quality, structure.name, surrogate=surrogate, limits=limits)
    return Carried(contour, mask, found, quality, doubted, (lr, ap, si))


def _cut(structure: Solid, found: Alignment, plane: ImagePlane, shape: tuple[int, int]) -> NDArray[np.bool_]:
    return structure.contains(through(found.rigid, pixel_centres(plane, shape, found.shift_px)))


def _apart_mm(a: NDArray[np.bool_], b: NDArray[np.bool_], plane: ImagePlane) -> float:
    """Return the distance between the centres of two masks; infinite if one is empty."""
    if not (a.any() and b.any()):
        return float("inf")
    away_px = [float(np.mean(i) - np.mean(j)) for i, j in zip(np.nonzero(a), np.nonzero(b), strict=True)]
    return math.hypot(away_px[0] * plane.spacing_mm[0], away_px[1] * plane.spacing_mm[1])


def _area_ratio(structure: Solid, found: Alignment, plane: ImagePlane, mask: NDArray[np.bool_]) -> float:
    """Return the area of the cut, over the largest in parallel planes up to 60 mm away."""
    normal = np.cross(plane.along_columns, plane.along_rows)
    points = pixel_centres(plane, (mask.shape[0], mask.shape[1]), found.shift_px)
    areas = [int(structure.contains(through(found.rigid, points + away * normal)).sum()) for away in range(-60, 61, 6)]
    largest = max(*areas, int(mask.sum()))
    return float(mask.sum()) / largest if largest else 0.0
