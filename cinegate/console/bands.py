"""The rules of a target as bands over its displacement, for the strip charts and for guiding the patient. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from gating.settings.config import GatingSettings
from gating.settings.rules import AvoidanceRule, BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, RuleSettings
from gating.targets.structure import active_rules

Axis = Literal["lr", "ap", "si"]


class Band(Struct, frozen=True):
    """Where the centre of a target may be along one patient axis, mm towards left, posterior or superior."""

    rule: str
    axis: Axis
    low_mm: float
    high_mm: float


def bands(target: str, gating: GatingSettings) -> list[Band]:
    """Return a band for every rule of a target that limits its displacement.

    The band of a boundary are its margins: within them, a target that keeps its shape is inside as a whole. The rule
    itself limits the target-out fraction.
    """
    return [band for rule in active_rules(target, gating) for band in _bands_of(rule)]


def is_avoided(name: str, gating: GatingSettings) -> bool:
    """Whether a structure is an organ at risk, which a rule keeps out of a target's region."""
    return any(isinstance(rule, AvoidanceRule) and rule.structure == name for rule in gating.rules)


def _bands_of(rule: RuleSettings) -> Iterator[Band]:
    match rule:
        case BoundaryRule():
            margins = rule.margins
            lr, ap, si = rule.shift_lps_mm
            yield Band("boundary", "lr", lr - margins.right_mm, lr + margins.left_mm)
            yield Band("boundary", "ap", ap - margins.anterior_mm, ap + margins.posterior_mm)
            yield Band("boundary", "si", si - margins.inferior_mm, si + margins.superior_mm)
        case CentreRule():
            lr, ap, si = rule.shift_lps_mm
            yield Band("centre", "lr", lr - rule.lr_mm, lr + rule.lr_mm)
            yield Band("centre", "ap", ap - rule.ap_mm, ap + rule.ap_mm)
            yield Band("centre", "si", si - rule.si_mm, si + rule.si_mm)
        case ExcursionRule():
            yield from _around("excursion", rule.distance_mm)
        case BreathHoldRule():
            yield from _around("breath-hold", rule.reproducibility_mm)
        case _:
            return


def _around(name: str, distance_mm: float) -> Iterator[Band]:
    axes: tuple[Axis, ...] = ("lr", "ap", "si")
    for axis in axes:
        yield Band(name, axis, -distance_mm, distance_mm)
