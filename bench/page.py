"""One benchmark run, or several compared, as an HTML page that works offline."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any, Final

PIPELINES: Final = {
    "relay": ("bare relay: the same sockets and processes, no tracking", "#9aa5b1"),
    "cinegate": ("cinegate, rigid match", "#1f6fb2"),
    "opencv": ("the same pipeline with cv2.matchTemplate", "#d9822b"),
}
KEYS: Final = ("p50", "p99", "p999", "max")
LABELS: Final = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
NOTICE: Final = (
    "Software latency on this computer: from the publication of a frame to its gate command at the beam interface. "
    "Acquisition, reconstruction and the linac are not in it."
)
DASHES: Final = ("solid", "dot")


def render(results: list[dict[str, Any]], names: list[str]) -> str:
    """Return the page of one run, or of several side by side.

    Parameters
    ----------
    results
        Results of `bench.results.collect`.
    names
        Names of the runs, for the headings.
    """
    from plotly.offline import get_plotlyjs

    css = files("gating.report").joinpath("page.css").read_text(encoding="utf-8")
    cases = list(dict.fromkeys(detail["case"] for result in results for detail in result["details"]))
    plots = {f"plot{number}": distribution_figure(case, results, names) for number, case in enumerate(cases)}
    drawn = "".join(
        _section(case, "Share of frames that take longer.", f'<div id="plot{number}"></div>')
        for number, case in enumerate(cases)
    )
    body = "".join(
        [
            f'<header><div><h1>Latency benchmark</h1><p class="muted">{escape(" and ".join(names))}</p></div></header>',
            f'<p class="notice">{NOTICE}</p>',
            _loop_tables(results, names),
            drawn,
            _millimetres(results, names),
            _engine_tables(results, names),
            _kernel_tables(results, names),
            _checks(results, names),
            _provenance(results, names),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>cinegate bench: {escape(" and ".join(names))}</title>
<style>{css}</style><script>{get_plotlyjs()}</script></head><body><main>{body}</main>
<script>
const plots = {json.dumps(plots, allow_nan=False).replace("<", chr(92) + "u003c")};
for (const [name, plot] of Object.entries(plots))
  Plotly.newPlot(name, plot.data, plot.layout, {{"displayModeBar": false, "responsive": true}});
</script></body></html>
"""


def distribution_figure(case: str, results: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Return a plot of the share of frames slower than a latency, both axes logarithmic, for each pipeline and run."""
    traces = []
    for run, (result, name) in enumerate(zip(results, names, strict=True)):
        for detail in result["details"]:
            for pipeline, one in detail["distributions"].items() if detail["case"] == case else ():
                label, colour = PIPELINES.get(pipeline, (pipeline, "#11857f"))
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "x": one["ms"],
                        "y": [round(100 - share, 4) for share in one["percentile"]],
                        "name": label if len(results) == 1 else f"{name}: {pipeline}",
                        "line": {"color": colour, "width": 2, "dash": DASHES[run % len(DASHES)], "shape": "hv"},
                        "hovertemplate": "%{y:.2f} % take %{x:.3f} ms or longer<extra></extra>",
                    }
                )
    axis = {"type": "log", "gridcolor": "#e6eaee", "linecolor": "#c4ccd4", "ticks": "outside", "zeroline": False}
    layout = {
        "height": 340,
        "margin": {"l": 64, "r": 20, "t": 8, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, 'Segoe UI', system-ui, sans-serif", "size": 12.5, "color": "#1f2933"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {**axis, "title": {"text": "latency (ms)"}, "dtick": 1},
        "yaxis": {**axis, "title": {"text": "frames that take longer"}, "dtick": 1, "ticksuffix": " %"},
    }
    return {"data": traces, "layout": layout}


def _loop_tables(results: list[dict[str, Any]], names: list[str]) -> str:
    body = ""
    for result, name in zip(results, names, strict=True):
        rows = []
        for row in result["loop"]:
            where = f"{row['transport']} &middot; {_rate(row['rate_hz'])} &middot; {row['size_px']} px {row['dtype']}"
            for key, label in (("relay_ms", "relay"), ("cinegate_ms", "cinegate"), ("opencv_pipeline_ms", "opencv")):
                numbers = [_ms(row[key][percentile]) for percentile in KEYS]
                counts = (
                    [str(row["n"]), str(row["skipped"]), str(row["missed"])] if label == "cinegate" else ["", "", ""]
                )
                rows.append([where if label == "relay" else "", label, *numbers, *counts])
        if rows:
            head = ["", "pipeline", *(f"{LABELS[key]} (ms)" for key in KEYS), "n", "skipped", "missed"]
            body += f"<h2>{escape(name)}</h2>" * (len(results) > 1) + _table(head, rows)
    return _section("Loop", "Pipelines take turns frame by frame in one run.", body) if body else ""


def _millimetres(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {detail['case']}" if len(results) > 1 else detail["case"]),
            speed.replace("_", " "),
            f"{found['mm_s']:.1f}",
            *(f"{found[key]:.4f}" for key in KEYS),
        ]
        for result, name in zip(results, names, strict=True)
        for detail in result["details"]
        for speed, found in detail["latency_mm"].items()
    ]
    head = ["", "speed of the target", "mm/s", *(f"{LABELS[key]} (mm)" for key in KEYS)]
    caption = "How far the target of the bundled recording moves within the software's latency."
    return _section("In millimetres", caption, _table(head, rows)) if rows else ""


def _engine_tables(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {row['tracker']}" if len(results) > 1 else row["tracker"]),
            f"{row['size_px']} px {row['dtype']}",
            *(_ms(row["engine_ms"][key]) for key in KEYS),
            str(row["n"]),
        ]
        for result, name in zip(results, names, strict=True)
        for row in result["engine"]
    ]
    head = ["tracker", "frame", *(f"{LABELS[key]} (ms)" for key in KEYS), "n"]
    caption = "Received to command, without sockets, caches evicted before every frame."
    return _section("Engine", caption, _table(head, rows)) if rows else ""


def _kernel_tables(results: list[dict[str, Any]], names: list[str]) -> str:
    columns = ("exact_us", "coarse_to_fine_us", "dense_us", "opencv_us", "skimage_us", "fma_fraction")
    rows = [
        [
            escape(f"{name}: {row['template_px']} in {row['window_px']}" if len(results) > 1 else
                   f"{row['template_px']} in {row['window_px']} px"),
            f"{row['dtype']} {row.get('content', '')}",
            *(f"{row[column]:.4g}" if row.get(column) is not None else "" for column in columns),
            "yes" if row.get("peaks_equal") else "no",
        ]
        for result, name in zip(results, names, strict=True)
        for row in result["kernels"]
    ]  # fmt: skip
    head = ["template", "frame", *(column.replace("_", " ") for column in columns), "peaks equal"]
    return _section("Kernels", "Medians of whole calls, in turns within one run.", _table(head, rows)) if rows else ""


def _checks(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {check['where']}" if len(results) > 1 else check["where"]),
            escape(check["what"]),
            f"{check['found']:.3g}",
            f"{check['limit']:g}",
            f'<span class="{"good" if check["met"] else "bad"}">{"met" if check["met"] else "not met"}</span>',
        ]
        for result, name in zip(results, names, strict=True)
        for check in result["checks"]
    ]
    return _section("Budgets", "", _table(["", "what", "found", "limit", ""], rows)) if rows else ""


def _provenance(results: list[dict[str, Any]], names: list[str]) -> str:
    keys = list(dict.fromkeys(key for result in results for key in result["provenance"]))
    rows = [[escape(key), *(escape(_text(result["provenance"].get(key))) for result in results)] for key in keys]
    settings = "".join(
        f"<details><summary>Settings of {escape(name)}</summary>"
        f"<pre>{escape(json.dumps(result['settings'], indent=1))}</pre></details>"
        for result, name in zip(results, names, strict=True)
    )
    return _section("Provenance", "", _table(["", *map(escape, names)], rows) + settings)


def _section(title: str, caption: str, body: str) -> str:
    shown = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return f"<section><h2>{escape(title)}</h2>{shown}{body}</section>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{lines}</table>"


def _rate(rate_hz: float) -> str:
    return f"{rate_hz:g} frames/s" if rate_hz else "back to back"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "" if value is None else str(value)
