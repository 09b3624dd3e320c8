"""Plots on paper: the figures of `gating.pages.plots`, drawn by matplotlib as SVG, because on paper no script runs."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gating.pages.plots import GREY, GRID, INK, LINE, MUTED, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Placed = dict[tuple[str, str], Axes]

WIDTH_IN: Final = 7.2
PX_PER_IN: Final = 110.0
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.62, 0.12, 0.46, 0.28
"""Margins, in."""
_LEFT_OF_WORDS: Final = 1.25
_DASHES: Final = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3))}
_STYLE: Final[Any] = {
    "font.size": 7.5, "svg.fonttype": "none", "svg.hashsalt": "cinegate", "grid.color": GRID, "axes.axisbelow": True,
    "axes.edgecolor": LINE, "axes.labelcolor": INK, "xtick.color": MUTED, "ytick.color": MUTED,
}  # fmt: skip


def still_plot(figure: Figure) -> bytes:
    """Return a figure as SVG: lines, points, bars, and the lines and bands behind them.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Sheet

    layout = figure["layout"]
    height_in = float(layout.get("height", 300)) / PX_PER_IN
    with mpl.rc_context(_STYLE):
        sheet = Sheet(figsize=(WIDTH_IN, height_in))
        FigureCanvasSVG(sheet)
        placed: Placed = {}
        for trace in figure["data"]:
            key = (str(trace.get("xaxis") or "x"), str(trace.get("yaxis") or "y"))
            if key not in placed:
                left_in = _LEFT_OF_WORDS if trace.get("orientation") == "h" else _LEFT
                placed[key] = sheet.add_axes(_place(layout, key, left_in, height_in))
            _draw(placed[key], trace)
        for key, axes in placed.items():
            _shape(axes, key, layout)
            _dress(axes, key, layout, lowest=axes is min(placed.values(), key=lambda one: one.get_position().y0))
        if layout.get("showlegend") and placed:
            shown = {
                text: line
                for one in placed.values()
                for line, text in zip(*one.get_legend_handles_labels(), strict=True)
            }
            sheet.legend(shown.values(), shown.keys(), loc="upper left", ncols=8, frameon=False, fontsize=7)
        written = BytesIO()
        sheet.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _place(
    layout: Mapping[str, Any], key: tuple[str, str], left_in: float, height_in: float
) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height on the sheet, 0 to 1."""
    (x0, x1), (y0, y1) = (_settings(layout, name).get("domain") or (0, 1) for name in key)
    left, bottom = left_in / WIDTH_IN, _BOTTOM / height_in
    width, height = 1 - left - _RIGHT / WIDTH_IN, 1 - bottom - _TOP / height_in
    return left + width * x0, bottom + height * y0, width * (x1 - x0), height * (y1 - y0)


def _settings(layout: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the settings of an axis: `y2` is in `yaxis2`, the first in `yaxis` or `yaxis1`."""
    number = name[1:]
    found: Mapping[str, Any] = layout.get(f"{name[0]}axis{number}") or layout.get(f"{name[0]}axis{number or 1}") or {}
    return found


def _draw(axes: Axes, trace: Mapping[str, Any]) -> None:
    line, marker, name = trace.get("line") or {}, trace.get("marker") or {}, trace.get("name")
    label = None if trace.get("showlegend") is False else name
    if trace["type"] == "bar" and trace.get("orientation") == "h":
        bars = axes.barh(trace["y"], _numbers(trace["x"]), color=marker.get("color", GREY), height=0.65)
        axes.bar_label(bars, trace.get("text"), padding=3, color=MUTED)
    elif trace["type"] == "bar":
        axes.bar(_numbers(trace["x"]), _numbers(trace["y"]), width=0.9, color=marker.get("color", GREY), label=label)
    elif trace.get("mode") == "markers":
        axes.plot(_numbers(trace["x"]), _numbers(trace["y"]), ".", ms=2, color=marker.get("color", GREY), label=label)
    else:
        axes.plot(
            _numbers(trace["x"]),
            _numbers(trace["y"]),
            linestyle=_DASHES.get(line.get("dash", "solid"), "--"),
            drawstyle="steps-post" if line.get("shape") == "hv" else "default",
            marker="." if "markers" in trace.get("mode", "") else None,
            linewidth=0.6 * float(line.get("width", 1.5)),
            color=line.get("color"),
            label=label,
        )


def _shape(axes: Axes, key: tuple[str, str], layout: Mapping[str, Any]) -> None:
    """Draw what the layout puts behind the traces: bands over all axes of an x, and levels of one y."""
    axes.autoscale(enable=True, axis="x", tight=True)
    for shape in layout.get("shapes") or ():
        line = shape.get("line") or {}
        if shape["type"] == "rect" and shape.get("xref") == key[0]:
            axes.axvspan(shape["x0"], shape["x1"], color="#2f9e62", alpha=0.16, linewidth=0, zorder=0)
        elif shape["type"] == "line" and str(shape.get("yref")) in (key[1], f"{key[1]}1"):
            dash = _DASHES.get(line.get("dash", "solid"), "--")
            axes.axhline(shape["y0"], color=line.get("color", MUTED), linewidth=0.7, linestyle=dash)


def _dress(axes: Axes, key: tuple[str, str], layout: Mapping[str, Any], *, lowest: bool) -> None:
    for name, axis, limit in ((key[0], axes.xaxis, axes.set_xlim), (key[1], axes.yaxis, axes.set_ylim)):
        settings = _settings(layout, name)
        is_log = settings.get("type") == "log"
        if is_log:
            (axes.set_xscale if name[0] == "x" else axes.set_yscale)("log")
            axis.set_ticks(settings.get("tickvals", []), settings.get("ticktext", []))
            axis.set_ticks([], minor=True)
        if (span := settings.get("range")) is not None:
            limit(*(10.0 ** np.array(span) if is_log else span))
        elif settings.get("rangemode") == "tozero":
            limit(0, None)
        axis.set_label_text((settings.get("title") or {}).get("text", ""))
        axis.grid(settings.get("showgrid", True))
    axes.spines[["top", "right"]].set_visible(False)
    if not lowest and key[0] == "x":
        axes.xaxis.set_ticklabels([])
        axes.xaxis.set_label_text("")


def _numbers(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
