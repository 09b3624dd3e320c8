"""What a measured value means: in tolerance or not, and what a whole run is then worth."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

from msgspec import Struct

from gating.qa.procedure import Step


class Verdict(enum.StrEnum):
    """Of one step, or the worst of a run."""

    GOOD = "in tolerance"
    TOLERANCE = "out of tolerance"
    ACTION = "beyond action level"
    UNMEASURED = "not measured"


class StepResult(Struct, frozen=True, kw_only=True):
    """One step of one run, with the limits that it was judged by."""

    name: str
    measure: str
    unit: str
    bound: str
    expected: float
    tolerance: float
    action: float
    source: str
    trend: bool
    value: float | None
    """None: not measured; `why` says why."""
    why: str = ""
    verdict: Verdict
    flag: str = ""
    """One sentence if the trend left its control limits with this run; empty if it did not, or is not known yet."""


def judge(step: Step, value: float | None, why: str = "") -> StepResult:
    """Return a step's result. A value that is not finite counts as not measured."""
    if value is not None and not math.isfinite(value):
        value, why = None, why or f"the value is {value}"
    return StepResult(
        name=step.name,
        measure=step.measure,
        unit=step.unit,
        bound=step.bound,
        expected=step.expected,
        tolerance=step.tolerance,
        action=step.action,
        source=step.source,
        trend=step.trend,
        value=value,
        why=why,
        verdict=Verdict.UNMEASURED if value is None else _verdict(step, value),
    )


def _verdict(step: Step, value: float) -> Verdict:
    if step.bound == "at_least":
        away, tolerance, action = -value, -step.tolerance, -step.action
    else:
        away = abs(value - step.expected) if step.bound == "within" else value
        tolerance, action = step.tolerance, step.action
    if away <= tolerance:
        return Verdict.GOOD
    return Verdict.TOLERANCE if away <= action else Verdict.ACTION


def worst(results: Sequence[StepResult]) -> Verdict:
    """Return the verdict of a run. A run of which a step could not be measured does not pass; nor does an empty one."""
    found = {result.verdict for result in results}
    for verdict in (Verdict.ACTION, Verdict.TOLERANCE, Verdict.UNMEASURED):
        if verdict in found:
            return verdict
    return Verdict.GOOD if found else Verdict.UNMEASURED


def limits_text(result: StepResult) -> str:
    """Return what a value may be, in words: "20 ± 30 ms"."""
    if result.bound == "within":
        return f"{result.expected:g} ± {result.tolerance:g} {result.unit}".rstrip()
    sign = "≤" if result.bound == "at_most" else "≥"
    return f"{sign} {result.tolerance:g} {result.unit}".rstrip()
