"""The verdict on a tracker as one table, alone or beside an earlier one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bench.truth.judge import Orders, Verdict

Row = dict[str, Any]
COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "frames": ("frames", "d"),
    "dsc": ("DSC", ".3f"),
    "hd95_mm": ("HD95", ".1f"),
    "outline_mm": ("outline", ".2f"),
    "outline_p95_mm": ("p95", ".2f"),
    "content_mm": ("content", ".2f"),
    "content_p95_mm": ("p95", ".2f"),
    "tof_points": ("TOF", ".1f"),
    "tof_p95_points": ("p95", ".1f"),
    "confident": ("conf.", ".0%"),
    "tracked": ("tracked", ".0%"),
    "confident_wrong": ("wrong", "d"),
    "confident_wrong_max_mm": ("max", ".1f"),
    "confident_tof": ("TOF>5", "d"),
    "p50_ms": ("p50", ".2f"),
    "p99_ms": ("p99", ".2f"),
}
COMPARED: Final = ("dsc", "outline_mm", "outline_p95_mm", "content_mm", "content_p95_mm", "tof_points", "confident",
                   "confident_wrong", "confident_tof", "p50_ms", "p99_ms")  # fmt: skip
LEGEND: Final = """\
DSC as TrackRAD2025 defines it; HD95 in mm. outline, content: centre error, mm, of the contour's centroid and of
the reported centre against the mean motion inside. TOF: error of the target-out fraction, percentage points (3 mm
margin). conf.: confidence of 0.8 or more. wrong: confident and more than 3 mm off (2 px where that is more), max: the
largest of these, mm. TOF>5: confident and the target-out fraction more than 5 points off. p50, p99: ms a frame, with
other processes running."""


def as_json(verdict: Verdict, orders: Orders, seeds: list[int]) -> dict[str, Any]:
    """Return what a later run is compared with."""
    return {
        "tracker": orders.tracker, "prepare_frames": orders.prepare_frames, "seeds": seeds, "groups": verdict.rows(),
        "people": verdict.rows("person"), "cases": verdict.rows("name"), "refused": verdict.refused(),
    }  # fmt: skip


def table(rows: dict[str, Row]) -> str:
    """Return one line per group as a Markdown table."""
    cells = [["", *(title for title, _ in COLUMNS.values())]]
    cells += [[name, *(shown(row.get(key), key) for key in COLUMNS)] for name, row in rows.items()]
    return _aligned(cells)


def comparison(rows: dict[str, Row], earlier: dict[str, Row]) -> str:
    """Return `old > new` for every group that both have."""
    cells = [["", *_compared_titles()]]
    for name, row in rows.items():
        if name in earlier:
            pairs = [(shown(earlier[name].get(key), key), shown(row.get(key), key)) for key in COMPARED]
            cells.append([name, *(old if old == new else f"{old} > {new}" for old, new in pairs)])
    return _aligned(cells)


def _compared_titles() -> list[str]:
    titles, before = [], ""
    for key in COMPARED:
        title = COLUMNS[key][0]
        titles.append(f"{before} {title}" if title == "p95" else title)
        before = title
    return titles


def shown(value: Any, key: str) -> str:
    """Return a figure as the table writes it; a dash where it is unknown."""
    return "-" if value is None else format(value, COLUMNS[key][1])


def read_earlier(path: Path) -> dict[str, Row]:
    """Return the groups of a file that `as_json` made.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    try:
        groups: dict[str, Row] = json.loads(path.read_text())["groups"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not a file that --json wrote ({error})") from None
    return groups


def _aligned(cells: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, rest = (
            row[0].ljust(widths[0]),
            (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        )
        lines.append("| " + " | ".join([first, *rest]) + " |")
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
