"""The decision rules of one structure. Pure: updated with each frame, evaluated at any time.

Comparisons are written `not (x <= limit)` so that NaN holds the beam.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from msgspec.structs import astuple
from numpy.typing import ArrayLike, NDArray

from gating.decision.reasons import BRIDGEABLE, GateReason, HoldReason
from gating.settings.rules import AvoidanceRule, BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, OverlapRule
from gating.targets.observation import TargetObservation

_AXES = (("lr_mm", "LR"), ("ap_mm", "AP"), ("si_mm", "SI"))


class Region(Protocol):
    """A region of the image plane: `gating.targets.boundary.GatingBoundary`."""

    def out_fraction(self, contour_px: NDArray[np.float32]) -> float:
        """Return the fraction of a contour's area outside the region, 0 to 1; 1 for a contour without area."""
        ...


class Rule(Protocol):
    """One condition for beam on."""

    reason: GateReason

    def update(self, observation: TargetObservation) -> None:
        """Update the rule with the newest observation."""
        ...

    def violation(self, now_ns: int) -> str:
        """Return a phrase that describes how the rule is broken now; empty while it is kept."""
        ...


class WindowRule:
    """A rule that depends on a single observation, and so applies to a predicted one too."""

    reason: GateReason

    def __init__(self) -> None:
        self._violation = "not seen yet"

    def judge(self, observation: TargetObservation) -> str:
        """Return a phrase that describes how an observation breaks the rule; empty if it does not."""
        raise NotImplementedError

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
            overlap = sphere_overlap(_distance_mm(away_mm), self._radius_mm, self._envelope_mm)
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


class Excursion:
    """Holds once the target has been farther than X mm away for Y s: the rule of intrafraction prostate monitoring.

    Time counts from the last observation inside, so the beam is off by Y s after the target left.
    Source: kilovoltage intrafraction monitoring, the SPARK protocol, Keall et al. 2017, PMC5341369.
    """

    reason = GateReason.EXCURSION

    def __init__(self, settings: ExcursionRule) -> None:
        self._settings = settings
        self._inside_ns: int | None = None
        self._outside = False

    def update(self, observation: TargetObservation) -> None:
        """Record when the target was last inside."""
        self._outside = not (observation.farthest_mm <= self._settings.distance_mm)
        if not self._outside or self._inside_ns is None:
            self._inside_ns = observation.at_ns

    def violation(self, now_ns: int) -> str:
        """Compare the time outside with the limit."""
        if not self._outside or self._inside_ns is None:
            return ""
        outside_s, max_s = (now_ns - self._inside_ns) / 1e9, self._settings.duration_s
        return (
            ""
            if outside_s < max_s
            else f"more than {self._settings.distance_mm:g} mm away for {outside_s:.1f} s, the limit is {max_s:g} s"
        )


@dataclass(frozen=True, slots=True)
class BreathHoldState:
    """The progress of a breath-hold.

    Attributes
    ----------
    held_s
        Time since the plateau began; 0 while breathing.
    left_s
        Time left until the longest hold is reached; the longest hold while breathing.
    shift_mm
        Array (3,): shift of the plateau from the reference, LPS; NaN while breathing.
    """

    held_s: float
    left_s: float
    shift_mm: NDArray[np.float64]


class BreathHold:
    """Permits beam only in plateaus that repeat the reference position.

    A plateau is a period of `plateau_s` or more in which the centre moves by at most `flat_mm`; it ends with the first
    observation outside that range. Sources: repeated breath-holds gated on cine MRI, Lamb et al. 2017, PMC5689863.
    The defaults are those of one example, figure 2 of doi:10.1186/s13014-015-0383-y (breast, deep inhale, an external
    signal): the curve stabilises within a few seconds, typically 2, and in that case limits of +-2.5 mm were chosen
    around the reference level. No rule is drawn from it there.
    """

    reason = GateReason.NOT_HELD

    def __init__(self, settings: BreathHoldRule) -> None:
        self._settings = settings
        self._still: deque[tuple[int, NDArray[np.float64]]] = deque()
        self._began_ns: int | None = None
        """Time of the first observation of the plateau."""
        self._low = self._high = np.zeros(3)
        self._bound_mm = 0.0

    def update(self, observation: TargetObservation) -> None:
        """Extend the present plateau, or look for a new one."""
        here = np.array(observation.displacement_mm)
        self._bound_mm = _distance_mm(observation.bound_mm or 0.0)
        if not np.isfinite(here).all():
            self._still.clear()
            self._began_ns = None
            return
        if self._began_ns is not None:
            self._low, self._high = np.minimum(self._low, here), np.maximum(self._high, here)
            if (self._high - self._low).max() <= self._settings.flat_mm:
                return
            self._began_ns = None
            self._still.clear()
        self._still.append((observation.at_ns, here))
        positions = np.array([position for _, position in self._still])
        while np.ptp(positions, axis=0).max() > self._settings.flat_mm:
            self._still.popleft()
            positions = positions[1:]
        if observation.at_ns - self._still[0][0] >= self._settings.plateau_s * 1e9:
            self._began_ns = self._still[0][0]
            self._low, self._high = positions.min(axis=0), positions.max(axis=0)

    def state(self, now_ns: int) -> BreathHoldState:
        """Return the progress of the breath-hold, for the display and for guiding the patient."""
        longest_s = self._settings.max_hold_s
        if self._began_ns is None:
            return BreathHoldState(0.0, longest_s, np.full(3, np.nan))
        held_s = (now_ns - self._began_ns) / 1e9
        return BreathHoldState(held_s, longest_s - held_s, (self._low + self._high) / 2)

    def violation(self, now_ns: int) -> str:
        """Return a phrase if there is no plateau, it is in the wrong place, or it lasts too long; empty otherwise."""
        settings, state = self._settings, self.state(now_ns)
        if self._began_ns is None:
            return f"no plateau of {settings.plateau_s:g} s yet"
        away_mm = _distance_mm(state.shift_mm)
        if not (away_mm + self._bound_mm <= settings.reproducibility_mm):
            within = f" +- {self._bound_mm:.1f}" if self._bound_mm else ""
            limit = f"the limit is {settings.reproducibility_mm:g} mm"
            return f"hold is {away_mm:.1f}{within} mm from the reference, {limit}"
        return "" if state.left_s > 0 else f"hold lasts {state.held_s:.0f} s, the limit is {settings.max_hold_s:g} s"


class StructureRules:
    """All rules of one structure. Each must be kept, and each window rule by the predicted position too."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        self._name, self._rules = name, tuple(rules)
        self.predicted: HoldReason | None = None
        """Why the predicted position breaks a window rule, or None."""
        self.bounded: HoldReason | None = None
        """Why the position in 3D breaks a window rule, somewhere within its bound, or None."""

    def update(self, seen: TargetObservation, predicted: TargetObservation | None) -> None:
        """Update every rule with the newest observation, and check the position predicted from it, if any.

        Window rules are updated with the estimate; `judge_bounded` then judges the whole bound.
        """
        estimate = seen if seen.bound_mm is None else seen.estimate
        for rule in self._rules:
            rule.update(estimate if isinstance(rule, WindowRule) else seen)
        self.predicted = None
        if predicted is None:
            return
        for rule in self._rules:
            text = rule.judge(predicted) if isinstance(rule, WindowRule) else ""
            if text:
                self.predicted = HoldReason(GateReason.PREDICTED_OUT, f"{self._name}: will be {text}")
                return

    def judge_bounded(self, observation: TargetObservation, unknown: str = "") -> None:
        """Judge a position in 3D everywhere within its bound, by every window rule.

        Parameters
        ----------
        observation
            Of the newest frame, or carried on from the newest frame of this plane to that of another one.
        unknown
            Why a part of the position is not known; empty if all of it is.
        """
        self.bounded = None
        windows = [rule for rule in self._rules if isinstance(rule, WindowRule)]
        for rule in windows:
            text = rule.judge(observation.estimate)
            if text:
                self.bounded = HoldReason(rule.reason, f"{self._name}: {text}")
                return
        texts = (rule.judge(observation) for rule in windows)
        text = unknown or next((f"may be {text}" for text in texts if text), "")
        if text:
            self.bounded = HoldReason(GateReason.POSITION_UNCERTAIN, f"{self._name}: {text}")

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return the first broken rule, or None; those that a beam-off delay may not bridge come first."""
        found = self.predicted or self.bounded
        for rule in reversed(self._rules):
            text = rule.violation(now_ns)
            if text and not (found is not None and found.reason not in BRIDGEABLE and rule.reason in BRIDGEABLE):
                found = HoldReason(rule.reason, f"{self._name}: {text}")
        return found

    def breath_hold(self, now_ns: int) -> BreathHoldState | None:
        """Return the progress of the breath-hold, or None without a breath-hold rule."""
        return next((rule.state(now_ns) for rule in self._rules if isinstance(rule, BreathHold)), None)


def _share(reach_mm: float, most_mm: float) -> float:
    """Return which part of a limit is used up; a limit of 0 by nothing but 0."""
    if most_mm > 0:
        return reach_mm / most_mm
    return 0.0 if reach_mm <= 0 else math.inf


def _distance_mm(displacement_mm: ArrayLike) -> float:
    return float(np.sqrt(np.square(displacement_mm).sum()))
