"""The page of `cinegate dose`: planned beside delivered, with what the figures leave out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from gating.delivered.assessment import GATED, MEANINGS, UNGATED, Assessment, StructureDose
from gating.delivered.dvh import DoseFigures
from gating.pages import plots
from gating.pages.page import head, number, page, section, table
from gating.settings.private_file import private_file

NOTICE: Final = (
    "Research software, not a medical device. The planned dose is moved rigidly with the target; this is no dose "
    "calculation."
)
COLUMNS: Final = {
    "structure": "",
    "delivery": "",
    "D98 (Gy)": "Near-minimum: 98 % of the volume receives it or more.",
    "D95 (Gy)": "95 % of the volume receives it or more.",
    "D2 (Gy)": "Near-maximum: 2 % of the volume receives it or more.",
    "Dmean (Gy)": "Mean dose.",
    "V100 (%)": "Part of the volume that receives the prescribed dose or more.",
    "D2cc (Gy)": "The 2 cm3 with the most dose receive it or more.",
}
LINES: Final = {"planned": "solid", GATED: "dash", UNGATED: "dot", "itv planned": "longdash", "itv": "dashdot"}


def cells(figures: DoseFigures) -> list[str]:
    """Return the figures of a structure as text, in the order of `COLUMNS`; a dash where one is not known."""
    shown = (figures.d98_gy, figures.d95_gy, figures.d2_gy, figures.mean_gy, 100 * figures.v100, figures.d2cc_gy)
    return [number(value, ".1f" if place == 4 else ".2f") for place, value in enumerate(shown)]


def rows(structures: Sequence[StructureDose]) -> list[list[str]]:
    """Return a row for each structure and delivery, and for the spread of the gated one."""
    found = []
    for one in structures:
        for name, figures in one.figures.items():
            found.append([one.name, name, *cells(figures)])
            if name == GATED and one.spread is not None:
                low, high = cells(one.spread.p5), cells(one.spread.p95)
                both = [f"{a} to {b}" for a, b in zip(low, high, strict=True)]
                found.append([one.name, "gated with errors, 5 to 95 %", *both])
    return found


def delivery_rows(found: Assessment) -> list[list[str]]:
    """Return a row for each delivery."""
    return [
        [
            one.name,
            number(one.beam_on_s, ".1f"),
            number(one.unknown_s, ".1f"),
            number(100 * one.delivered, ".1f"),
            number(one.prescribed_cm3, ".1f"),
            number(one.half_cm3, ".1f"),
            MEANINGS[one.name],
        ]
        for one in found.deliveries
    ]


DELIVERY_COLUMNS: Final = (
    "delivery", "beam on (s)", "position unknown (s)", "delivered (%)", "prescribed dose (cm3)", "half of it (cm3)",
    "what it is",
)  # fmt: skip


def write_dose_page(path: Path, found: Assessment, log: str) -> None:
    """Write the page, with mode 0600. Raises `OSError` if it cannot be written."""
    known = "" if found.prescribed_gy is None else f", {found.prescribed_gy:g} Gy prescribed"
    missing = "".join(f"<p>{escape(name)}: {escape(why)}.</p>" for name, why in found.not_delivered.items())
    body = [
        head("Delivered dose", f"{log}: {found.target}{known}, beam {found.beam_known_by}", NOTICE),
        section("Dose-volume histograms", "", '<div id="dvh"></div>'),
        section(
            "Planned beside delivered",
            "5 to 95 %: the percentiles with errors of tracking and latency, by Monte Carlo. Errors mostly take dose "
            "from a target, so that they may lie below the figure itself.",
            table(list(COLUMNS), [[escape(cell) for cell in row] for row in rows(found.structures)], meanings=COLUMNS),
        ),
        section("Deliveries", "", table(DELIVERY_COLUMNS, delivery_rows(found)) + missing),
        section(
            "What these figures leave out", "", f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in found.left_out)}</ul>"
        ),
    ]
    text = page(f"Delivered dose: {log}", "\n".join(body), {"dvh": _figure(found)})
    private_file(path).write_text(text, encoding="utf-8")


def _figure(found: Assessment) -> plots.Figure:
    traces: list[dict[str, Any]] = []
    for place, one in enumerate(found.structures):
        traces += [
            {
                "type": "scatter", "mode": "lines", "name": f"{one.name}, {name}", "x": plots.numbers(found.dvh_gy),
                "y": plots.numbers(100 * part for part in curve), "hovertemplate": "%{x:.1f} Gy: %{y:.1f} %",
                "line": {"color": plots.colour(place), "dash": LINES[name], "width": 1.8},
                "visible": True if name in (GATED, UNGATED, "planned") else "legendonly",
            }
            for name, curve in one.dvh.items()
        ]  # fmt: skip
    layout = plots.layout(480, legend=True)
    layout["xaxis"] = plots.axis("dose (Gy)", rangemode="tozero")
    layout["yaxis"] = plots.axis("volume (%)", range=[0, 102])
    return {"data": traces, "layout": layout}
