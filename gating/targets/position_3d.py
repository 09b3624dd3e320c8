"""The 3D position of a structure from two interleaved planes. Each alone shows nothing along its normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gating.geometry.plane import ImagePlane

PositionMm = tuple[float, float, float]
MIN_SHARE = 0.25
"""Least squared share of one plane's normal that the other must show: planes at least 30 degrees apart."""


@dataclass(frozen=True, slots=True)
class PlanePosition:
    """The position of a structure in one plane."""

    plane: ImagePlane
    position_mm: PositionMm
    """LPS, in the plane."""
    acquired_ns: int
    """Stamp of the source's own clock, so that the difference of two is exact."""


def position_in_3d(newest: PlanePosition, other: PlanePosition) -> tuple[PositionMm, PositionMm] | None:
    """Return the position (LPS, mm) and the age of each coordinate (ms); None for nearly parallel planes.

    None as well where the other plane was seen later: its stamp is of another clock, before this one began anew.

    The position in the newest plane is kept, including the superior-inferior coordinate if both planes show it. Only
    the step along that plane's normal comes from the other plane: of all points on the normal through the newest
    position, take the one that, projected onto the other plane, is closest to the position found there.
    """
    normal = np.cross(newest.plane.along_columns, newest.plane.along_rows)
    axes = np.stack([other.plane.along_columns, other.plane.along_rows])
    seen = axes @ normal
    share = float(seen @ seen)
    if not share >= MIN_SHARE or other.acquired_ns > newest.acquired_ns:
        return None
    here, there = np.asarray(newest.position_mm), np.asarray(other.position_mm)
    step_mm = float(seen @ (axes @ (there - here))) / share
    x, y, z = here + step_mm * normal
    age_ms = (newest.acquired_ns - other.acquired_ns) / 1e6
    shown = newest.plane.shown_axes().values()
    ages = [0.0 if axis in shown else age_ms for axis in range(3)]
    return (float(x), float(y), float(z)), (ages[0], ages[1], ages[2])
