"""The plots of the report as plotly figures in JSON, so that plotly.js alone can draw them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.decision.reasons import GateReason
from gating.geometry.plane import ImagePlane
from gating.latency.stages import STAGES
from gating.messages import TargetEstimate
from gating.pages import plots
from gating.pages.plots import AMBER, BLUE, GREEN, GREY, LINE, MUTED, OCHRE, ORANGE, PURPLE, RED, TEAL, Figure
from gating.report.gate_band import LPS_INDEX, PLOTTED_SIGN, GateBand, gate_bands, judged_axes
from gating.report.summary import SessionSummary, displacement_mm
from gating.session.summary_data import SessionData
from gating.settings.config import GatingSettings
from gating.settings.rules import BoundaryRule
from gating.targets.from_settings import active_rules

DASHES: Final = ("dash", "dot", "dashdot", "longdash", "longdashdot")
BEAM_FILL = "rgba(47,158,98,0.16)"

AXIS_LABELS: Final = {"si": "SI, superior +", "ap": "AP, anterior +", "lr": "LR, left +"}
AXIS_COLOURS: Final = {"si": BLUE, "ap": ORANGE, "lr": PURPLE}

STAGE_COLOURS: Final = {
    "transport": GREY,
    "decode": PURPLE,
    "track": ORANGE,
    "decide": RED,
    "publish": OCHRE,
    "engine": TEAL,
    "loop": BLUE,
    "applied": GREEN,
}


def motion_figure(data: SessionData, summary: SessionSummary, gating: GatingSettings | None) -> Figure:
    """Return displacement, target-out fraction and confidence over time, with beam-on shading and gate bands.

    The bands are those of every active rule; there are none without the settings of the session. Where rules judged
    the position in 3D, all axes are shown, and behind each line where the target may be within its bound.
    """
    axes = _shown_axes(data, gating)
    rows = [*axes, "out", "confidence"]
    traces: list[dict[str, Any]] = []
    layout = plots.layout(height=170 * len(axes) + 330)
    domains = _domains([1.25] * len(axes) + [1.0, 0.8])
    for number, (row, domain) in enumerate(zip(rows, domains, strict=True), start=1):
        layout[f"yaxis{number}"] = plots.axis(domain=domain, zeroline=row in axes, zerolinecolor=LINE)
    layout["xaxis"] = plots.time_axis(assumed=summary.times_assumed, anchor=f"y{len(rows)}", hoverformat=".2f")
    for target_number, (target, estimates) in enumerate(data.estimates.items()):
        time_s = _times(data, estimates)
        moved, bound = displacement_mm(estimates, data.references.get(target)), _bounds_mm(estimates)
        for number, axis in enumerate(axes, start=1):
            colour = AXIS_COLOURS[axis] if len(data.estimates) == 1 else plots.colour(target_number)
            away, within = PLOTTED_SIGN[axis] * moved[:, LPS_INDEX[axis]], bound[:, LPS_INDEX[axis]]
            if np.isfinite(within).any():
                traces.append(_within(time_s, away, within, colour, number))
            trace = _line(time_s, away, f"{target} {axis.upper()}", colour, number)
            traces.append({**trace, "hovertemplate": "%{y:.2f} mm"})
        for number, name, fraction in (
            (len(axes) + 1, "target-out", [estimate.target_out_fraction for estimate in estimates]),
            (len(axes) + 2, "confidence", [estimate.confidence for estimate in estimates]),
        ):
            trace = _line(time_s, 100 * np.array(fraction), f"{target} {name}", plots.colour(target_number), number)
            traces.append({**trace, "hovertemplate": "%{y:.1f} %"})
    limits = _band_lines(_all_bands(data, gating), axes, data) + _out_limits(data, gating, len(axes) + 1)
    layout["shapes"] = limits + _beam_shading(summary)
    for number, row in enumerate(rows, start=1):
        layout[f"yaxis{number}"]["title"] = plots.title(
            f"{AXIS_LABELS[row]} (mm)"
            if row in axes
            else {"out": "target out (%)", "confidence": "confidence (%)"}[row]
        )
    layout[f"yaxis{len(rows)}"]["range"] = [0, 103]
    layout[f"yaxis{len(rows) - 1}"]["rangemode"] = "tozero"
    layout["hovermode"] = "x unified"
    return {"data": traces, "layout": layout}


def latency_figure(data: SessionData) -> Figure:
    """Return the share of frames slower than a latency, per stage. Logarithmic axes show the tail."""
    traces = []
    for stage, description in STAGES.items():
        samples = np.sort(np.asarray(data.stages_ms.get(stage, [])))
        samples = samples[samples > 0]
        if not len(samples):
            continue
        slower = 100 * (len(samples) - np.arange(len(samples))) / len(samples)
        trace = _line(samples, slower, stage, STAGE_COLOURS[stage], 1)
        trace["line"] |= {"shape": "hv", "width": 2.6 if stage in ("loop", "engine") else 1.4}
        trace["hovertemplate"] = (
            f"<b>{stage}</b>: {description}<br>%{{y:.2f}} % take %{{x:.3f}} ms or longer<extra></extra>"
        )
        traces.append(trace)
    layout = plots.layout(height=380, legend=True)
    layout["xaxis"] = plots.log_axis("latency (ms)", (value for trace in traces for value in trace["x"]))
    shares = (value for trace in traces for value in trace["y"])
    layout["yaxis"] = plots.log_axis("frames that take longer (%)", shares)
    return {"data": traces, "layout": layout}


def reasons_figure(summary: SessionSummary) -> Figure:
    """Return the decided frames by reason, most frequent on top."""
    reasons = list(summary.reasons)[::-1]
    counts = [summary.reasons[reason] for reason in reasons]
    total = max(1, sum(counts))
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [reason.replace("_", " ") for reason in reasons],
        "x": counts,
        "text": [f"{count}  ({100 * count / total:.1f} %)" for count in counts],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [GREEN if reason == GateReason.IN_WINDOW else AMBER for reason in reasons]},
        "hoverinfo": "skip",
    }
    layout = plots.layout(height=90 + 34 * len(reasons))
    layout["xaxis"] = plots.axis("decided frames", rangemode="tozero", range=[0, 1.25 * max(counts, default=1)])
    layout["yaxis"] = plots.axis(showgrid=False, automargin=True, ticks="")
    layout["bargap"] = 0.35
    return {"data": [trace], "layout": layout}


def _shown_axes(data: SessionData, gating: GatingSettings | None) -> list[str]:
    geometry = data.stream or next(iter(data.frames.values()), None)
    return ["si", "ap"] if geometry is None else judged_axes(ImagePlane.of(geometry), gating or GatingSettings())


def _bounds_mm(estimates: list[TargetEstimate]) -> NDArray[np.float64]:
    """Return the bound of each estimate along LR, AP, SI; NaN where there is none."""
    nothing = (np.nan, np.nan, np.nan)
    return np.array([estimate.bound_mm or nothing for estimate in estimates], dtype=float).reshape(-1, 3)


def _within(
    time_s: list[float | None], away: NDArray[Any], bound: NDArray[Any], colour: str, number: int
) -> dict[str, Any]:
    """Return the area within the bound, one shape for each stretch in which it is known."""
    when = np.array(time_s, dtype=float)
    x: list[float] = []
    y: list[float] = []
    known = np.ma.masked_invalid(when + away + bound)
    for stretch in np.ma.clump_unmasked(known):  # type: ignore[no-untyped-call]  # numpy's
        there, low, high = when[stretch], (away - bound)[stretch], (away + bound)[stretch]
        x += [*there, *there[::-1], np.nan]
        y += [*high, *low[::-1], np.nan]
    trace = _line(x, y, "within its bound", colour, number)
    return trace | {"fill": "toself", "fillcolor": f"{colour}38", "line": {"width": 0}, "hoverinfo": "skip"}


def _times(data: SessionData, estimates: list[TargetEstimate]) -> list[float | None]:
    stamps = [data.frames.get(estimate.frame_sequence) for estimate in estimates]
    return [None if frame is None else round(data.seconds(frame.published_ns), 4) for frame in stamps]


def _all_bands(data: SessionData, gating: GatingSettings | None) -> list[GateBand]:
    if gating is None:
        return []
    bands = []
    for name, reference in data.references.items():
        header = next((frame for frame in data.frames.values() if frame.plane == reference.plane), data.stream)
        if header is not None:
            bands += gate_bands(name, data.references, ImagePlane.of(header), gating)
    return bands


def _band_lines(bands: list[GateBand], axes: list[str], data: SessionData) -> list[dict[str, Any]]:
    """Return two lines for each band, named at their end; rules of one target differ by their dashes.

    Targets with the same band share its lines.
    """
    shared: dict[tuple[Any, ...], list[GateBand]] = {}
    for band in bands:
        if band.axis in axes:
            shared.setdefault((band.axis, band.name, round(band.low_mm, 1), round(band.high_mm, 1)), []).append(band)
    lines = []
    for (axis, rule, *_), alike in shared.items():
        band, targets = alike[0], [one.target for one in alike]
        mine = list(dict.fromkeys(one.name for one in bands if one.target == band.target))
        several = len(data.references) > 1
        colour = plots.colour(list(data.references).index(band.target)) if several and len(alike) == 1 else MUTED
        name = f"{', '.join(targets)}: {rule}" if several else rule
        dash = DASHES[mine.index(rule) % len(DASHES)]
        for level_mm in (band.low_mm, band.high_mm):
            if np.isfinite(level_mm):
                lines.append(_limit(level_mm, axes.index(axis) + 1, colour, dash, name))
    return lines


def _out_limits(data: SessionData, gating: GatingSettings | None, row: int) -> list[dict[str, Any]]:
    """Return the limits of every boundary rule as lines among the target-out fractions."""
    rules = [] if gating is None else [rule for name in data.references for rule in active_rules(name, gating)]
    limits = dict.fromkeys(rule.max_out_fraction for rule in rules if isinstance(rule, BoundaryRule))
    return [_limit(100 * limit, row) for limit in limits]


def _beam_shading(summary: SessionSummary) -> list[dict[str, Any]]:
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": round(begin, 4),
            "x1": round(end, 4),
            "y0": 0,
            "y1": 1,
            "fillcolor": BEAM_FILL,
            "line": {"width": 0},
            "layer": "below",
        }
        for begin, end in summary.beam_on_periods
    ]


def _limit(level: float, number: int, colour: str = RED, dash: str = DASHES[0], name: str = "") -> dict[str, Any]:
    label = {"text": name, "textposition": "end", "padding": 1, "font": {"size": 10.5, "color": colour}}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": f"y{number}",
        "y0": level,
        "y1": level,
        "line": {"color": colour, "width": 1.2, "dash": dash},
        **({"label": label} if name else {}),
    }


def _line(x: Any, y: Any, name: str, colour: str, number: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": plots.numbers(x),
        "y": plots.numbers(y),
        "name": name,
        "yaxis": f"y{number}" if number > 1 else "y",
        "line": {"color": colour, "width": 1.6},
    }


def _domains(weights: list[float], gap: float = 0.035) -> list[tuple[float, float]]:
    """Divide the height by weight, from the top down."""
    free = 1 - gap * (len(weights) - 1)
    heights = [free * weight / sum(weights) for weight in weights]
    tops = [1 - sum(heights[:k]) - gap * k for k in range(len(weights))]
    return [(max(0.0, top - height), top) for top, height in zip(tops, heights, strict=True)]
