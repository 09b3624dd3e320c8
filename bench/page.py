"""One benchmark run, or several compared, as an HTML page that works offline."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

from gating.pages import plots
from gating.pages.page import head, number, page, section, table

PIPELINES: Final = {
    "relay": ("bare relay: the same sockets and processes, no tracking", plots.GREY),
    "cinegate": ("cinegate, rigid match", plots.BLUE),
    "opencv": ("the same pipeline with cv2.matchTemplate", plots.ORANGE),
}
KEYS: Final = ("p50", "p99", "p999", "max")
LABELS: Final = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
NOTICE: Final = (
    "Software latency on this computer: from the publication of a frame to its gate command at the beam interface. "
    "Acquisition, reconstruction and the linac are not in it."
)
KERNEL_COLUMNS: Final = {
    "exact_us": "exact (µs)",
    "coarse_to_fine_us": "coarse to fine (µs)",
    "dense_us": "dense (µs)",
    "opencv_us": "OpenCV (µs)",
    "skimage_us": "scikit-image (µs)",
    "fma_fraction": "share of the peak FMA rate",
}
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
    cases = list(dict.fromkeys(detail["case"] for result in results for detail in result["details"]))
    figures = {f"plot{index}": distribution_figure(case, results, names) for index, case in enumerate(cases)}
    drawn = "".join(
        section(escape(case), "Share of frames that take longer.", f'<div id="plot{index}"></div>')
        for index, case in enumerate(cases)
    )
    body = [
        head("Latency benchmark", " and ".join(names), NOTICE),
        _loop_tables(results, names),
        drawn,
        _millimetres(results, names),
        _engine_tables(results, names),
        _kernel_tables(results, names),
        _checks(results, names),
        _provenance(results, names),
    ]
    return page(f"cinegate bench: {' and '.join(names)}", "\n".join(body), figures)


def distribution_figure(case: str, results: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Return a plot of the share of frames slower than a latency, both axes logarithmic, for each pipeline and run."""
    traces = []
    for run, (result, name) in enumerate(zip(results, names, strict=True)):
        for detail in result["details"]:
            for pipeline, one in detail["distributions"].items() if detail["case"] == case else ():
                label, colour = PIPELINES.get(pipeline, (pipeline, plots.TEAL))
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
    layout = plots.layout(340, legend=True)
    layout["xaxis"] = plots.log_axis("latency (ms)", (value for trace in traces for value in trace["x"]))
    shares = [value for trace in traces for value in trace["y"]]
    layout["yaxis"] = plots.log_axis("frames that take longer (%)", [100.0, *shares])
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
            titles = ["row", "pipeline", *(f"{LABELS[key]} (ms)" for key in KEYS), "n", "skipped", "missed"]
            body += f"<h2>{escape(name)}</h2>" * (len(results) > 1) + table(titles, rows, leave_out_empty=True)
    return section("Loop", "Pipelines take turns frame by frame in one run.", body) if body else ""


def _millimetres(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {detail['case']}" if len(results) > 1 else detail["case"]),
            speed.replace("_", " "),
            f"{found['mm_s']:.1f}",
            *(number(found[key], ".4f") for key in KEYS),
        ]
        for result, name in zip(results, names, strict=True)
        for detail in result["details"]
        for speed, found in detail["latency_mm"].items()
    ]
    titles = ["row", "speed of the target", "mm/s", *(f"{LABELS[key]} (mm)" for key in KEYS)]
    caption = "How far the target of the bundled recording moves within the software's latency."
    return section("In millimetres", caption, table(titles, rows, leave_out_empty=True)) if rows else ""


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
    titles = ["tracker", "frame", *(f"{LABELS[key]} (ms)" for key in KEYS), "n"]
    caption = "Received to command, without sockets, caches evicted before every frame."
    return section("Engine", caption, table(titles, rows, leave_out_empty=True)) if rows else ""


def _kernel_tables(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {row['template_px']} in {row['window_px']}" if len(results) > 1 else
                   f"{row['template_px']} in {row['window_px']} px"),
            f"{row['dtype']} {row.get('content', '')}",
            *(_kernel_figure(row.get(column)) for column in KERNEL_COLUMNS),
            "yes" if row.get("peaks_equal") else "no",
        ]
        for result, name in zip(results, names, strict=True)
        for row in result["kernels"]
    ]  # fmt: skip
    titles = ["template", "frame", *KERNEL_COLUMNS.values(), "peaks equal"]
    return (
        section(
            "Kernels", "Medians of whole calls, in turns within one run.", table(titles, rows, leave_out_empty=True)
        )
        if rows
        else ""
    )


def _kernel_figure(value: float | None) -> str:
    return number(value, ".0f" if value is not None and value >= 100 else ".3g")


def _checks(results: list[dict[str, Any]], names: list[str]) -> str:
    rows = [
        [
            escape(f"{name}: {check['where']}" if len(results) > 1 else check["where"]),
            escape(check["what"].replace("_", " ").replace("p999", "p99.9")),
            f"{check['found']:.3g}",
            f"{check['limit']:g}",
            f'<span class="{"good" if check["met"] else "bad"}">{"met" if check["met"] else "not met"}</span>',
        ]
        for result, name in zip(results, names, strict=True)
        for check in result["checks"]
    ]
    return (
        section("Budgets", "", table(["where", "what", "found", "limit", ""], rows, leave_out_empty=True))
        if rows
        else ""
    )


def _provenance(results: list[dict[str, Any]], names: list[str]) -> str:
    keys = list(dict.fromkeys(key for result in results for key in result["provenance"]))
    rows = [
        [escape(key.replace("_", " ")), *(escape(_text(result["provenance"].get(key))) for result in results)]
        for key in keys
    ]
    settings = "".join(
        f"<details><summary>Settings of {escape(name)}</summary>"
        f"<pre>{escape(json.dumps(result['settings'], indent=1))}</pre></details>"
        for result, name in zip(results, names, strict=True)
    )
    return section("Provenance", "", table(["", *map(escape, names)], rows) + settings)


def _rate(rate_hz: float) -> str:
    return f"{rate_hz:g} frames/s" if rate_hz else "back to back"


def _ms(value: float | None) -> str:
    return number(value, ".3f" if value is not None and value < 10 else ".1f")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "" if value is None else str(value)
