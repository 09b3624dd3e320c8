"""The rules on a single observation: a target in its window, an organ at risk out of one. Pure.

Comparisons are written `not (x <= limit)` so that NaN holds the beam.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from gating.decision.reasons import GateReason
from gating.settings.rules import AvoidanceRule, BoundaryRule, CentreRule, OverlapRule
from gating.targets.observation import TargetObservation, length_mm

_AXES = (("lr_mm", "LR"), ("ap_mm", "AP"), ("si_mm", "SI"))


class Region(Protocol):
    """A region of the image plane: `gating.targets.boundary.GatingBoundary`."""

    def out_fraction(self, contour_px: NDArray[np.float32]) -> float:
        """Return the fraction of a contour's area outside the region, 0 to 1; 1 for a contour without area."""
        ...


class WindowRule(ABC):
    """A rule that depends on a single observation, and so applies to a predicted one too."""

    reason: GateReason

    def __init__(self) -> None:
        self._violation = "not seen yet"

    @abstractmethod
    def judge(self, observation: TargetObservation) -> str:
        """Return a phrase that describes how an observation breaks the rule; empty if it does not."""

    def update(self, observation: TargetObservation) -> None:
        """Judge the newest observation."""
        self._violation = self.judge(observation)

    def violation(self, now_ns: int) -> str:
        """Return how the newest observation breaks the rule; empty if it does not."""
        return self._violation


class BoundaryWindow(WindowRule):
    """Limits the percentage of the target outside its boundary, as on the MRIdian: Lamb et al. 2017, PMC5689863."""

    reason = GateReason.OUT_OF_WINDOW

    def __init__(self, settings: BoundaryRule, boundary: Region) -> None:
        super().__init__()
        self._max_out_fraction, self._boundary = settings.max_out_fraction, boundary
        self.out_fraction = 1.0
        """Fraction of the newest observation outside the boundary."""

    def update(self, observation: TargetObservation) -> None:
        """Measure the newest observation."""
        self.out_fraction = self._boundary.out_fraction(observation.contour_px)
        self._violation = self._compare(self.out_fraction)

    def judge(self, observation: TargetObservation) -> str:
        """Compare the area outside the boundary with the limit, at the worst corner of the bound.

        Of convex shapes, the common area is log-concave in their shift (Prekopa 1973, Acta Sci. Math. 34), so that the
        largest area outside is at a corner.
        """
        return self._compare(max(map(self._boundary.out_fraction, observation.contours_px())))

    def _compare(self, out: float) -> str:
        if out <= self._max_out_fraction:
            return ""
        return f"{100 * out:.1f} % outside the boundary, the limit is {100 * self._max_out_fraction:g} %"


class OverlapWindow(WindowRule):
    """Requires a share of the target's area or estimated volume to lie inside an envelope.

    For the volume, the target is a sphere with the cross-section of the reference contour, and the envelope one that is
    larger by the smallest margin, so that the overlap is never overstated. A structure that two planes show is
    displaced along all three axes; one that a single plane shows counts as still along its normal.
    """

    reason = GateReason.LOW_OVERLAP

    def __init__(self, settings: OverlapRule, envelope: Region, radius_mm: float) -> None:
        super().__init__()
        self._settings, self._envelope, self._radius_mm = settings, envelope, radius_mm
        self._envelope_mm = radius_mm + min(astuple(settings.margins))

    def judge(self, observation: TargetObservation) -> str:
        """Compare the overlap with the limit."""
        if self._settings.measure == "area":
            overlap = 1.0 - max(map(self._envelope.out_fraction, observation.contours_px()))
        else:
            away_mm = np.add(observation.displacement_mm, observation.through_mm) - self._settings.shift_lps_mm
            away_mm = np.abs(away_mm) + (observation.bound_mm or 0.0)
            overlap = sphere_overlap(length_mm(away_mm), self._radius_mm, self._envelope_mm)
        least = self._settings.min_overlap
        measure = self._settings.measure
        return "" if overlap >= least else f"{measure} overlap {100 * overlap:.1f} %, the limit is {100 * least:g} %"


def sphere_overlap(distance_mm: float, radius_mm: float, envelope_mm: float) -> float:
    """Return the share of a sphere's volume inside one that is as large or larger; NaN for a distance of NaN.

    The common part is a lens: https://mathworld.wolfram.com/Sphere-SphereIntersection.html, equation 16.
    """
    d, r, e = distance_mm, radius_mm, envelope_mm
    if d <= e - r:
        return 1.0
    if d >= e + r:
        return 0.0
    lens = (e + r - d) ** 2 * (d**2 + 2 * d * (e + r) - 3 * (e - r) ** 2) / (12 * d)
    return lens / (4 / 3 * r**3)


class CentreWindow(WindowRule):
    """Limits the displacement of the centre along each patient axis; along an axis that is not imaged it is 0.

    In 3D the window is an ellipsoid with these semi-axes, so that a diagonal counts in full.
    """

    reason = GateReason.OFF_CENTRE

    def __init__(self, settings: CentreRule) -> None:
        super().__init__()
        self._max_mm = [getattr(settings, axis) for axis, _ in _AXES]
        self._shift_mm = settings.shift_lps_mm

    def judge(self, observation: TargetObservation) -> str:
        """Compare the displacement with the window: axis by axis, or in 3D with its ellipsoid."""
        if observation.bound_mm is not None:
            return self._beyond_ellipsoid(observation.displacement_mm, observation.bound_mm)
        for (_, axis), away_mm, max_mm in zip(
            _AXES, np.subtract(observation.displacement_mm, self._shift_mm).tolist(), self._max_mm, strict=True
        ):
            if not (abs(away_mm) <= max_mm):
                return f"centre {away_mm:+.1f} mm off in {axis}, the limit is {max_mm:g} mm"
        return ""

    def _beyond_ellipsoid(self, displacement_mm: tuple[float, ...], bound_mm: tuple[float, ...]) -> str:
        away_mm = np.subtract(displacement_mm, self._shift_mm).tolist()
        reach_mm = [abs(away) + bound for away, bound in zip(away_mm, bound_mm, strict=True)]
        shares = [_share(reach, most) for reach, most in zip(reach_mm, self._max_mm, strict=True)]
        if math.hypot(*shares) <= 1.0:
            return ""
        off, bound, most = (
            "/".join(f"{number:{form}}" for number in numbers)
            for numbers, form in ((away_mm, "+.1f"), (bound_mm, ".1f"), (self._max_mm, "g"))
        )
        within = f" +- {bound}" if any(bound_mm) else ""
        return f"centre {off}{within} mm off in LR/AP/SI, the limit is an ellipsoid of {most} mm"


class AvoidanceWindow(WindowRule):
    """Keeps an organ at risk out of a target's region."""

    reason = GateReason.ORGAN_IN_WINDOW

    def __init__(self, settings: AvoidanceRule, region: Region) -> None:
        super().__init__()
        self._settings, self._region = settings, region

    def judge(self, observation: TargetObservation) -> str:
        """Compare the area inside the region with the limit; an organ whose contour is unusable counts as inside."""
        contour, max_fraction = observation.contour_px, self._settings.max_in_fraction
        usable = len(contour) >= 3 and bool(np.isfinite(contour).all())
        inside = math.nan
        if usable:
            inside = 1.0 - min(map(self._region.out_fraction, observation.contours_px((-1, 0, 1))))
        if inside <= max_fraction:
            return ""
        region = f"the region of {self._settings.target}"
        return f"{100 * inside:.1f} % inside {region}, the limit is {100 * max_fraction:g} %"


def _share(reach_mm: float, most_mm: float) -> float:
    """Return which part of a limit is used up; a limit of 0 by nothing but 0."""
    if most_mm > 0:
        return reach_mm / most_mm
    return 0.0 if reach_mm <= 0 else math.inf
