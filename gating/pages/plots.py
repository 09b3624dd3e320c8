"""How every plot looks: colours, fonts, axes. A figure is plotly's JSON, so that plotly.js alone can draw it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

Figure = dict[str, Any]

INK, MUTED, GRID, LINE = "#1f2933", "#6b7785", "#e6eaee", "#c4ccd4"
GREY, BLUE, ORANGE, TEAL, PURPLE = "#9aa5b1", "#1f6fb2", "#d9822b", "#11857f", "#7a5195"
GREEN, AMBER, RED, OCHRE = "#2f9e62", "#d9a21b", "#c8373c", "#b58900"
SERIES: Final = (TEAL, PURPLE, ORANGE, BLUE)
"""Colours of things of one kind, in turn."""
LOG_STEPS: Final = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9))
LEAST_LABELS: Final = 3


def colour(number: int) -> str:
    """Return the colour of the n-th thing of one kind."""
    return SERIES[number % len(SERIES)]


def title(text: str) -> dict[str, Any]:
    """Return the title of an axis."""
    return {"text": text, "font": {"size": 12.5, "color": INK}, "standoff": 8}


def axis(text: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis."""
    made = {"gridcolor": GRID, "zeroline": False, "linecolor": LINE, "ticks": "outside", "ticklen": 4}
    made |= {"tickcolor": LINE, "tickfont": {"size": 11.5, "color": MUTED}, **more}
    return made | ({"title": title(text)} if text else {})


def time_axis(*, assumed: bool, **more: Any) -> dict[str, Any]:
    """Return the axis of the time of a session; `assumed` if it follows from a rate that a user gave."""
    return axis(f"time after the first frame (s{', ASSUMED' if assumed else ''})", **more)


def log_axis(text: str, values: Iterable[float], suffix: str = "") -> Figure:
    """Return a logarithmic axis over the values, labelled with plain numbers as densely as three labels need."""
    known = np.array([value for value in values if value > 0 and np.isfinite(value)])
    low, high = (float(known.min()) / 1.05, float(known.max()) * 1.05) if len(known) else (0.1, 10.0)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in LOG_STEPS:
        ticks = [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
        if len(ticks) >= LEAST_LABELS:
            break
    labels = [f"{tick:.6g}{suffix}" for tick in ticks]
    return axis(text, type="log", range=[float(np.log10(low)), float(np.log10(high))], tickvals=ticks, ticktext=labels)


def layout(height: int, *, legend: bool = False) -> dict[str, Any]:
    """Return a layout without axes."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 20, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "Inter, 'Segoe UI', system-ui, sans-serif", "size": 12.5, "color": INK},
        "showlegend": legend,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        "hoverlabel": {"font": {"size": 12}},
    }


def numbers(values: Any) -> list[float | None]:
    """Return values for JSON: rounded, and None where they are unknown."""
    return [None if value is None or not np.isfinite(value) else round(float(value), 5) for value in values]
