"""A multileaf collimator: pairs of leaves that form the plan's aperture where the target is, and what they miss. Pure.

Everything is in the plane through the isocentre: u along the travel of the leaves, v across it, mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from drivers.machines.drives import DriveLimits, Drives, Mm

ROWS_PER_LEAF = 14
"""Rows in which areas are summed: half a millimetre each."""


class CollimatorSettings(Struct, frozen=True, kw_only=True):
    """A collimator, by default like that of a 1.5 T MR-linac.

    Leaves are 7.1 mm wide (Zhang et al., AAPM 2020, abstract 51838). Conventional collimators reach 30 to 40 mm/s at
    500 to 700 mm/s2 (Zhang, Ye and Zhang 2017, PubMed 28291930). The latency of the controller is assumed.
    """

    leaf_width_mm: float = 7.1
    leaf_pairs: int = 20
    speed_mm_s: float = 30.0
    acceleration_mm_s2: float = 500.0
    latency_ms: float = 60.0


class Exposure(NamedTuple):
    """How an aperture differs from the plan's, moved to where the target is."""

    over_mm2: float
    """Open, but should be closed."""
    under_mm2: float
    """Closed, but should be open."""
    off_u_mm: float
    off_v_mm: float
    """From the centroid of the plan's aperture, moved with the target, to that of the present one."""


class Collimator:
    """Leaves that follow a displacement.

    Parameters
    ----------
    aperture_mm
        The aperture that the plan asks for, a polygon, (points, 2) of u and v.
    settings
        Leaves and drives.
    """

    def __init__(self, aperture_mm: Mm, settings: CollimatorSettings | None = None) -> None:
        self.settings = settings or CollimatorSettings()
        pairs, self._row_mm = self.settings.leaf_pairs, self.settings.leaf_width_mm / ROWS_PER_LEAF
        self._rows: Mm = self._row_mm * (
            np.arange(pairs * ROWS_PER_LEAF, dtype=np.float64) - (pairs * ROWS_PER_LEAF - 1) / 2
        )
        self._outline = _edges(np.asarray(aperture_mm, np.float64), self._rows)
        self._plan = self._rows_of(self._fit(0.0, 0.0))
        limits = DriveLimits(
            speed_mm_s=self.settings.speed_mm_s,
            acceleration_mm_s2=self.settings.acceleration_mm_s2,
            latency_ms=self.settings.latency_ms,
        )
        self._drives = Drives(self._fit(0.0, 0.0).ravel(), limits)

    def follow(self, t_s: float, u_mm: float, v_mm: float) -> None:
        """Ask for the aperture of a target that is displaced by (u, v) from its place in the plan."""
        self._drives.set_point(t_s, self._fit(u_mm, v_mm).ravel())

    def hold(self) -> None:
        """Let all leaves stand where they are."""
        self._drives.hold()

    def advance(self, t_s: float) -> Mm:
        """Move until `t_s`, and return the tips of the leaves, (2, pairs) of u."""
        return self._drives.advance(t_s).reshape(2, -1)

    def exposure(self, u_mm: float, v_mm: float) -> Exposure:
        """Compare the present aperture with the plan's, displaced by the target's true (u, v)."""
        now = self._rows_of(self._drives.position_mm.reshape(2, -1))
        true = self._moved(self._plan, u_mm, v_mm)
        opened, wanted = _length(now), _length(true)
        common = np.clip(np.fmin(now[1], true[1]) - np.fmax(now[0], true[0]), 0.0, None)
        common = np.where((opened > 0) & (wanted > 0), common, 0.0)
        (u, v), (true_u, true_v) = _centroid(now, self._rows), _centroid(self._plan, self._rows)
        return Exposure(
            float((opened - common).sum()) * self._row_mm,
            float((wanted - common).sum()) * self._row_mm,
            u - true_u - u_mm,
            v - true_v - v_mm,
        )

    def _fit(self, u_mm: float, v_mm: float) -> Mm:
        """Return the tips of the leaves, (2, pairs), for the plan's outline displaced by (u, v).

        A tip stands at the mean of the outline over the width of its leaf, which keeps the centroid where it should be
        (the median would leave a little less wrong area, but moves across the leaves by whole leaves). A pair of which
        less than half would be open closes in the middle of the aperture.
        """
        edges = self._moved(self._outline, u_mm, v_mm)
        by_leaf = edges.reshape(2, -1, ROWS_PER_LEAF)
        count = np.isfinite(by_leaf).sum(axis=2)
        tips = np.nansum(by_leaf, axis=2) / np.maximum(count, 1)
        return np.where(count >= ROWS_PER_LEAF / 2, tips, np.nanmean(edges))

    def _moved(self, edges: Mm, u_mm: float, v_mm: float) -> Mm:
        """Return edges on every row after a displacement by (u, v), (2, rows); NaN where there are none."""
        source = np.arange(len(self._rows)) - round(v_mm / self._row_mm)
        inside = (source >= 0) & (source < len(source))
        return np.where(inside, edges[:, np.clip(source, 0, len(source) - 1)] + u_mm, np.nan)

    def _rows_of(self, tips: Mm) -> Mm:
        return np.repeat(tips, ROWS_PER_LEAF, axis=1)


def circle(diameter_mm: float) -> Mm:
    """Return a circular aperture, (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    outline: Mm = 0.5 * diameter_mm * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return outline


def _edges(polygon: Mm, rows: Mm) -> Mm:
    """Return the outermost crossings of a polygon with each row, (2, rows); NaN where it has none."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    below, above = start[:, 1, None] <= rows, end[:, 1, None] <= rows
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (rows - start[:, 1, None]) / (end - start)[:, 1, None]
        crossing = np.where(below != above, start[:, 0, None] + part * (end - start)[:, 0, None], np.nan)
    found = (below != above).any(axis=0)
    edges = np.full((2, len(rows)), np.nan)
    edges[:, found] = np.nanmin(crossing[:, found], axis=0), np.nanmax(crossing[:, found], axis=0)
    return edges


def _length(edges: Mm) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.nan_to_num(np.clip(edges[1] - edges[0], 0.0, None))
    return lengths


def _centroid(edges: Mm, rows: Mm) -> tuple[float, float]:
    lengths = _length(edges)
    area = max(float(lengths.sum()), 1e-9)
    middle = np.nan_to_num(edges.mean(axis=0))
    return float(lengths @ middle) / area, float(lengths @ rows) / area
