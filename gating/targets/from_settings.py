"""From settings to rules: which ones a structure has, and each made ready to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from gating.errors import TargetError
from gating.geometry.contours import equivalent_radius_mm
from gating.geometry.plane import ImagePlane
from gating.settings.config import GatingSettings
from gating.settings.rules import (
    AvoidanceRule,
    BoundaryRule,
    BreathHoldRule,
    CentreRule,
    ExcursionRule,
    Margins,
    OverlapRule,
    RuleSettings,
)
from gating.targets.boundary import GatingBoundary
from gating.targets.breath_hold import BreathHold
from gating.targets.rules import Excursion, Rule
from gating.targets.windows import AvoidanceWindow, BoundaryWindow, CentreWindow, OverlapWindow

_NO_SHIFT = (0.0, 0.0, 0.0)


def rules_of(name: str, rules: Sequence[RuleSettings]) -> list[RuleSettings]:
    """Return the rules for a structure: those that name it and, if it is a target, those for every target.

    A structure that an avoidance rule keeps away is an organ at risk, not a target.
    """
    return [rule for rule in rules if rule.structure == name or (rule.structure == "" and not is_avoided(name, rules))]


def is_avoided(name: str, rules: Sequence[RuleSettings]) -> bool:
    """Whether a structure is an organ at risk, which a rule keeps out of a target's region."""
    return any(isinstance(rule, AvoidanceRule) and rule.structure == name for rule in rules)


def check_rules(rules: Sequence[RuleSettings], names: set[str]) -> None:
    """Check that rules name only structures of the session.

    Raises
    ------
    TargetError
        If a rule names any other structure; one sentence.
    """
    for number, rule in enumerate(rules):
        wanted = {rule.structure, rule.target} if isinstance(rule, AvoidanceRule) else {rule.structure} - {""}
        for name in sorted(wanted - names):
            known = ", ".join(sorted(names))
            raise TargetError(f"gating.rules.{number} names the structure {name!r}; the structures are {known}")


def active_rules(name: str, gating: GatingSettings) -> list[RuleSettings]:
    """Return the rules by which a structure is judged: its own, or else the common boundary."""
    return rules_of(name, gating.rules) or [boundary_rule(name, gating)]


def boundary_rule(name: str, gating: GatingSettings) -> BoundaryRule:
    """Return the first boundary rule of a structure, or the common one with the limits of the `gating` table."""
    own = next((rule for rule in rules_of(name, gating.rules) if isinstance(rule, BoundaryRule)), None)
    return own or BoundaryRule(margins=gating.margins, max_out_fraction=gating.max_out_fraction)


def structure_boundary(
    name: str, contour_px: NDArray[np.float32], plane: ImagePlane, gating: GatingSettings
) -> GatingBoundary:
    """Return the gating boundary of a structure, from its `boundary_rule`."""
    rule = boundary_rule(name, gating)
    return _boundary(contour_px, plane, rule.margins, rule.shift_lps_mm)


def build_rule(
    rule: RuleSettings, name: str, contours_px: Mapping[str, NDArray[np.float32]], plane: ImagePlane
) -> Rule:
    """Return a rule of a structure, ready to judge.

    Raises
    ------
    TargetError
        If an avoidance rule names a target in another plane.
    """
    contour_px = contours_px[name]
    match rule:
        case BoundaryRule():
            return BoundaryWindow(rule, _boundary(contour_px, plane, rule.margins, rule.shift_lps_mm))
        case OverlapRule():
            envelope = _boundary(contour_px, plane, rule.margins, rule.shift_lps_mm)
            return OverlapWindow(rule, envelope, equivalent_radius_mm(contour_px, plane.spacing_mm))
        case CentreRule():
            return CentreWindow(rule)
        case ExcursionRule():
            return Excursion(rule)
        case BreathHoldRule():
            return BreathHold(rule)
        case AvoidanceRule():
            if rule.target not in contours_px:
                text = f"{name}: the target {rule.target} that it must stay away from is in another plane"
                raise TargetError(text)
            return AvoidanceWindow(rule, _boundary(contours_px[rule.target], plane, rule.margins))
        case _:
            assert_never(rule)


def _boundary(
    contour_px: NDArray[np.float32],
    plane: ImagePlane,
    margins: Margins,
    shift_lps_mm: tuple[float, float, float] = _NO_SHIFT,
) -> GatingBoundary:
    margins_px = plane.margins_px(
        left=margins.left_mm,
        right=margins.right_mm,
        posterior=margins.posterior_mm,
        anterior=margins.anterior_mm,
        superior=margins.superior_mm,
        inferior=margins.inferior_mm,
    )
    if shift_lps_mm == _NO_SHIFT:
        return GatingBoundary(contour_px, margins_px)
    shift = np.array(shift_lps_mm)
    shift_px = [shift @ plane.along_columns / plane.spacing_mm[1], shift @ plane.along_rows / plane.spacing_mm[0]]
    return GatingBoundary((contour_px + np.array(shift_px)).astype(np.float32), margins_px)
