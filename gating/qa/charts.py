"""A step's trend as a picture: values, tolerance and control limits, as SVG that page and PDF share."""

from __future__ import annotations

import io
import math
import re
from typing import Final

from gating.pages import plots
from gating.qa.judging import StepResult
from gating.qa.trend import Trend

SIZE_INCH: Final = (7.4, 1.9)


def trend_svg(result: StepResult, trend: Trend) -> str:
    """Return the trend as an SVG element.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": result.name, "font.size": 8}):
        figure = Figure(figsize=SIZE_INCH, layout="constrained")
        axes = figure.add_subplot()
        numbers = range(1, len(trend.values) + 1)
        axes.plot(numbers, trend.values, "o-", color=plots.BLUE, markersize=3, linewidth=1)
        flagged = sorted(trend.signals)
        axes.plot([at + 1 for at in flagged], trend.values[flagged], "o", color=plots.RED, markersize=5)
        for level in _tolerances(result):
            axes.axhline(level, color=plots.RED, linewidth=1)
        if math.isfinite(trend.centre):
            axes.axhline(trend.centre, color=plots.TEAL, linewidth=0.8)
            for level in trend.limits:
                axes.axhline(level, color=plots.TEAL, linewidth=0.8, linestyle="--")
            axes.axvline(trend.baseline + 0.5, color=plots.GREY, linewidth=0.8, linestyle=":")
        axes.set_xlim(0.5, max(len(trend.values), 10) + 0.5)
        axes.set_xlabel("run")
        axes.set_ylabel(result.unit)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)


def _tolerances(result: StepResult) -> tuple[float, ...]:
    if result.bound == "within":
        return result.expected - result.tolerance, result.expected + result.tolerance
    return (result.tolerance,)
