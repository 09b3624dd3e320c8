"""One HTML page that needs no network, and the pieces that it is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from gating.pages.plots import Figure

UNKNOWN: Final = "-"
"""Stands in a cell where nothing is known."""
FILM: Final = '<script type="application/json" id="film">'
_NUMBER: Final = re.compile(r"[-+\u2212]?\d[\d.,]*( %)?")
_TAG: Final = re.compile(r"<[^>]*>")
_PLOT: Final = {"displayModeBar": False, "responsive": True}


def page(title: str, body: str, plots: Mapping[str, Figure] | None = None) -> str:
    """Return a page.

    Parameters
    ----------
    title
        Plain text, for the window.
    body
        HTML, made of the pieces below.
    plots
        Figures by the id of their `div` in the body. Without any, plotly's code is left out.
    """
    drawn = ""
    if plots:
        from plotly.offline import get_plotlyjs

        drawn = (
            f"<script>{get_plotlyjs()}</script>\n<script>\nconst plots = {script_json(dict(plots))};\n"
            "for (const [name, plot] of Object.entries(plots))\n"
            f"  Plotly.newPlot(name, plot.data, plot.layout, {script_json(_PLOT)});</script>"
        )
    needed = {"sorting.js": '<table class="sorted"', "choosing.js": 'id="chosen"'}
    scripts = "".join(f"<script>{_resource(name)}</script>" for name, where in needed.items() if where in body)
    style = _resource("page.css")
    if FILM in body:
        scripts += f'<script type="module">{_resource("player.js")}</script>'
        style += _resource("player.css")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style></head>
<body><main>{body}</main>
{drawn}{scripts}</body></html>
"""


def head(title: str, below: str, notice: str = "") -> str:
    """Return the head of a page: plain texts."""
    said = f'<p class="notice">{escape(notice)}</p>' if notice else ""
    return f'<header><div><h1>{escape(title)}</h1><p class="muted">{escape(below)}</p></div></header>{said}'


def section(title: str, caption: str, body: str) -> str:
    """Return a box with a title; all three are HTML."""
    below = f'<p class="caption">{caption}</p>' if caption else ""
    return f"<section><h2>{title}</h2>{below}{body}</section>"


def card(label: str, value: str, unit: str, below: str, means: str = "") -> str:
    """Return one figure in large type: HTML, and as plain text what it means, where the pointer rests on it."""
    hint = f' title="{escape(means)}"' if means else ""
    return f"""<div class="card"{hint}><div class="label">{label}</div>
<div class="value">{value}<small> {unit}</small></div><div class="sub">{below}</div></div>"""


def warning(sentence: str) -> str:
    """Return a sentence that must not be overlooked, HTML."""
    return f'<p class="warning">{sentence}</p>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return a legend of (kind of line, meaning)."""
    return "".join(f'<span class="key"><i class="{kind}"></i>{text}</span>' for kind, text in entries)


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    leave_out_empty: bool = False,
    meanings: Mapping[str, str] | None = None,
    can_sort: bool = False,
    row_data: Sequence[str] = (),
) -> str:
    """Return a table of HTML cells; columns of numbers keep to the right.

    Parameters
    ----------
    leave_out_empty
        Leave out a column in which nothing is known.
    meanings
        What a column means, by its title: shown where the pointer rests on it.
    can_sort
        A click on a title sorts by that column.
    row_data
        What each row stands for, plain text: a click shows it in the element `chosen`, a click on a plot's point that
        of the row whose number is the point's `customdata`.
    """
    used = [
        column
        for column in range(len(titles))
        if not leave_out_empty or column == 0 or any(row[column] not in ("", UNKNOWN) for row in rows)
    ]
    right = [' class="n"' if _is_numeric([row[column] for row in rows]) else "" for column in range(len(titles))]
    hints = [_hint(title, meanings) for title in titles]

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{right[column] if column else ''}{hints[column] if tag == 'th' else ''}>{row[column]}</{tag}>"
            for column in used
        )

    data = [f' data-row="{escape(one)}"' for one in row_data] or [""] * len(rows)
    lines = "".join(f"<tr{one}>{cells(row, 'td')}</tr>" for row, one in zip(rows, data, strict=True))
    kind = ' class="sorted"' if can_sort else ""
    shown = f"<table{kind}><thead><tr>{cells(titles, 'th')}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="wide">{shown}</div>'


def sign_off_section(about: str, roles: Sequence[str]) -> str:
    """Return the block to be signed, on paper or in a PDF: what it is about (HTML), and who signs."""
    blank = table(["role", "name", "date", "signature"], [[escape(role), "", "", ""] for role in roles])
    remarks = '<p class="caption">Accepted / not accepted, because:</p><div class="remarks"></div>'
    caption = f"{about}. A signature here is a statement of the person who signs."
    return section("Sign-off", caption, f'<div class="sign">{blank}{remarks}</div>')


def player(film: Any) -> str:
    """Return a player of a film, in step with the plot `motion` of the page."""
    return f'<div id="player"></div>{FILM}{script_json(film)}</script>'


def number(value: float | None, form: str = ".2f") -> str:
    """Return a number, or a dash where it is not known."""
    return UNKNOWN if value is None or not abs(value) < float("inf") else format(value, form)


def script_json(value: Any) -> str:
    """Return JSON that no HTML parser can mistake for the end of a script."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _is_numeric(cells: Sequence[str]) -> bool:
    known = [_TAG.sub("", cell) for cell in cells if cell not in ("", UNKNOWN)]
    return bool(known) and all(_NUMBER.fullmatch(cell) for cell in known)


def _hint(title: str, meanings: Mapping[str, str] | None) -> str:
    meaning = (meanings or {}).get(title, "")
    return f' title="{escape(meaning)}"' if meaning else ""


def _resource(name: str) -> str:
    return files("gating.pages").joinpath(name).read_text(encoding="utf-8")
