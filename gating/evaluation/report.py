"""The evaluation as one HTML page that needs no network: a table, error and confidence over time, worst frames."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_from_mask
from gating.settings.private_file import private_file

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from gating.evaluation.case import CaseRun
    from gating.evaluation.metrics import FrameMetrics

TABLE = {
    "case_id": "case",
    "frame_count": "frames",
    "first_scored": "scored from",
    "dice_similarity_coefficient": "DSC",
    "center_distance": "centre distance px",
    "hausdorff_distance_95": "HD95 px",
    "surface_distance_average": "MASD px",
    "relative_d98_dose": "relative D98",
    "centre_error_p95_mm": "centre error p95 mm",
    "centre_error_max_mm": "centre error max mm",
    "within_1_px": "within 1 px",
    "confident_fraction": "confident",
    "confident_and_wrong": "confident and > 3 mm",
    "track_p50_ms": "p50 ms",
    "track_p99_ms": "p99 ms",
    "track_max_ms": "max ms",
}
STYLE = "body{font:15px system-ui;margin:2em;max-width:1200px}td,th{padding:2px 8px;text-align:right}"


def case_section(run: CaseRun, errors_mm: NDArray[np.float64], metrics: FrameMetrics | None, worst_frames: int) -> str:
    """Return one case as HTML: error and confidence over time, then its worst frames."""
    import plotly.io as pio

    figures = [_over_time(run, errors_mm)]
    figures += [_frame(run, errors_mm, index) for index in _worst(run, errors_mm, metrics, worst_frames)]
    drawn = [pio.to_html(figure, full_html=False, include_plotlyjs=False) for figure in figures]
    return "\n".join([f"<h2>{html.escape(run.case.name)}</h2>", *drawn])


def write_report(path: Path, summary: dict[str, Any], sections: list[str]) -> None:
    """Write the page, which includes plotly's code."""
    from plotly.offline import get_plotlyjs

    title = f"Tracking evaluation: {html.escape(str(summary['tracker']))}"
    head = f"<meta charset='utf-8'><title>{title}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script>"
    body = "\n".join([f"<h1>{title}</h1>", _table(summary), *sections])
    page = f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>"
    private_file(path).write_text(page, encoding="utf-8")


def _table(summary: dict[str, Any]) -> str:
    rows = [*summary["results"], {"case_id": "all", **summary["aggregates"]}]
    head = "".join(f"<th>{title}</th>" for title in TABLE.values())
    lines = ["".join(f"<td>{_cell(row.get(name))}</td>" for name in TABLE) for row in rows]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def _over_time(run: CaseRun, errors: NDArray[np.float64]) -> go.Figure:
    import plotly.graph_objects as go

    frames = np.arange(1, len(run.results) + 1)
    confidence = np.array([result.confidence for result in run.results])
    figure = go.Figure()
    figure.add_scatter(x=frames, y=errors, name="centre error, mm")
    figure.add_scatter(x=frames, y=confidence, name="confidence", yaxis="y2")
    figure.update_layout(
        height=280,
        margin={"t": 20, "b": 40},
        xaxis_title="frame",
        yaxis_title="mm",
        yaxis2={"overlaying": "y", "side": "right", "range": [0, 1.05], "title": "confidence"},
    )
    return figure


def _worst(run: CaseRun, errors: NDArray[np.float64], metrics: FrameMetrics | None, count: int) -> list[int]:
    badness = np.nan_to_num(errors, nan=-1.0)
    if metrics is not None:
        badness = -np.nan_to_num(metrics.dice_similarity_coefficient[1:], nan=2.0)
    badness[: run.first - 1] = -np.inf
    count = min(count, len(badness) - run.first + 1)
    return [int(index) for index in np.argsort(-badness, kind="stable")[:count] if len(run.results)]


def _frame(run: CaseRun, errors: NDArray[np.float64], index: int) -> go.Figure:
    """Draw one frame with the tracked outline and the true one."""
    import plotly.graph_objects as go

    case, result = run.case, run.results[index]
    pixels = np.asarray(case.frames[index + 1], np.float32)
    pixels = np.where(np.isfinite(pixels), pixels, np.nan)
    outlines = {"tracked": result.contour_px}
    if case.labels is not None:
        outlines["label"] = contour_from_mask(case.labels[index + 1])
    elif case.track_px is not None:
        outlines["reference centre"] = case.track_px[index + 1 : index + 2].astype(np.float32)
    figure = go.Figure(go.Heatmap(z=pixels, colorscale="gray", showscale=False, hoverinfo="skip"))
    for name, outline in outlines.items():
        closed = np.concatenate([outline, outline[:1]])
        figure.add_scatter(x=closed[:, 0], y=closed[:, 1], mode="lines" if len(closed) > 2 else "markers", name=name)
    title = f"frame {index + 1}: error {errors[index]:.1f} mm, confidence {result.confidence:.2f}, {result.status}"
    figure.update_layout(title=title, height=460, width=560, margin={"t": 40, "b": 20})
    figure.update_yaxes(autorange="reversed", scaleanchor="x")
    return figure
