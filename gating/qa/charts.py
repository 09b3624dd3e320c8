"""A step's trend as a plot: values of all runs, tolerance, and control limits of single values."""

from __future__ import annotations

from gating.analysis.trend import Trend
from gating.analysis.trend_chart import control_chart
from gating.pages import plots
from gating.qa.judging import StepResult


def trend_figure(result: StepResult, trend: Trend) -> plots.Figure:
    """Return the trend; runs that signalled are red."""
    return control_chart(trend, result.unit, "run", _tolerances(result))


def _tolerances(result: StepResult) -> tuple[float, ...]:
    if result.bound == "within":
        return result.expected - result.tolerance, result.expected + result.tolerance
    return (result.tolerance,)
