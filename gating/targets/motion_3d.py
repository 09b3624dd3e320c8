"""Where a structure is in 3D, from planes that show it in turn, in any order and at any rate. Pure.

A plane shows two directions. Along its normal, the structure is where another plane showed it last, moved on by what
the two have in common (`gating.targets.coupling`), within a bound that grows with the age of that sighting. Where no
other plane is at least 30 degrees away, as in parallel slices, a preparation must have taught the coupling.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from msgspec import Struct

from gating.geometry.plane import ImagePlane
from gating.settings.three_d import CouplingSettings, ThreeDSettings
from gating.targets.coupling import Coupling, Prepared, Sighting
from gating.targets.position_3d import MIN_SHARE

Vector = tuple[float, float, float]
_SPEED_OVER_NS: Final = 500_000_000
"""Speed is the change over this time, whatever the rate of the frames, so that all planes mean the same by it."""
_ALONG: Final = 0.95
"""Cosine from which on two directions count as the same; 18 degrees."""


class Place(Struct, frozen=True):
    """The displacement of a structure in 3D at the acquisition of a frame.

    Attributes
    ----------
    displacement_mm
        From the reference, LPS; along a direction that is not known, 0.
    bound_mm
        How far it may be from there along each axis, LPS; infinite where it is not known.
    across_mm
        The part of `displacement_mm` along the normal of the frame's plane, LPS.
    unknown
        Why a direction is not known; empty if all are.
    """

    displacement_mm: Vector
    bound_mm: Vector
    across_mm: Vector
    unknown: str = ""

    @property
    def known_bound_mm(self) -> Vector | None:
        """The bound; None where nothing bounds a direction."""
        return None if self.unknown else self.bound_mm


@dataclass(slots=True)
class _View:
    """A plane that shows the structure, and its newest sightings, back to `_SPEED_OVER_NS` ago."""

    along: tuple[Vector, Vector]
    normal: Vector
    prepared: CouplingSettings | None
    seen: deque[tuple[int, Vector]] = field(default_factory=deque)
    first_ns: int | None = None

    def speed_mm_s(self, along: Vector) -> float:
        """Return the mean speed in a direction since `_SPEED_OVER_NS` ago, interpolated; 0 for the first sighting.

        Differences are taken within a plane, as planes whose references differ disagree on where 0 is.
        """
        if len(self.seen) < 2:
            return 0.0
        now_ns, now_mm = self.seen[-1]
        (before_ns, before_mm), (after_ns, after_mm) = self.seen[0], self.seen[1]
        then_ns = max(now_ns - _SPEED_OVER_NS, before_ns)
        before, after = _dot(along, before_mm), _dot(along, after_mm)
        then = before + (after - before) * (then_ns - before_ns) / max(1, after_ns - before_ns)
        return (_dot(along, now_mm) - then) / max(1, now_ns - then_ns) * 1e9


@dataclass(frozen=True, slots=True)
class _Pair:
    """How one plane shows the normal of another.

    `common` lies in both planes, and `aside` in the other plane, at a right angle to it: `aside = share * normal +
    leaning`, with `leaning` in the first plane.
    """

    common: Vector
    aside: Vector
    share: float
    leaning: Vector
    coupling: Coupling


class StructureMotion:
    """The motion of one structure.

    Parameters
    ----------
    name
        Of the structure, or of a target that belongs to none.
    settings
        `[gating.three_d]`.
    """

    def __init__(self, name: str, settings: ThreeDSettings) -> None:
        self._settings = settings
        self._prepared = [one for one in settings.couplings if one.structure == name]
        self._views: dict[str, _View] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        """By the plane whose normal is estimated, and the plane that shows it."""

    def add_plane(self, name: str, plane: ImagePlane) -> None:
        """Take another plane that shows the structure."""
        columns, rows = _vector(plane.along_columns), _vector(plane.along_rows)
        normal = _vector(np.cross(plane.along_columns, plane.along_rows))
        view = _View((columns, rows), normal, next((o for o in self._prepared if _tells(o, normal)), None))
        for other_name, other in self._views.items():
            for mine, its in ((name, other_name), (other_name, name)):
                pair = self._pair(*((view, other) if mine == name else (other, view)))
                if pair is not None:
                    self._pairs[mine, its] = pair
        self._views[name] = view

    def _pair(self, view: _View, other: _View) -> _Pair | None:
        common = np.cross(view.normal, other.normal)
        length = float(np.linalg.norm(common))
        if not length**2 >= MIN_SHARE:
            return None
        common /= length
        aside = np.cross(other.normal, common)
        share = float(aside @ view.normal)
        leaning = aside - share * np.array(view.normal)
        found = _vector(common), _vector(aside)
        return _Pair(*found, share, _vector(leaning), Coupling(self._settings, self._taught(*found)))

    def _taught(self, along: Vector, across: Vector) -> Prepared | None:
        for one in self._prepared:
            signs = _dot(one.along_lps, along), _dot(one.across_lps, across)
            if min(abs(signs[0]), abs(signs[1])) >= _ALONG:
                turn = math.copysign(1.0, signs[0] * signs[1])
                return Prepared(turn * one.slope, turn * one.lag_s, one.growth_mm_s)
        return None

    @property
    def couplings(self) -> list[tuple[Vector, Vector, Coupling]]:
        """The learned couplings: direction along, direction across, and what was learned."""
        return [(pair.common, pair.aside, pair.coupling) for pair in self._pairs.values()]

    def see(self, plane: str, away_mm: Vector, at_ns: int) -> Place:
        """Take a sighting: a displacement in a plane, LPS, mm, at a time on the source's clock; return the place."""
        view = self._views[plane]
        if view.seen and view.first_ns is not None and at_ns <= view.seen[-1][0]:
            # Time that runs backwards is that of another clock: what was seen before tells no speed.
            view.first_ns -= view.seen[-1][0] - at_ns
            view.seen.clear()
        view.seen.append((at_ns, away_mm))
        while len(view.seen) > 2 and view.seen[1][0] <= at_ns - _SPEED_OVER_NS:
            view.seen.popleft()
        view.first_ns = at_ns if view.first_ns is None else view.first_ns
        for (_, shown_by), pair in self._pairs.items():
            if shown_by == plane:
                speed_mm_s = view.speed_mm_s(pair.common)
                along_mm, across_mm = _dot(pair.common, away_mm), _dot(pair.aside, away_mm)
                pair.coupling.observe(Sighting(at_ns, along_mm, speed_mm_s, across_mm))
        across_mm, bound_mm, unknown = self._across(plane, view, away_mm, at_ns)
        x, y, z = view.normal
        step = (across_mm * x, across_mm * y, across_mm * z)
        whole = (away_mm[0] + step[0], away_mm[1] + step[1], away_mm[2] + step[2])
        return Place(whole, self._box(view, bound_mm), step, unknown)

    def learn(self) -> None:
        """Learn from the sightings since the last call; it can wait until a frame's command has been sent."""
        for pair in self._pairs.values():
            pair.coupling.learn()

    def _across(self, plane: str, view: _View, away_mm: Vector, at_ns: int) -> tuple[float, float, str]:
        """Return the displacement along a plane's normal, its bound, and why it is not known."""
        shown = [
            (pair.coupling.bound_mm(at_ns) / abs(pair.share), other, pair)
            for (mine, other), pair in self._pairs.items()
            if mine == plane and pair.coupling.last is not None
        ]
        if not shown:
            return self._prepared_across(plane, view, away_mm, at_ns)
        bound_mm, other, pair = min(shown, key=lambda one: one[0])
        coupling = pair.coupling
        aside_mm = coupling.estimate_mm(_dot(pair.common, away_mm), view.speed_mm_s(pair.common))
        across_mm = (aside_mm - _dot(pair.leaning, away_mm)) / pair.share
        unknown = ""
        if not math.isfinite(bound_mm):
            needed = self._settings.learn_frames
            unknown = (
                f"how far it may be across the {plane} plane is being learned: {coupling.errors} of {needed} sightings "
                f"in the {other} plane"
            )
        return across_mm, bound_mm, unknown

    def _prepared_across(self, plane: str, view: _View, away_mm: Vector, at_ns: int) -> tuple[float, float, str]:
        taught = view.prepared
        if taught is None or view.first_ns is None:
            text = f"no other plane shows where it is across the {plane} plane, and no preparation has taught it"
            return 0.0, math.inf, text
        speed_mm_s = view.speed_mm_s(taught.along_lps)
        across_mm = taught.slope * _dot(taught.along_lps, away_mm) + taught.lag_s * speed_mm_s
        minutes = max(0, at_ns - view.first_ns) / 60e9
        bound_mm = taught.bound_mm + taught.drift_mm_per_min * minutes
        return across_mm * _dot(taught.across_lps, view.normal), bound_mm, ""

    def _box(self, view: _View, across_mm: float) -> Vector:
        """Return the bound along each axis: that of a measurement in the plane, and the one across it."""
        (c, r), n = view.along, view.normal
        seen_mm = self._settings.measured_mm
        bounds = [
            seen_mm * (abs(c[axis]) + abs(r[axis])) + (across_mm * abs(n[axis]) if n[axis] else 0.0)
            for axis in range(3)
        ]
        return bounds[0], bounds[1], bounds[2]


def _tells(taught: CouplingSettings, normal: Vector) -> bool:
    """Whether a preparation has taught what happens along a plane's normal, from a direction in the plane."""
    return abs(_dot(taught.across_lps, normal)) >= _ALONG and abs(_dot(taught.along_lps, normal)) <= 1 - _ALONG


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _vector(array: np.ndarray) -> Vector:
    x, y, z = array.tolist()
    return x, y, z
