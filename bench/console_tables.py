"""What the benches of the console print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rich.table import Table

HEADS: Final = ("p50", "p99", "p999", "max")
STAGES: Final = {
    "to_console": "from the source to the console",
    "to_sent": "contours, and until the page has room",
    "to_draw": "until the page draws",
    "draw": "drawing",
    "paint": "until it is painted",
    "both_ways": "on the WebSocket, there and back",
}


def pages_table(rows: Iterable[dict[str, Any]]) -> Table:
    """Return published to drawn with its stages, and the engine with and without console, ms."""
    table = Table("rate", "", *("p50", "p99", "p99.9", "max", "n"), title="Console, 256x256 px, ms")
    for row in rows:
        names = {
            "published to drawn, one page": row["published_to_drawn_ms"],
            **{f"- {words}": row["stages_ms"][stage] for stage, words in STAGES.items() if stage in row["stages_ms"]},
            f"engine with console and {row['browsers']} browsers": row["engine_with_ms"],
            "engine with all of them stopped": row["engine_without_ms"],
        }
        for name, found in names.items():
            numbers = ["" if found[key] is None else f"{found[key]:.3f}" for key in HEADS]
            table.add_row(f"{row['rate_hz']:g}/s", name, *numbers, str(found["n"]))
    return table


def memory_table(result: dict[str, Any]) -> Table:
    """Return what server and page held at the ends of the time, and how it grew."""
    title = f"Console and page, {result['minutes']:g} min after a warm-up"
    table = Table("", "first", "last", "growth", "95 % interval", "judged", title=title)
    for name, one in result["held"].items():
        growth, low, high = (f"{one[key]:+.2f} %" for key in ("growth_percent", "low_percent", "high_percent"))
        ends = (f"{one[key]:.2f}" for key in ("first", "last"))
        table.add_row(name, *ends, growth, f"{low} to {high}", "yes" if one["judged"] else "no")
    return table
