"""How `cinegate sessions` shows what it finds: tables for people, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gating.analysis.unknown import number, percent
from gating.pages.page import UNKNOWN

if TYPE_CHECKING:
    from gating.archive.comparison import Group
    from gating.archive.trend import SessionTrend


def day(moment: datetime | None) -> str:
    """Return a moment as text; a dash if it is not known."""
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def plain(value: Any) -> Any:
    """Return a value of the index for JSON: moments in ISO 8601, UTC."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return f"{value.isoformat(timespec='seconds')}Z" if isinstance(value, datetime) else value


def became(file: dict[str, Any]) -> str:
    """Return what became of a log, as a sentence."""
    log, session = file["log"], file["session_id"] or "no session"
    return {
        "vanished": f"{log} ({session}) vanished since it was indexed on {day(file['indexed_utc'])}",
        "changed": f"{log} ({session}) changed since it was indexed on {day(file['indexed_utc'])}: what it is now is "
        "shown; `cinegate verify` tells whether it is still as it was written",
        "copy": f"{log} ({session}) has the content of another log, and is counted once",
    }.get(file["state"], f"{log}: {file['problem']}")


def sessions_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a line for each session."""
    table = Table("began", "patient", "fx", "session", "strategy", "beam on", "p95 mm", "held for")
    for row in rows:
        held = max(row["holds"], key=lambda hold: int(hold["count"]), default=None)
        table.add_row(
            day(row["started_utc"]),
            Text(row["patient"] or UNKNOWN),
            Text(row["fraction"] or UNKNOWN),
            Text(row["session_id"]),
            row["strategy"],
            percent(row["duty_cycle"], 0),
            number(row["residual_p95_mm"]),
            UNKNOWN if held is None else f"{held['reason']} {held['count']}",
        )
    return table


def values_table(row: dict[str, Any]) -> Table:
    """Return every value of a row."""
    table = Table("what", "found", show_header=False)
    for name, value in row.items():
        table.add_row(name, _text(value))
    return table


def _text(value: Any) -> Text:
    shown = f"{value:.5g}" if isinstance(value, float) else str(plain(value))
    return Text(UNKNOWN if value in (None, "", []) else shown)


def any_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the answer to a query."""
    table = Table(*(rows[0] if rows else ["nothing"]))
    for row in rows:
        table.add_row(*map(_text, row.values()))
    return table


def motion_table(by: str, groups: Sequence[Group]) -> Table:
    """Return beam on and residual motion of each group: median, with quartiles."""
    table = Table(by, "sessions", "patients", "beam on", "p95 gated mm", "p95 free mm")
    for group in groups:
        low, middle, high = (percent(duty, 0) for duty in group.duty_cycle)
        duty = f"{middle} ({low} to {high})"
        spreads = (
            f"{number(one[1])} ({number(one[0])} to {number(one[2])})"
            for one in (group.residual_p95_mm, group.free_p95_mm)
        )
        table.add_row(Text(group.value or UNKNOWN), str(group.sessions), str(group.patients or UNKNOWN), duty, *spreads)
    return table


def errors_table(by: str, groups: Sequence[Group]) -> Table:
    """Return the systematic and random errors of each group, with gating and without, and the margin."""
    table = Table(by, "axis", "Sigma gated", "sigma gated", "Sigma free", "sigma free", "blur", "margin mm")
    for group in groups:
        for axis in group.axes:
            errors = (
                f"{number(mm, 2)} ± {number(se_mm, 2)}"
                for one in (axis.gated, axis.free)
                for mm, se_mm in (
                    (one.systematic_mm, one.systematic_se_mm),
                    (one.random_mm, one.random_se_mm),
                )
            )
            name = Text(group.value or UNKNOWN)
            table.add_row(name, axis.axis, *errors, number(axis.blur_mm, 2), number(axis.margin_mm))
    return table


def signals_table(found: SessionTrend) -> Table:
    """Return the sessions that signalled."""
    table = Table("began", "patient", "fx", "session", "value", "signal")
    for at, said in found.trend.signals.items():
        row = found.rows[at]
        table.add_row(
            day(row["started_utc"]),
            Text(row["patient"] or UNKNOWN),
            Text(row["fraction"] or UNKNOWN),
            Text(row["session_id"]),
            number(row["value"], 3),
            said,
        )
    return table
