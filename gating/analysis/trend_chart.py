"""A trend as a plot: its values in order, and the control limits of single values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gating.analysis.trend import Trend
from gating.pages import plots

HEIGHT_PX = 190


def control_chart(trend: Trend, unit: str, each: str, tolerances: Sequence[float] = ()) -> plots.Figure:
    """Return the values of a trend in order, with its control limits; those that signalled are red.

    Parameters
    ----------
    unit
        Title of the values' axis.
    each
        What one value is of, in a word.
    tolerances
        Levels to show beside the control limits.
    """
    numbers, flagged = list(range(1, len(trend.values) + 1)), sorted(trend.signals)
    data = [
        _trace("lines+markers", numbers, trend.values, plots.BLUE, 4),
        _trace("markers", [at + 1 for at in flagged], trend.values[flagged], plots.RED, 9),
    ]
    levels = [_level(value, plots.RED, "solid") for value in tolerances]
    if math.isfinite(trend.centre):
        levels.append(_level(trend.centre, plots.TEAL, "solid"))
        levels += [_level(limit, plots.TEAL, "dash") for limit in trend.limits]
    layout = plots.layout(HEIGHT_PX) | {"shapes": levels}
    layout["xaxis"] = plots.axis(each)
    layout["yaxis"] = plots.axis(unit, range=_range([*trend.values.tolist(), *(one["y0"] for one in levels)]))
    return {"data": data, "layout": layout}


def _trace(mode: str, x: Any, y: Any, colour: str, size_px: int) -> dict[str, Any]:
    line, marker = {"color": colour, "width": 1.2}, {"color": colour, "size": size_px}
    return {"type": "scatter", "mode": mode, "x": x, "y": plots.numbers(y), "line": line, "marker": marker}


def _level(at: float, colour: str, dash: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1, "dash": dash}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": at, "y1": at, "line": line}


def _range(values: list[float]) -> list[float]:
    """Return a range that shows every value and level."""
    margin = 0.08 * (max(values) - min(values)) or 1.0
    return [min(values) - margin, max(values) + margin]
