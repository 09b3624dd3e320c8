"""The evaluation as one HTML page that needs no network: figures, error and confidence over time, the worst frames."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_from_mask
from gating.messages import ASSUMED_TIME_MEANS
from gating.pages import plots
from gating.pages.page import card, head, legend, number, page, section, table, warning
from gating.pages.pictures import picture
from gating.settings.private_file import private_file

if TYPE_CHECKING:
    from gating.evaluation.case import CaseRun
    from gating.evaluation.metrics import FrameMetrics

APART_S: Final = 2.0
"""Frames that are shown as the worst lie at least this far apart."""
NOTICE: Final = (
    "Research software, not a medical device. Every frame was tracked with what was known before it; a label or a "
    "reference track says where the target was."
)
OURS: Final = {
    "case_id": ("case", "", ""),
    "frame_count": ("frames", "", "Frames of the recording."),
    "first_scored": ("scored from", "", "Those before were given, or were the preparation."),
    "centre_error_mean_mm": ("centre error, mean (mm)", ".2f", "Distance of the tracked centre from the true one."),
    "centre_error_p95_mm": ("centre error, p95 (mm)", ".2f", "95 % of the frames are nearer to the truth."),
    "centre_error_max_mm": ("centre error, max (mm)", ".2f", "The worst frame."),
    "within_1_px": ("within 1 px", ".1%", "Share of frames whose centre is less than one pixel off."),
    "hd95_mean_mm": ("HD95, mean (mm)", ".2f", "95th percentile of the distance from outline to outline."),
    "hd95_p95_mm": ("HD95, p95 (mm)", ".2f", "95 % of the frames have a smaller HD95."),
    "masd_mean_mm": ("MASD, mean (mm)", ".2f", "Mean distance from outline to outline, both ways."),
    "confident_fraction": ("confident", ".1%", "Share of frames with a confidence of 0.8 or more."),
    "confident_and_wrong": ("confident and wrong", ".0f", "Confident frames whose centre is more than 3 mm off."),
    "not_tracked": ("not tracked", ".0f", "Frames of low confidence, lost or refused: they would hold the beam."),
    "track_p50_ms": ("p50 (ms)", ".2f", "Time a frame, median."),
    "track_p99_ms": ("p99 (ms)", ".2f", "Time a frame, 99th percentile."),
    "track_max_ms": ("max (ms)", ".2f", "Time a frame, the longest."),
}
"""Title, format and meaning of each figure; `CHALLENGE` likewise."""
CHALLENGE: Final = {
    "case_id": ("case", "", ""),
    "dice_similarity_coefficient": ("DSC", ".3f", "Dice similarity coefficient: overlap of both areas, 0 to 1."),
    "center_distance": ("centre distance (px)", ".3f", "Of the centres of both masks."),
    "hausdorff_distance_95": ("HD95 (px)", ".3f", "In pixels, as the challenge counts after resampling to 1 mm."),
    "surface_distance_average": ("MASD (px)", ".3f", "From the tracked outline to the true one only, in pixels."),
    "relative_d98_dose": ("relative D98", ".3f", "The challenge's dose proxy: D98 over D98 without tracking errors."),
}
CARDS: Final = ("centre_error_mean_mm", "hd95_mean_mm", "confident_fraction", "confident_and_wrong", "track_p99_ms")


class EvaluationPage:
    """The page, gathered case by case."""

    def __init__(self, worst_frames: int) -> None:
        self._worst_frames = worst_frames
        self._sections: list[str] = []
        self._plots: dict[str, plots.Figure] = {}

    def add(self, run: CaseRun, errors_mm: NDArray[np.float64], metrics: FrameMetrics | None) -> None:
        """Add a case: error and confidence over time, then its worst frames."""
        place = f"case{len(self._sections)}"
        self._plots[place] = _over_time(run, errors_mm)
        drawn = [_frame(run, errors_mm, index) for index in worst_frames(run, errors_mm, metrics, self._worst_frames)]
        truth = "label" if run.case.labels is not None else "reference centre"
        keys = legend([("line-contour", "tracked"), ("line-truth", truth)]) if drawn else ""
        times = warning(escape(f"{run.case.name}: {ASSUMED_TIME_MEANS}.")) if run.case.times_assumed else ""
        body = f'{times}<div id="{place}"></div>{keys}<div class="frames">{"".join(drawn)}</div>'
        self._sections.append(section(escape(run.case.name), f"The worst frames, {APART_S:g} s apart or more.", body))

    def write(self, path: Path, summary: dict[str, Any]) -> None:
        """Write the page, with mode 0600."""
        tracker, count = str(summary["tracker"]), len(summary["results"])
        body = [
            head("Tracking evaluation", f"tracker {tracker}, {count} {'case' if count == 1 else 'cases'}", NOTICE),
            _cards(summary["aggregates"]),
            section("Figures", "Point at a title for its meaning, click on it to sort.", _table(summary, OURS)),
        ]
        if "dice_similarity_coefficient" in summary["aggregates"]:
            caption = "Number for number those of the organisers' program, which counts pixels."
            body.append(section("TrackRAD2025's own figures", caption, _table(summary, CHALLENGE)))
        content = page(f"Tracking evaluation: {tracker}", "\n".join([*body, *self._sections]), self._plots)
        private_file(path).write_text(content, encoding="utf-8")


def _cards(aggregates: dict[str, float]) -> str:
    shown = [
        card(OURS[name][0], _cell(aggregates[name], OURS[name][1]), "", "over all cases")
        for name in CARDS
        if name in aggregates
    ]
    return f'<div class="cards">{"".join(shown)}</div>'


def _table(summary: dict[str, Any], columns: dict[str, tuple[str, str, str]]) -> str:
    rows = list(summary["results"])
    if len(rows) > 1:
        rows.append({"case_id": "all", **summary["aggregates"]})
    cells = [[_cell(row.get(name), form) for name, (_, form, _) in columns.items()] for row in rows]
    titles = [title for title, _, _ in columns.values()]
    meanings = {title: meaning for title, _, meaning in columns.values()}
    return table(titles, cells, leave_out_empty=True, meanings=meanings, can_sort=True)


def _cell(value: Any, form: str) -> str:
    return escape(value) if isinstance(value, str) else number(value, form or ".0f").replace("%", " %")


def _over_time(run: CaseRun, errors_mm: NDArray[np.float64]) -> plots.Figure:
    """Return the centre error above the confidence, over the time of the recording."""
    time_s = plots.numbers(np.cumsum(run.case.elapsed_s)[1:])
    confidence = [100 * result.confidence for result in run.results]
    line = {"type": "scatter", "mode": "lines", "x": time_s}
    layout = plots.layout(320) | {"hovermode": "x unified"}
    layout["yaxis"] = plots.axis("centre error (mm)", domain=[0.46, 1], rangemode="tozero")
    layout["yaxis2"] = plots.axis("confidence (%)", domain=[0, 0.38], range=[0, 103])
    layout["xaxis"] = plots.time_axis(assumed=run.case.times_assumed, anchor="y2", hoverformat=".2f")
    return {
        "data": [
            line | {"y": plots.numbers(errors_mm), "name": "error", "line": {"color": plots.BLUE, "width": 1.6},
                    "hovertemplate": "%{y:.2f} mm"},
            line | {"y": plots.numbers(confidence), "name": "confidence", "yaxis": "y2",
                    "line": {"color": plots.TEAL, "width": 1.6}, "hovertemplate": "%{y:.0f} %"},
        ],
        "layout": layout,
    }  # fmt: skip


def worst_frames(run: CaseRun, errors_mm: NDArray[np.float64], metrics: FrameMetrics | None, count: int) -> list[int]:
    """Return the places in `run.results` of the frames that fit the truth least, `APART_S` apart or more.

    Where there are labels the Dice coefficient judges, elsewhere the centre error.
    """
    badness = np.nan_to_num(errors_mm, nan=-1.0)
    if metrics is not None:
        badness = -np.nan_to_num(metrics.dice_similarity_coefficient[1:], nan=2.0)
    time_s = np.cumsum(run.case.elapsed_s)[1:]
    chosen: list[int] = []
    for index in np.argsort(-badness, kind="stable").tolist():
        if len(chosen) == count:
            break
        if index >= run.first - 1 and all(abs(time_s[index] - time_s[other]) >= APART_S for other in chosen):
            chosen.append(index)
    return chosen


def _frame(run: CaseRun, errors_mm: NDArray[np.float64], index: int) -> str:
    """Return one frame with the tracked outline and the true one, or the true centre."""
    case, result = run.case, run.results[index]
    truth: list[tuple[float, float]] = []
    if case.labels is not None:
        truth = _points(contour_from_mask(case.labels[index + 1]))
    elif case.track_px is not None and np.isfinite(case.track_px[index + 1]).all():
        x, y = case.track_px[index + 1].tolist()
        truth = [(x - 2, y), (x + 2, y), (x, y), (x, y - 2), (x, y + 2), (x, y)]
    outlines = [("truth", truth), ("contour", _points(result.contour_px))]
    drawn = picture(np.asarray(case.frames[index + 1]), case.pixel_spacing_mm, outlines)
    time_s = float(np.cumsum(case.elapsed_s)[index + 1])
    return (
        f'<figure class="frame">{drawn}<figcaption><b>error {number(float(errors_mm[index]), ".1f")} mm</b>'
        f"<span>frame {index + 1}, {time_s:.2f} s</span><span>confidence {100 * result.confidence:.0f} %</span>"
        f"<span>{escape(str(result.status).replace('_', ' '))}</span></figcaption></figure>"
    )


def _points(contour_px: NDArray[Any]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in contour_px]
