"""The plots beside the motion trace: how often the target was where, breath by breath, and the beam-on time so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis.definitions import free_mm, residual_mm
from gating.analysis.drift import exhale_positions
from gating.analysis.motion import GatedMotion
from gating.pages import plots
from gating.pages.plots import BLUE, GREEN, GREY, LINE, Figure
from gating.report.figures import AXIS_LABELS
from gating.report.gate_band import LPS_INDEX, PLOTTED_SIGN
from gating.report.summary import SessionSummary

BIN_MM: Final = 1.0
LEAST_BREATH_S: Final = 2.05
"""Where nothing breathes, `exhale_positions` returns a position every two seconds."""
_EVERY: Final = 5
"""Of the grid of 10 ms, in the phase plot."""


def displacement_histogram(motion: GatedMotion) -> Figure | None:
    """Return how often the target was at each distance from the middle of its window, per axis that the plane shows.

    The whole session beside the time with beam on, in bins of 1 mm, each as a share of the session. None if the target
    was never found.
    """
    free, beam = free_mm(motion), residual_mm(motion)
    if not len(free):
        return None
    shown = [axis for axis, index in LPS_INDEX.items() if motion.shown[index]]
    layout = plots.layout(height=260, legend=True)
    traces: list[dict[str, Any]] = []
    for place, axis in enumerate(shown):
        number = "" if not place else str(place + 1)
        everywhere, gated = (PLOTTED_SIGN[axis] * moved[:, LPS_INDEX[axis]] for moved in (free, beam))
        edges = np.arange(np.floor(everywhere.min()), np.ceil(everywhere.max()) + 1.5 * BIN_MM, BIN_MM)
        for name, colour, positions in (("whole session", GREY, everywhere), ("beam on", GREEN, gated)):
            counts = np.histogram(positions, edges)[0]
            trace: dict[str, Any] = {"type": "bar", "name": name, "xaxis": f"x{number}", "yaxis": f"y{number}"}
            trace |= {"x": plots.numbers(edges[:-1] + BIN_MM / 2), "y": plots.numbers(100 * counts / len(free))}
            trace["marker"] = {"color": colour}
            traces.append(trace | {"showlegend": not place, "hovertemplate": "%{x} mm: %{y:.1f} %"})
        span = [place / len(shown) + 0.04 * bool(place), (place + 1) / len(shown) - 0.02]
        layout[f"xaxis{number}"] = plots.axis(f"{AXIS_LABELS[axis]} (mm)", domain=span)
        layout[f"yaxis{number}"] = plots.axis("time (%)" if not place else "", anchor=f"x{number}")
    return {"data": traces, "layout": layout | {"barmode": "overlay", "bargap": 0.08}}


def phase_figure(motion: GatedMotion) -> Figure | None:
    """Return the displacement by phase of the breath, from exhale to exhale; None if the target does not breathe.

    Along the axis that moves most, from the middle of the window; with the beam on and off.
    """
    when_s, away_mm, on = motion.grid()
    when_s, away_mm, on = when_s[::_EVERY], away_mm[::_EVERY], on[::_EVERY]
    phase = breath_phase(motion, when_s)
    known = np.isfinite(phase) & np.isfinite(away_mm).all(axis=1)
    if not known.any():
        return None
    axis = max(LPS_INDEX, key=lambda name: float(np.ptp(away_mm[known, LPS_INDEX[name]])))
    moved = PLOTTED_SIGN[axis] * (away_mm - motion.window_mm)[:, LPS_INDEX[axis]]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": plots.numbers(100 * phase[chosen & known]),
            "y": plots.numbers(moved[chosen & known]),
            "marker": {"color": colour, "size": 3.5, "opacity": 0.6},
            "hovertemplate": "%{x:.0f} %: %{y:.1f} mm",
        }
        for name, colour, chosen in (("beam off", GREY, ~on), ("beam on", GREEN, on))
    ]
    layout = plots.layout(height=260, legend=True)
    layout["xaxis"] = plots.axis("phase of the breath, exhale to exhale (%)", range=[0, 100])
    layout["yaxis"] = plots.axis(f"{AXIS_LABELS[axis]} (mm)", zeroline=True, zerolinecolor=LINE)
    return {"data": traces, "layout": layout}


def breath_phase(motion: GatedMotion, when_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the phase at (n,) times, 0 at each exhale to 1 at the next; NaN outside breaths of 1.5 to 15 s."""
    exhales_s, _ = exhale_positions(motion.t_s, motion.displacement_mm)
    lengths_s = np.diff(exhales_s)
    if len(exhales_s) < 3 or not float(np.median(lengths_s)) > LEAST_BREATH_S:
        return np.full(len(when_s), np.nan)
    breath = np.searchsorted(exhales_s, when_s, side="right") - 1
    inside = (breath >= 0) & (breath < len(lengths_s))
    breath = np.clip(breath, 0, len(lengths_s) - 1)
    whole = inside & (lengths_s[breath] >= 1.5) & (lengths_s[breath] <= 15.0)
    phase: NDArray[np.float64] = np.where(whole, (when_s - exhales_s[breath]) / lengths_s[breath], np.nan)
    return phase


def beam_on_figure(summary: SessionSummary) -> Figure | None:
    """Return the beam-on time so far against the time of the session; None if nothing is known of the beam."""
    if not summary.beam_known_by:
        return None
    corners: list[tuple[float, float]] = [(0.0, 0.0)]
    for begin_s, end_s in summary.beam_on_periods:
        so_far_s = corners[-1][1]
        corners += [(begin_s, so_far_s), (end_s, so_far_s + end_s - begin_s)]
    corners.append((max(summary.duration_s, corners[-1][0]), corners[-1][1]))
    traces = [
        _line("always on", [(0.0, 0.0), (summary.duration_s, summary.duration_s)], GREY, dash="dot"),
        _line(f"beam on, {summary.beam_known_by}", corners, BLUE),
    ]
    layout = plots.layout(height=260, legend=True)
    layout["xaxis"] = plots.time_axis(assumed=summary.times_assumed)
    layout["yaxis"] = plots.axis("beam-on time so far (s)", rangemode="tozero")
    return {"data": traces, "layout": layout}


def _line(name: str, corners: Sequence[tuple[float, float]], colour: str, dash: str = "solid") -> dict[str, Any]:
    x, y = zip(*corners, strict=True)
    trace = {"type": "scatter", "mode": "lines", "name": name, "x": plots.numbers(x), "y": plots.numbers(y)}
    return trace | {"line": {"color": colour, "width": 1.8, "dash": dash}}
