"""The gate bands in the motion trace: how far the target may move along one patient axis before each rule objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.plane import ImagePlane
from gating.messages import TargetReference
from gating.settings.config import GatingSettings
from gating.settings.rules import AvoidanceRule, BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, RuleSettings
from gating.targets.from_settings import active_rules, build_rule
from gating.targets.observation import TargetObservation
from gating.targets.windows import WindowRule

LPS_INDEX: Final = {"lr": 0, "ap": 1, "si": 2}
PLOTTED_SIGN: Final = {"si": 1.0, "ap": -1.0, "lr": 1.0}
"""Signs from LPS to the plot, which shows anterior upward."""

FARTHEST_MM: Final = 60.0
_STEP_MM: Final = 1.0
_HALVINGS: Final = 8

_Allowance = Callable[[NDArray[np.float64]], bool]
"""Whether a rule allows a displacement, (3,) LPS mm."""


@dataclass(frozen=True, slots=True)
class GateBand:
    """Where a rule objects to a target that moves along one axis alone, through the middle of the rule's window.

    Attributes
    ----------
    target, axis
        Name of the target; "si", "ap" or "lr".
    name
        The rule and its limit, for people.
    low_mm, high_mm
        Displacements from the reference, with the signs of the plot; NaN where the rule never objects.
    """

    target: str
    axis: str
    name: str
    low_mm: float
    high_mm: float


def gate_bands(
    target: str,
    references: Mapping[str, TargetReference],
    plane: ImagePlane,
    gating: GatingSettings,
) -> list[GateBand]:
    """Return the band of every active rule of a target, on every axis by which it is judged.

    Those are the axes that its plane shows; in 3D, all of them. What a rule allows is asked of the rule that decides in
    the engine. Of a rule that tolerates an excursion for some time, the band is where that time begins to count.

    Parameters
    ----------
    target
        Name of the target.
    references
        Every target of the session, by name.
    plane
        Image plane of the target.
    gating
        Settings of the session.
    """
    mine = references[target]
    contours_px = {
        name: np.array(one.contour_px, np.float32) for name, one in references.items() if one.plane == mine.plane
    }
    if not mine.contour_px:
        return []
    bands = []
    for rule in active_rules(target, gating):
        middle_mm = np.array(getattr(rule, "shift_lps_mm", (0.0, 0.0, 0.0)))
        allows = _allowance(rule, target, contours_px, plane)
        for axis in judged_axes(plane, gating):
            unit = np.eye(3)[LPS_INDEX[axis]] * PLOTTED_SIGN[axis]
            low, high = (_reach_mm(allows, middle_mm, towards) for towards in (-unit, unit))
            at_mm = float(middle_mm @ unit)
            bands.append(GateBand(target, axis, rule_name(rule), at_mm - low, at_mm + high))
    return bands


def judged_axes(plane: ImagePlane, gating: GatingSettings) -> list[str]:
    """Return the patient axes along which rules judge a target of a plane: "si", "ap", "lr", as far as they do."""
    shown = plane.shown_axes()
    return [axis for axis in PLOTTED_SIGN if gating.three_d.on or axis in shown]


def rule_name(rule: RuleSettings) -> str:
    """Return a rule and its limit in a few words."""
    match rule:
        case BoundaryRule():
            return f"boundary, {100 * rule.max_out_fraction:g} % out"
        case CentreRule():
            return "centre"
        case ExcursionRule():
            return f"excursion, {rule.duration_s:g} s"
        case BreathHoldRule():
            return "breath-hold"
        case AvoidanceRule():
            return f"keeps away from {rule.target}"
        case _:
            return f"overlap, {100 * rule.min_overlap:g} % of {rule.measure}"


def _allowance(
    rule: RuleSettings, target: str, contours_px: Mapping[str, NDArray[np.float32]], plane: ImagePlane
) -> _Allowance:
    """Return what tells whether a rule allows a displacement, (3,) LPS mm."""
    if isinstance(rule, ExcursionRule | BreathHoldRule):
        far_mm = rule.distance_mm if isinstance(rule, ExcursionRule) else rule.reproducibility_mm
        return lambda away_mm: float(np.linalg.norm(away_mm)) <= far_mm
    window = build_rule(rule, target, contours_px, plane)
    assert isinstance(window, WindowRule), f"a {type(rule).__name__} judges each frame alone"
    contour_px = contours_px[target]

    to_px = np.stack([plane.along_columns / plane.spacing_mm[1], plane.along_rows / plane.spacing_mm[0]])

    def allows(away_mm: NDArray[np.float64]) -> bool:
        lr, ap, si = away_mm.tolist()
        moved_px = (contour_px + to_px @ away_mm).astype(np.float32)
        return not window.judge(TargetObservation(0, moved_px, (lr, ap, si)))

    return allows


def _reach_mm(allows: _Allowance, middle_mm: NDArray[np.float64], towards: NDArray[np.float64]) -> float:
    """Return how far a rule allows to go from the middle of its window: its first objection, refined by halving."""
    if not allows(middle_mm):
        return float("nan")
    inside = 0.0
    while allows(middle_mm + (inside + _STEP_MM) * towards):
        inside += _STEP_MM
        if inside > FARTHEST_MM:
            return float("nan")
    step = _STEP_MM
    for _ in range(_HALVINGS):
        step /= 2
        inside += step if allows(middle_mm + (inside + step) * towards) else 0.0
    return inside
