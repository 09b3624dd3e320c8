"""The page of a comparison: agreement, both gates over time, and each disagreement with its frames."""

from __future__ import annotations

from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinegate.shadow.agreement import APART, THEY_HOLD, WE_HOLD, Agreement, Disagreement
from cinegate.shadow.offset import Offset
from cinegate.shadow.sides import Outline, Side
from gating.geometry.plane import ImagePlane
from gating.messages import FrameHeader
from gating.pages import plots
from gating.pages.page import UNKNOWN, card, head, number, page, section, table
from gating.pages.pictures import picture
from gating.report.film_frames import read_frames
from gating.session.summary_data import SessionData

NOTICE: Final = (
    "Research software, not a medical device. Shadow mode: no beam line was driven by these decisions. A constant "
    "difference between the delays of the two systems looks like an offset of their clocks."
)
SHOWN: Final = 40
"""Longest disagreements that are shown with frames; the table has all of them."""
FRAMES_EACH: Final = 3


def shadow_page(found: Agreement, ours: Side, theirs: Side, data: SessionData) -> str:
    """Return the page.

    Parameters
    ----------
    found
        The comparison.
    ours, theirs
        Both sides.
    data
        Our session, whose log holds the frames.
    """
    below = f"{ours.name} and {theirs.name}, {found.overlap_s:.0f} s, {found.frames} frames"
    listed = sorted(found.disagreements, key=lambda one: -one.duration_ms)[:SHOWN]
    body = [
        head("Shadow session", below, NOTICE),
        f'<div class="cards">{_cards(found)}</div>',
        section("Over time", "Shaded: where the two did not agree.", '<div id="gates"></div>'),
        section("Frames", "", _counts(found)),
        section("Disagreements", _caption(found), _table(found.disagreements)),
        *_pictures(sorted(listed, key=lambda one: one.begin_s), ours, theirs, found.offset, data),
    ]
    return page(f"Shadow session, {ours.name}", "\n".join(body), {"gates": _figure(found, ours, theirs)})


def offset_in_words(offset: Offset) -> str:
    """Return how far the clocks are apart, and how that is known."""
    if offset.seconds is None:
        return f"cannot be told: {offset.why}"
    spread = "" if offset.uncertainty_s is None else f" ± {1e3 * offset.uncertainty_s:.0f} ms (95 %)"
    how = "as given" if offset.by == "given" else f"from the {offset.by}"
    return f"{offset.seconds:+.3f} s{spread}, {how}"


def _cards(found: Agreement) -> str:
    seconds, spread = found.offset.seconds, found.offset.uncertainty_s
    known = UNKNOWN if spread is None else f"± {1e3 * spread:.0f} ms"
    return "".join(
        (
            card("Kappa of the gates", number(found.kappa), "", f"{found.frames} frames"),
            card("We hold when they do", _percent(found.we_hold_when_they_do), "%", _of(found, THEY_HOLD)),
            card("They hold when we do", _percent(found.they_hold_when_we_do), "%", _of(found, WE_HOLD)),
            card("Centres apart", number(found.distance_p95_mm, ".1f"), "mm", "95 % of the frames, beside the bias"),
            card("Their clock", number(seconds, "+.3f"), "s", f"{known}, {escape(found.offset.by)}"),
        )
    )


def _of(found: Agreement, kind: str) -> str:
    return f"{sum(one.kind == kind for one in found.disagreements)} times {kind}"


def _counts(found: Agreement) -> str:
    rows = [
        ["we permit beam", str(found.both_on), str(found.only_they_hold)],
        ["we hold", str(found.only_we_hold), str(found.both_hold)],
    ]
    bias = UNKNOWN if found.bias_mm is None else ", ".join(f"{one:+.1f}" for one in found.bias_mm)
    said = f'<p class="caption">Bias of their centre, left, posterior, superior: {bias} mm; median distance beside it '
    return f"{table(['', 'they permit beam', 'they hold'], rows)}{said}{number(found.distance_p50_mm, '.1f')} mm.</p>"


def _caption(found: Agreement) -> str:
    return (
        f"Times after our first frame. {found.short_differences} differences of the gates of at most "
        f"{found.tolerance_ms:.0f} ms, which the intervals of the frames explain, are not listed."
    )


def _table(disagreements: list[Disagreement]) -> str:
    rows = [
        [
            escape(one.kind),
            f"{one.begin_s:.2f}",
            f"{one.duration_ms:.0f}",
            number(one.distance_mm, ".1f"),
            f"{one.first_frame} to {one.last_frame}",
            escape(one.our_reason.replace("_", " ")),
        ]
        for one in disagreements
    ]
    titles = ["what", "from (s)", "for (ms)", "apart (mm)", "frames", "our reason"]
    return table(titles, rows, can_sort=True) if rows else "<p>None.</p>"


def _pictures(listed: list[Disagreement], ours: Side, theirs: Side, offset: Offset, data: SessionData) -> list[str]:
    wanted = [_chosen(one, ours) for one in listed]
    pixels = {header.sequence: (header, image) for header, image in read_frames(data.path, set().union(*wanted))}
    shown = []
    for one, frames in zip(listed, wanted, strict=True):
        figures = [
            _frame(*pixels[frame], _ours_at(ours, frame), _theirs_at(ours, theirs, offset, frame))
            for frame in sorted(frames)
            if frame in pixels
        ]
        title = f"{one.kind}, from {one.begin_s:.2f} s for {one.duration_ms:.0f} ms"
        shown.append(section(escape(title), "", f'<div class="frames">{"".join(figures)}</div>'))
    return shown


def _chosen(one: Disagreement, ours: Side) -> set[int]:
    rows = np.flatnonzero((ours.frames >= one.first_frame) & (ours.frames <= one.last_frame))
    picked = np.linspace(0, len(rows) - 1, min(FRAMES_EACH, len(rows))).round().astype(int)
    return {int(ours.frames[row]) for row in rows[picked]}


def _ours_at(ours: Side, frame: int) -> Outline | None:
    return ours.outlines.get(int(np.flatnonzero(ours.frames == frame)[0]))


def _theirs_at(ours: Side, theirs: Side, offset: Offset, frame: int) -> Outline | None:
    """Return their outline that is nearest to a frame of ours in time."""
    when_s = ours.t_s[np.flatnonzero(ours.frames == frame)[0]] - (offset.seconds or 0.0)
    row = int(np.argmin(np.abs(theirs.t_s - when_s)))
    return theirs.outlines.get(row) if abs(theirs.t_s[row] - when_s) <= ours.interval_s else None


def _frame(header: FrameHeader, pixels: NDArray[np.generic], our: Outline | None, their: Outline | None) -> str:
    outlines = [("contour", our), ("truth", their)]
    drawn = [(kind, [(float(x), float(y)) for x, y in outline]) for kind, outline in outlines if outline is not None]
    edges = ImagePlane.of(header).edge_letters()
    return (
        f'<figure class="frame">{picture(pixels, header.pixel_spacing_mm, drawn, edges)}'
        f"<figcaption>frame {header.sequence}</figcaption></figure>"
    )


def _figure(found: Agreement, ours: Side, theirs: Side) -> plots.Figure:
    assert found.offset.seconds is not None
    layout = plots.layout(380, legend=True) | {"hovermode": "x"}
    layout["xaxis"] = plots.time_axis(assumed=False, anchor="y2")
    layout["yaxis"] = plots.axis("", domain=[0.72, 1.0], tickvals=[0, 1], ticktext=["hold", "on"], range=[-0.2, 1.2])
    layout["yaxis2"] = plots.axis("towards superior (mm)", domain=[0.0, 0.64])
    start_s = float(ours.t_s[0])
    bias_mm = found.bias_mm or (0.0, 0.0, 0.0)
    traces = []
    sides = (("ours", ours, 0.0, 0.0, plots.BLUE), ("theirs", theirs, found.offset.seconds, bias_mm[2], plots.ORANGE))
    for name, side, later_s, bias, colour in sides:
        t_s = plots.numbers(side.t_s + later_s - start_s)
        line = {"color": colour, "width": 1.6}
        if side.hold is not None:
            shape = {**line, "shape": "hv"}
            on = plots.numbers(~side.hold)
            traces.append({"x": t_s, "y": on, "name": f"gate, {name}", "line": shape, "mode": "lines"})
        if side.located.any():
            up_mm = plots.numbers(side.position_mm[:, 2] - bias)
            centre = {"x": t_s, "y": up_mm, "name": f"centre, {name}", "line": line, "mode": "lines"}
            traces.append(centre | {"yaxis": "y2"})
    layout["shapes"] = [
        {
            **{"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0}, "opacity": 0.18},
            **{"x0": one.begin_s, "x1": one.begin_s + one.duration_ms / 1e3},
            "fillcolor": plots.AMBER if one.kind == APART else plots.RED,
        }
        for one in found.disagreements
    ]
    return {"data": traces, "layout": layout}


def _percent(part: float | None) -> str:
    return number(None if part is None else 100 * part, ".1f")
