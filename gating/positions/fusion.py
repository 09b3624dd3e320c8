"""One position in 3D from the planes that show a structure, and which of its axes they leave unknown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.messages import AxesMm
from gating.positions.plane_track import InPlane

UNSEEN_SD_MM: Final = 30.0
"""Standard deviation, around the reference, of a coordinate that no plane shows: anatomy, not a prediction."""
MAX_SD_MM: Final = 5.0
"""A coordinate that is less certain counts as unknown. It is so along the normal of a plane that is alone."""

_UPPER: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
Covariance = tuple[float | None, float | None, float | None, float | None, float | None, float | None]


def fuse(reference_mm: tuple[float, float, float], planes: Sequence[InPlane]) -> tuple[AxesMm, Covariance]:
    """Return the position (LPS, mm) and its covariance (xx, xy, xz, yy, yz, zz); None where no plane shows it.

    The planes' predictions are combined by their inverse covariances (generalised least squares), with the reference
    as a weak prior, so that any number of planes in any directions is one case.

    Source: Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 3.4.
    """
    information = np.eye(3) / UNSEEN_SD_MM**2
    weighted = information @ np.asarray(reference_mm)
    for plane in planes:
        weight = plane.axes.T @ np.linalg.inv(plane.covariance_mm2)
        information += weight @ plane.axes
        weighted += weight @ plane.position_mm
    covariance = np.linalg.inv(information)
    return _known(covariance @ weighted, np.asarray(covariance, np.float64))


def shown_axes(planes: Sequence[NDArray[np.float64]]) -> tuple[bool, bool, bool]:
    """Return which LPS axes planes with these directions show, each (2, 3)."""
    exact = [InPlane(axes, np.zeros(2), np.full((2, 2), 1e-4) * np.eye(2)) for axes in planes]
    x, y, z = fuse((0.0, 0.0, 0.0), exact)[0]
    return x is not None, y is not None, z is not None


def _known(position: NDArray[np.float64], covariance: NDArray[np.float64]) -> tuple[AxesMm, Covariance]:
    known = np.sqrt(covariance.diagonal()) <= MAX_SD_MM
    x, y, z = (float(value) if is_known else None for value, is_known in zip(position, known, strict=True))
    xx, xy, xz, yy, yz, zz = (float(covariance[i, j]) if known[i] and known[j] else None for i, j in _UPPER)
    return (x, y, z), (xx, xy, xz, yy, yz, zz)
