"""Where a structure is in 3D, from what two interleaved planes show of it. Each alone is blind along its normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gating.geometry.plane import ImagePlane

PositionMm = tuple[float, float, float]
LEAST_SEEN = 0.25
"""Squared share of a plane's normal that another must show to say anything of it: planes at least 30 degrees apart."""


@dataclass(frozen=True, slots=True)
class PlanePosition:
    """A structure as one plane showed it."""

    plane: ImagePlane
    position_mm: PositionMm
    """LPS, in the plane."""
    acquired_ns: int
    """The source's own stamp: the difference of two is exact, wherever they lie on our clock."""


def position_in_3d(newest: PlanePosition, other: PlanePosition) -> tuple[PositionMm, PositionMm] | None:
    """Return the position (LPS, mm) and how old each coordinate is (ms); None for planes that are nearly parallel.

    What the newest plane shows is taken from it, superior-inferior too where both show it. Only the step along its
    normal comes from the other: of all points under the newest position, the one that lies closest to the other
    position, seen in that one's plane.
    """
    normal = np.cross(newest.plane.along_columns, newest.plane.along_rows)
    axes = np.stack([other.plane.along_columns, other.plane.along_rows])
    seen = axes @ normal
    share = float(seen @ seen)
    if not share >= LEAST_SEEN:
        return None
    here, there = np.asarray(newest.position_mm), np.asarray(other.position_mm)
    step_mm = float(seen @ (axes @ (there - here))) / share
    x, y, z = here + step_mm * normal
    age_ms = (newest.acquired_ns - other.acquired_ns) / 1e6
    shown = newest.plane.shown_axes().values()
    ages = [0.0 if axis in shown else age_ms for axis in range(3)]
    return (float(x), float(y), float(z)), (ages[0], ages[1], ages[2])
