"""Outlines of a structure in parallel planes: their areas, the gaps between planes, and distances to them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SINGLE_PLANE_MM: Final = 2.5
"""Half the thickness of a structure drawn on one plane only."""
CHUNK_POINTS: Final = 1_000_000

Points = NDArray[np.float64]


def half_gaps(at: Points) -> tuple[float, float]:
    """Return how far a structure continues below its first contour and above its last, mm."""
    if len(at) < 2:
        return SINGLE_PLANE_MM, SINGLE_PLANE_MM
    return float(at[1] - at[0]) / 2, float(at[-1] - at[-2]) / 2


def area_vector(contour: Points) -> Points:
    """Return the area of a closed contour (n, 3) times the normal of its plane."""
    away = contour - contour[0]
    area: Points = np.cross(away, np.roll(away, -1, axis=0)).sum(axis=0) / 2
    return area


def signed_distances(outlines: list[Points], points: Points) -> Points:
    """Return the distance of points (n, 2) to the nearest outline, positive inside (even-odd, so holes are outside)."""
    starts = np.concatenate(outlines)
    ends = np.concatenate([np.roll(outline, -1, axis=0) for outline in outlines])
    edges = ends - starts
    lengths = np.maximum((edges**2).sum(axis=1), 1e-12)
    signed = np.empty(len(points))
    step = max(1, CHUNK_POINTS // len(starts))
    for first in range(0, len(points), step):
        x, y = points[first : first + step, :1], points[first : first + step, 1:]
        share = ((x - starts[:, 0]) * edges[:, 0] + (y - starts[:, 1]) * edges[:, 1]) / lengths
        np.clip(share, 0, 1, out=share)
        squared = (x - starts[:, 0] - share * edges[:, 0]) ** 2 + (y - starts[:, 1] - share * edges[:, 1]) ** 2
        straddles = (starts[:, 1] > y) != (ends[:, 1] > y)
        rise = np.where(edges[:, 1] == 0, 1.0, edges[:, 1])
        right = starts[:, 0] + (y - starts[:, 1]) / rise * edges[:, 0] > x
        inside = (straddles & right).sum(axis=1) % 2 == 1
        signed[first : first + step] = np.sqrt(squared.min(axis=1)) * np.where(inside, 1, -1)
    return signed
