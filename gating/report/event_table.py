"""The events of a session as a table in which those of one kind are folded into one row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from gating.pages.page import table
from gating.report.summary import EventLine

SHOWN: Final = 40


def event_table(events: Sequence[EventLine]) -> str:
    """Return one row for each kind of event, at the time of its first; a click unfolds the others.

    A click on a time takes the page's player there.
    """
    kinds: dict[tuple[str, str, str], list[EventLine]] = {}
    for event in events:
        kinds.setdefault((event.role, event.severity, event.code), []).append(event)
    rows = [_row(alike) for alike in list(kinds.values())[:SHOWN]]
    more = sum(len(alike) for alike in list(kinds.values())[SHOWN:])
    tail = f'<p class="caption">and {more} more in the log</p>' if more else ""
    return table(["t (s)", "from", "event", "times", "what happened"], rows) + tail


def _row(alike: Sequence[EventLine]) -> list[str]:
    first, last = alike[0], alike[-1]
    when = _time(first) + (f" to {_time(last)}" if len(alike) > 1 else "")
    code = f'<span class="severity-{escape(first.severity)}">{escape(first.code.replace("_", " "))}</span>'
    said = escape(first.text)
    if len(alike) > 1:
        lines = "".join(f"<li>{_time(one)} s: {escape(one.text)}</li>" for one in alike[1:])
        said += f"<details><summary>{len(alike) - 1} more</summary><ul>{lines}</ul></details>"
    return [when, escape(first.role), code, str(len(alike)), said]


def _time(event: EventLine) -> str:
    return f'<button type="button" class="jump" data-t="{event.t_s:.4f}">{event.t_s:.2f}</button>'
