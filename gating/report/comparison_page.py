"""The page of `cinegate cohort verify`: decisions that differ, counted, drawn over time, and their first frames."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from gating.analysis.comparison import Comparison, Place
from gating.analysis.stretches import MEANS, Change
from gating.pages import plots
from gating.pages.page import card, head, legend, page, section, table
from gating.report.frames import ChosenFrame, draw_frames
from gating.session.summary_data import SessionData
from gating.settings.private_file import private_file

DRAWN_LOGS: Final = 20
COLOURS: Final = {Change.HOLD_TO_ON: plots.RED, Change.ON_TO_HOLD: plots.AMBER, Change.REASON: plots.GREY}
NOTICE: Final = (
    "Research software, not a medical device. Every log was replayed through the engine at its logged times. Faults of "
    "other processes are taken from the log; they can only hold the beam."
)
COLUMNS: Final = {
    "log": "",
    "change": "How the decisions differ.",
    "from (s)": "After the first command of the log.",
    "for (s)": "From the first of the commands to the last.",
    "commands": "Consecutive commands that differ in the same way.",
    "frames": "",
    "in the log": "State of the beam and reason.",
    "in the replay": "State of the beam and reason.",
}
WORST_CAPTION: Final = (
    "Hold to on first, then on to hold, then other reasons; of each the longest. All are in the file."
)
FRAMES_CAPTION: Final = "The worst stretch of each log: its first frame as the log has it, with the log's own decision."
PLOT_CAPTION: Final = "The logs with the worst stretches; a bar is a stretch. Point at one to read it."


def write_comparison_page(path: Path, found: Comparison, compared: str, pictures: Sequence[str]) -> None:
    """Write the page, with mode 0600.

    Parameters
    ----------
    path
        The HTML file.
    found
        The comparison.
    compared
        What was compared with what, plain text.
    pictures
        First frames of the worst stretches, HTML; see `first_frame`.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    below = f"{found.logs} logs, {found.commands} decisions on {found.frames} frames: {compared}"
    figures = {}
    body = [head("Decisions compared", below, NOTICE), f'<div class="cards">{_cards(found)}</div>']
    if found.worst:
        figures["stretches"] = _timeline(found.worst)
        body.append(section("Where decisions differ", PLOT_CAPTION, '<div id="stretches"></div>'))
        if pictures:
            keys = legend([("line-contour", "target, as tracked"), ("line-boundary", "gating boundary")])
            shown = f'{keys}<div class="frames">{"".join(pictures)}</div>'
            body.append(section("First differing frames", FRAMES_CAPTION, shown))
        body.append(section("The worst stretches", WORST_CAPTION, _worst(found.worst)))
        body.append(section("What became what", "", _transitions(found)))
    private_file(path).write_text(page("Decisions compared", "\n".join(body), figures), encoding="utf-8")


def first_frame(data: SessionData, place: Place) -> str:
    """Return the first frame of a stretch as an HTML figure; empty if the log has no estimate for it."""
    first, one = place.stretch.first_frame, place.stretch
    estimates = (estimate for target in data.estimates.values() for estimate in target)
    estimate = next((estimate for estimate in estimates if estimate.frame_sequence == first), None)
    if estimate is None or first not in data.frames:
        return ""
    why = f"{Path(place.log).stem}: {one.change}, {_words(one.replayed_reason)}"
    return draw_frames(data, [ChosenFrame(first, why, estimate)])


def _cards(found: Comparison) -> str:
    shown = [card("same", str(found.same), f"of {found.logs} logs", "every decision as logged")]
    for change, difference in found.differences.items():
        below = f"{difference.seconds:.1f} s in {difference.stretches} stretches of {difference.logs} logs"
        shown.append(card(change, str(difference.commands), "decisions", below, MEANS[Change(change)]))
    if found.not_replayed:
        shown.append(card("not replayed", str(found.not_replayed), "logs", "damaged"))
    return "".join(shown)


def _timeline(worst: Sequence[Place]) -> plots.Figure:
    logs = list(dict.fromkeys(place.log for place in worst))[:DRAWN_LOGS]
    names = {log: f"{number + 1}. {Path(log).stem}" for number, log in enumerate(logs)}
    traces: list[dict[str, Any]] = []
    for change in Change:
        mine = [place for place in worst if place.stretch.change is change and place.log in names]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": str(change),
                "y": [names[place.log] for place in mine],
                "base": plots.numbers([place.stretch.begin_s for place in mine]),
                "x": plots.numbers([place.stretch.duration_s for place in mine]),
                "text": [_transition(place) for place in mine],
                "textposition": "none",
                "hovertemplate": "%{y}<br>%{text}<br>from %{base:.1f} s, for %{x:.2f} s<extra></extra>",
                "marker": {"color": COLOURS[change], "line": {"color": COLOURS[change], "width": 2}},
            }
        )
    layout = plots.layout(120 + 26 * len(logs), legend=True) | {"barmode": "overlay"}
    layout["xaxis"] = plots.axis("time after the first command (s)", rangemode="tozero")
    layout["yaxis"] = plots.axis(autorange="reversed", automargin=True)
    return {"data": traces, "layout": layout}


def _transition(place: Place) -> str:
    one = place.stretch
    logged, replayed = _words(one.logged_reason), _words(one.replayed_reason)
    return f"{one.logged_state} ({logged}) in the log, {one.replayed_state} ({replayed}) in the replay"


def _worst(worst: Sequence[Place]) -> str:
    rows = []
    for place in worst:
        one = place.stretch
        logged, replayed = _words(one.logged_reason), _words(one.replayed_reason)
        states = [escape(f"{one.logged_state}: {logged}"), escape(f"{one.replayed_state}: {replayed}")]
        times = [f"{one.begin_s:.2f}", f"{one.duration_s:.2f}", str(one.commands)]
        frames = f"{one.first_frame} to {one.last_frame}"
        rows.append([escape(Path(place.log).name), str(one.change), *times, frames, *states])
    return table(list(COLUMNS), rows, meanings=COLUMNS, can_sort=True)


def _transitions(found: Comparison) -> str:
    rows = [[escape(_words(one.logged)), escape(_words(one.replayed)), str(n)] for one, n in found.most_common()]
    return table(["in the log", "in the replay", "commands"], rows)


def _words(reason: str) -> str:
    return reason.replace("_", " ")
