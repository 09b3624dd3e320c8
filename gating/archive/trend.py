"""A figure over the sessions of an archive, watched as QA watches its measurements; and the page of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final, Literal

import numpy as np

from gating.analysis.trend import DECISION_SIGMA, SHEWHART_SIGMA, Trend, watch
from gating.analysis.trend_chart import control_chart
from gating.archive.store import ArchiveError
from gating.pages.page import UNKNOWN, card, head, number, page, section, table, warning

BASELINE: Final = 20
"""Sessions from which the control limits are taken, unless told otherwise."""
LONGEST_TABLE: Final = 500
NOTICE: Final = "Research software, not a medical device. Every figure is computed from the session logs."
CAPTION: Final = (
    "In the order in which they began. Green lines: mean of the baseline and control limits of single values "
    f"({SHEWHART_SIGMA:g} sigma). Red points: outside them, or the CUSUM beyond {DECISION_SIGMA:g} sigma. The limits "
    "are for independent values, and sessions of one patient resemble each other: watch patients to see what changes "
    "in all of them, and one patient's sessions to see what changes there."
)
Each = Literal["session", "patient"]


@dataclass(frozen=True, slots=True, eq=False)
class SessionTrend:
    """A figure over time.

    Attributes
    ----------
    figure
        Its name.
    each
        What a value is of.
    rows
        The sessions in which it is known, in the order in which they began, or the first of each patient; `value` is
        the figure, or its mean over the patient's sessions.
    unknown
        In how many of the wanted sessions it is not known.
    trend
        Of the values.
    """

    figure: str
    each: Each
    rows: list[dict[str, Any]]
    unknown: int
    trend: Trend


def session_trend(
    targets: Sequence[dict[str, Any]], figure: str, baseline: int = BASELINE, each: Each = "session"
) -> SessionTrend:
    """Return the trend of a figure of the targets.

    Parameters
    ----------
    targets
        Rows of `Database.targets`.
    figure
        Column of theirs.
    baseline
        Number of values, from the first on, that the others are compared with.
    each
        A value for each session, or one for each patient; sessions without the label of a patient are then left out.

    Raises
    ------
    ArchiveError
        If there are no sessions, or the figure is none.
    """
    if not targets:
        raise ArchiveError("no session is wanted; there is no trend")
    figures = sorted(name for name in targets[0] if any(isinstance(row[name], int | float) for row in targets))
    if figure not in figures:
        raise ArchiveError(f"figure is {figure!r}; one of {', '.join(figures)} is needed")
    rows = [{**_about(row), "value": row[figure]} for row in targets if row[figure] is not None]
    unknown = len(targets) - len(rows)
    rows = _patients(rows) if each == "patient" else rows
    values = np.array([row["value"] for row in rows], np.float64)
    trend = watch(values, [True] * len(values), baseline, tolerance=0.0)
    return SessionTrend(figure, each, rows, unknown, trend)


def _patients(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first session of each patient, with the mean of all of them."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["patient"], []).append(row["value"])
    first = {row["patient"]: row for row in reversed(rows) if row["patient"]}
    return [{**row, "value": float(np.mean(values[name]))} for name, row in reversed(first.items())]


def _about(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("log", "session_id", "started_utc", "patient", "fraction", "target")}


def trend_page(found: SessionTrend, about: str) -> str:
    """Return the page of a trend; `about` says in plain text which sessions it is of."""
    trend = found.trend
    signals = [
        f"{_day(found.rows[at]['started_utc'])}, {found.rows[at]['session_id']}: {said}"
        for at, said in trend.signals.items()
    ]
    body = [
        head(found.figure, about, NOTICE),
        *(warning(escape(f"{sentence}.")) for sentence in signals[:20]),
        f'<div class="cards">{_cards(found)}</div>',
        section("Over time", CAPTION, '<div id="trend"></div>'),
        section("Values", _table_caption(found), _sessions(found)),
    ]
    return page(f"Trend of {found.figure}", "\n".join(body), {"trend": control_chart(trend, found.figure, found.each)})


def _cards(found: SessionTrend) -> str:
    trend = found.trend
    return "".join(
        (
            card(f"{found.each}s", str(len(found.rows)), "", f"it is not known in {found.unknown} sessions"),
            card("mean of the baseline", number(trend.centre, ".4g"), "", f"of {trend.baseline} {found.each}s"),
            card("sigma", number(trend.sigma, ".3g"), "", "from moving ranges"),
            card("signals", str(len(trend.signals)), "", "outside the control limits, or drifting"),
        )
    )


def _table_caption(found: SessionTrend) -> str:
    shown = f" The last {LONGEST_TABLE} of {len(found.rows)}." if len(found.rows) > LONGEST_TABLE else ""
    return f"Click on a title to sort.{shown}"


def _sessions(found: SessionTrend) -> str:
    trend = found.trend
    rows = [
        [
            _day(row["started_utc"]), escape(row["patient"] or UNKNOWN), escape(row["fraction"] or UNKNOWN),
            escape(row["session_id"]), escape(row["target"]), number(row["value"], ".4g"),
            number(float(trend.high[at]), ".1f"), number(float(trend.low[at]), ".1f"),
            escape(trend.signals.get(at, "")),
        ]
        for at, row in enumerate(found.rows)
    ]  # fmt: skip
    titles = ["began", "patient", "fraction", "session", "target", "value", "CUSUM above", "CUSUM below", "signal"]
    return table(titles, rows[-LONGEST_TABLE:], leave_out_empty=True, can_sort=True)


def _day(moment: datetime | None) -> str:
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M}"
