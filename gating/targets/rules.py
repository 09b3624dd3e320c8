"""The decision rules of one structure. Pure: updated with each frame, evaluated at any time.

Comparisons are written `not (x <= limit)` so that NaN holds the beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gating.decision.reasons import BRIDGEABLE, GateReason, HoldReason
from gating.settings.rules import ExcursionRule
from gating.targets.breath_hold import BreathHold, BreathHoldState
from gating.targets.observation import TargetObservation
from gating.targets.windows import WindowRule


class Rule(Protocol):
    """One condition for beam on."""

    reason: GateReason

    def update(self, observation: TargetObservation) -> None:
        """Update the rule with the newest observation."""
        ...

    def violation(self, now_ns: int) -> str:
        """Return a phrase that describes how the rule is broken now; empty while it is kept."""
        ...


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
