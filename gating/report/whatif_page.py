"""The page of `cinegate whatif`: every setting, those that no other one beats, and the chosen one as TOML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from gating.analysis.definitions import SENTENCES
from gating.analysis.whatif import Outcome, Setting, why_none, with_setting
from gating.messages import ASSUMED_TIME_MEANS
from gating.pages import plots
from gating.pages.page import head, number, page, section, table, warning
from gating.settings.changed import changed_toml
from gating.settings.config import Config
from gating.settings.private_file import private_file

NOTICE: Final = (
    "Research software, not a medical device. The target was tracked once; the engine then decided under every "
    "setting, with a beam that follows each decision after the latency."
)
COLUMNS: Final = {
    "front": "No other setting of this recording and latency has both more duty cycle and less residual motion.",
    "recording": "",
    "margin (mm)": "Distance from the target to its gating boundary, the same on all sides.",
    "out (%)": "Part of the target's area that may lie outside the boundary.",
    "delay (ms)": "Beam-on delay: every condition must hold for this long.",
    "predictor": "",
    "latency (ms)": SENTENCES["simulated latency"],
    "duty cycle (%)": SENTENCES["duty cycle"],
    "residual p95 (mm)": SENTENCES["residual motion"],
    "coverage (%)": SENTENCES["coverage"],
    "D98 (%)": "Dose proxy: D98 of the target over D98 without motion.",
    "periods": "Times that the beam went on.",
    "overshoot p95 (mm)": SENTENCES["overshoot"],
    "the same result with": "Other settings whose figures are all the same.",
}

PLOT_CAPTION: Final = (
    "Up and to the left is better. The lines join the settings that no other one beats. Point at a setting to read it, "
    "click on it to use it."
)
USE_CAPTION: Final = (
    "Click on a point or a row. Save the text as a file, and start a session with <code>--config FILE</code>."
)
TABLE_CAPTION: Final = "Click on a title to sort."
FORMS: Final = (".1f", ".2f", ".1f", ".1f", ".0f", ".1f")
"""Formats of the figures, duty cycle to overshoot."""


def write_whatif_page(path: Path, outcomes: Sequence[Outcome], config: Config) -> None:
    """Write the page, with mode 0600.

    Parameters
    ----------
    path
        The HTML file.
    outcomes
        Every outcome, with the front marked.
    config
        The settings that all of them share.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    groups = _same_results(outcomes)
    names = list(dict.fromkeys(one.recording for one in outcomes))
    assumed = {one.recording for one in outcomes if one.times_assumed}
    body = [
        head("What if", f"{', '.join(names)}: {len(outcomes)} settings decided", NOTICE),
        *(warning(escape(f"{name}: {ASSUMED_TIME_MEANS}.")) for name in names if name in assumed),
        *(warning(escape(f"{sentence}.")) for sentence in why_none(outcomes).values()),
        section("Duty cycle against residual motion", PLOT_CAPTION, '<div id="outcomes"></div>'),
        section("Use this", USE_CAPTION, '<button id="copy">Copy</button><pre class="one" id="chosen"></pre>'),
        section("Every setting", TABLE_CAPTION, _settings(groups, config)),
    ]
    private_file(path).write_text(
        page(f"What if: {', '.join(names)}", "\n".join(body), {"outcomes": _figure(groups, names)}), encoding="utf-8"
    )


def _same_results(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Return the outcomes in groups whose figures are all the same; the front comes first, then by duty cycle."""
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for one in sorted(outcomes, key=lambda o: (not o.pareto, -o.duty_cycle)):
        key = (one.recording, one.setting.latency_ms, *(f"{figure:.4g}" for figure in _figures(one)))
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _figures(one: Outcome) -> tuple[float, ...]:
    return (
        100 * one.duty_cycle,
        one.residual_p95_mm,
        100 * one.coverage,
        100 * one.relative_d98,
        one.beam_on_periods,
        one.overshoot_p95_mm,
    )


def _settings(groups: Sequence[Sequence[Outcome]], config: Config) -> str:
    several = len({group[0].recording for group in groups}) > 1
    rows = []
    for first, *others in groups:
        s = first.setting
        figures = [number(figure, form) for figure, form in zip(_figures(first), FORMS, strict=True)]
        chosen = [f"{s.margin_mm:g}", f"{s.out_percent:g}", f"{s.delay_ms:g}", s.predictor, f"{s.latency_ms:g}"]
        front = "<b>front</b>" if first.pareto else ""
        name = escape(first.recording) if several else ""
        rows.append([front or "&nbsp;", name, *chosen, *figures, "; ".join(_short(o.setting) for o in others)])
    tomls = [changed_toml(with_setting(config, first.setting)) for first, *_ in groups]
    return table(list(COLUMNS), rows, leave_out_empty=True, meanings=COLUMNS, can_sort=True, row_data=tomls)


def _figure(groups: Sequence[Sequence[Outcome]], names: Sequence[str]) -> plots.Figure:
    traces: list[dict[str, Any]] = []
    numbered = list(enumerate(group[0] for group in groups))
    for place, name in enumerate(names):
        mine = [(row, one) for row, one in numbered if one.recording == name]
        traces.append(_points(mine, name, plots.colour(place)))
        for latency_ms in dict.fromkeys(one.setting.latency_ms for _, one in mine):
            front = [p for p in mine if p[1].pareto and p[1].setting.latency_ms == latency_ms]
            front.sort(key=lambda p: p[1].duty_cycle)
            line = _points(front, f"{name}, not beaten at {latency_ms:g} ms", plots.colour(place))
            traces.append(line | {"mode": "lines", "hoverinfo": "skip", "hovertemplate": None})
    layout = plots.layout(420, legend=True) | {"hovermode": "closest"}
    layout["xaxis"] = plots.axis("residual motion while the beam is on, 95 % (mm)")
    layout["yaxis"] = plots.axis("duty cycle (%)", rangemode="tozero")
    return {"data": traces, "layout": layout}


def _points(numbered: Sequence[tuple[int, Outcome]], name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": plots.numbers([one.residual_p95_mm for _, one in numbered]),
        "y": plots.numbers([100 * one.duty_cycle for _, one in numbered]),
        "customdata": [row for row, _ in numbered],
        "text": [_long(one.setting) for _, one in numbered],
        "hovertemplate": "%{text}<br>duty cycle %{y:.1f} %, residual motion %{x:.2f} mm<extra></extra>",
        "marker": {"color": colour, "size": 8, "opacity": 0.75},
        "line": {"color": colour, "width": 1.6},
    }


def _long(s: Setting) -> str:
    return (
        f"margin {s.margin_mm:g} mm, {s.out_percent:g} % out<br>predictor {s.predictor}, "
        f"beam-on delay {s.delay_ms:g} ms, latency {s.latency_ms:g} ms"
    )


def _short(s: Setting) -> str:
    return f"{s.margin_mm:g} mm {s.out_percent:g} % {s.predictor} {s.delay_ms:g} ms"
