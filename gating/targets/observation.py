"""The position of a structure as rules judge it: in one plane, or in 3D with a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray


class TargetObservation(Struct, frozen=True):
    """The observed or predicted position of one structure.

    Attributes
    ----------
    at_ns
        Time of acquisition, on the engine's clock.
    contour_px
        Float32 array (n, 2) of (x, y).
    displacement_mm
        Displacement of the centre from the reference frame, LPS; NaN if the structure was not found.
    through_mm
        Displacement along the plane's normal, LPS, as another plane shows it; 0 if none does.
    bound_mm
        How far the centre may be from `displacement_mm` along each axis, LPS; None if it is judged in the plane alone.
        Otherwise `displacement_mm` is in 3D.
    bound_px
        How far the contour may be from `contour_px` along x and y.
    """

    at_ns: int
    contour_px: NDArray[np.float32]
    displacement_mm: tuple[float, float, float]
    through_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bound_mm: tuple[float, float, float] | None = None
    bound_px: tuple[float, float] = (0.0, 0.0)

    @property
    def estimate(self) -> TargetObservation:
        """The same without its bound, still in 3D."""
        return replace(self, bound_mm=(0.0, 0.0, 0.0), bound_px=(0.0, 0.0))

    @property
    def farthest_mm(self) -> float:
        """Largest distance of the centre from its reference that the bound allows."""
        bound_mm = self.bound_mm or (0.0, 0.0, 0.0)
        return math.hypot(*(abs(away) + bound for away, bound in zip(self.displacement_mm, bound_mm, strict=True)))

    def contours_px(self, steps: Sequence[int] = (-1, 1)) -> list[NDArray[np.float32]]:
        """Return the contour at the corners of its bound; with a step of 0, in the middle of its sides too."""
        if self.bound_px == (0.0, 0.0):
            return [self.contour_px]
        x, y = self.bound_px
        return [(self.contour_px + np.array((a * x, b * y))).astype(np.float32) for a in steps for b in steps]


def length_mm(displacement_mm: ArrayLike) -> float:
    """Return the length of a displacement."""
    return float(np.sqrt(np.square(displacement_mm).sum()))
