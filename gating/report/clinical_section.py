"""The clinical section of the report: the figures of every target, its baseline shift and a proposed couch shift."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from gating.analysis.couch_shift import propose_shift
from gating.analysis.definitions import SENTENCES
from gating.analysis.drift import session_exhale
from gating.analysis.figures import AxisMotion, SessionFigures, Transitions
from gating.analysis.motion import GatedMotion
from gating.analysis.unknown import number, percent
from gating.messages import Event
from gating.pages import plots
from gating.pages.page import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS: Final = {"lr_mm": plots.PURPLE, "ap_mm": plots.ORANGE, "si_mm": plots.BLUE}
_WINDOW_MM: Final = (3.0, 3.0, 3.0)


def rows(one: SessionFigures) -> list[tuple[str, str]]:
    """Return the clinical figures of one target as (what, value). Unknown values are a dash, with why."""
    return [
        (
            "beam on",
            f"{number(one.beam_on_s)} s of {one.duration_s:.1f} s: duty cycle {percent(one.duty_cycle)} "
            f"({one.beam_known_by or 'nothing is known of the beam'})",
        ),
        ("treatment time extended", f"{number(one.extended_by, 2)} times, by {one.held_s:.1f} s of hold"),
        (
            "beam-on periods",
            f"{one.beam_on_periods}: median {number(one.beam_on_median_s)} s, "
            f"{number(one.beam_on_shortest_s)} to {number(one.beam_on_longest_s)} s",
        ),
        *((f"residual motion, {axis.axis}", _axis(axis)) for axis in one.residual),
        (
            "residual motion, distance",
            f"95 % within {number(one.residual_p95_mm)} mm (without gating {number(one.free_p95_mm)} mm)",
        ),
        ("beam-off latency and overshoot", _transitions(one.beam_off)),
        ("beam-on latency and undershoot", _transitions(one.beam_on)),
        ("target inside the boundary while on", percent(one.coverage)),
        *((("breath-holds", _holds(one)),) if one.holds else ()),
        ("low confidence", f"{one.low_confidence_s:.1f} s"),
        ("refused frames", f"{one.low_quality_s:.1f} s"),
        ("target lost", f"{one.lost_s:.1f} s"),
        ("baseline shift, from beginning to end", _baseline(one)),
        ("TrackRAD2025 relative D98 (dose cut at 0.25)", percent(one.relative_d98)),
        ("D98 over D98 at rest, smooth dose", percent(one.smooth_d98)),
    ]


def table(one: SessionFigures) -> Table:
    """Return the figures as a table for the terminal."""
    from rich.table import Table

    shown = Table(title=f"Effect of gating on {one.target}", show_header=False, title_justify="left")
    shown.add_column(style="bold")
    shown.add_column()
    for what, value in rows(one):
        shown.add_row(what, value)
    return shown


def meanings() -> Table:
    """Return what the figures mean as a table for the terminal."""
    from rich.table import Table

    shown = Table(title="What the figures mean", show_header=False, title_justify="left", box=None)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column()
    for what, sentence in SENTENCES.items():
        shown.add_row(what, sentence)
    return shown


def body(found: Sequence[SessionFigures], motions: Sequence[GatedMotion], events: Sequence[Event]) -> str:
    """Return the section: tables, the place for the baseline plot, the proposed shift, and who accepted one."""
    if not found:
        return ""
    proposals = [f"{motion.target}: {text}" for motion in motions if (text := proposal(motion))]
    accepted = [event.text for event in events if event.code == "accept_shift"]
    if proposals and not accepted:
        accepted = ["No shift was accepted in this session, and none is applied without acceptance."]
    plot = '<div id="baseline"></div>' if any(one.baseline for one in found) else ""
    captions = "".join(f'<p class="caption">{escape(text)}</p>' for text in (*proposals, *accepted))
    return "".join(_html_table(one) for one in found) + plot + captions + _meanings()


def _meanings() -> str:
    rows = "".join(f"<tr><td>{escape(what)}</td><td>{escape(text)}</td></tr>" for what, text in SENTENCES.items())
    return f"<details><summary>What the figures mean</summary><table>{rows}</table></details>"


def _html_table(one: SessionFigures) -> str:
    cells = "".join(f"<tr><td>{escape(what)}</td><td>{escape(value)}</td></tr>" for what, value in rows(one))
    return f"<table><tr><th>{escape(one.target)}</th><th></th></tr>{cells}</table>"


def baseline_figure(found: Sequence[SessionFigures], *, assumed: bool = False) -> dict[str, Any] | None:
    """Return the baseline shift over time as a plotly figure; None if no baseline is known.

    `assumed`: times follow from a rate that a user gave.
    """
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"{one.target} {axis[:2].upper()}",
            "x": [point.t_s for point in one.baseline],
            "y": [getattr(point, axis) for point in one.baseline],
            "line": {"color": colour},
        }
        for one in found
        for (axis, colour), motion in zip(_COLOURS.items(), one.residual, strict=True)
        if one.baseline and motion.shown
    ]
    layout = plots.layout(260, legend=True)
    layout["xaxis"] = plots.time_axis(assumed=assumed)
    layout["yaxis"] = plots.axis("baseline shift (mm)", zeroline=True, zerolinecolor=plots.LINE)
    return {"data": traces, "layout": layout} if traces else None


def proposal(motion: GatedMotion) -> str:
    """Return the couch shift proposed for the drift from the beginning to the end of the session; empty if unknown."""
    began = session_exhale(motion.t_s, motion.displacement_mm)
    if began is None:
        return ""
    shift = propose_shift(motion.t_s, motion.displacement_mm, _WINDOW_MM, exhale_mm=began, shown=motion.shown)
    return "" if shift is None else shift.text


def _axis(axis: AxisMotion) -> str:
    if not axis.shown:
        return f"{UNKNOWN} (not shown by the plane)"
    return (
        f"mean {number(axis.mean_mm, 1, sign=True)}, SD {number(axis.sd_mm)}, 95 % within {number(axis.p95_mm)}, "
        f"range {number(axis.range_mm)} mm"
    )


def _baseline(one: SessionFigures) -> str:
    if one.baseline_unknown_because:
        return f"{UNKNOWN} ({one.baseline_unknown_because})"
    shifts = (f"{axis.axis} {number(axis.baseline_shift_mm, sign=True)}" for axis in one.residual if axis.shown)
    return f"{', '.join(shifts)} mm"


def _holds(one: SessionFigures) -> str:
    lengths_s = [hold.end_s - hold.begin_s for hold in one.holds]
    return (
        f"{len(one.holds)} of {min(lengths_s):.1f} to {max(lengths_s):.1f} s, repeating within "
        f"{number(one.hold_to_hold_mm)} mm (SD); beam on {sum(hold.beam_on_s for hold in one.holds):.1f} s of them"
    )


def _transitions(one: Transitions) -> str:
    if not one.count:
        return f"{UNKNOWN} (the beam never followed a crossing of the window)"
    return (
        f"median {one.latency_p50_ms:.0f} ms and {number(one.travel_p50_mm)} mm, 95 % {one.latency_p95_ms:.0f} ms and "
        f"{number(one.travel_p95_mm)} mm (n = {one.count})"
    )
