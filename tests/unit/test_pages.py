"""The pieces of every page: tables that say what is known, axes that can be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gating.pages import plots
from gating.pages.page import UNKNOWN, number, page, section, table
from gating.pages.pdf import PdfError, page_as_pdf
from gating.pages.still import still_plot

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("low", "high"), [(0.6, 1.8), (0.05, 40.0), (0.9, 1.1), (0.001, 1000.0)])
def test_a_logarithmic_axis_has_labels_that_can_be_read(low: float, high: float) -> None:
    labels = plots.log_axis("latency (ms)", [low, high])["ticktext"]
    assert (3 if high / low > 2 else 1) <= len(labels) <= 12
    assert not any("e" in label for label in labels)


def test_a_logarithmic_axis_of_nothing_is_one() -> None:
    assert plots.log_axis("latency (ms)", [])["type"] == "log"


def test_a_column_in_which_nothing_is_known_is_left_out() -> None:
    shown = table(["row", "a", "b"], [["x", "1", ""], ["y", UNKNOWN, UNKNOWN]], leave_out_empty=True)
    assert "<th" in shown
    assert ">b</th>" not in shown
    assert shown.count("<td") == 4


def test_numbers_keep_to_the_right_and_words_to_the_left() -> None:
    shown = table(["row", "mm", "why"], [["x", "1.2", "late"], ["y", UNKNOWN, "12 frames"]])
    assert '<th class="n">mm</th><th>why</th>' in shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_unknown_is_a_dash(value: float | None) -> None:
    assert number(value) == UNKNOWN


def test_a_page_without_plots_needs_no_plot_library() -> None:
    assert len(page("title", "<p>body</p>")) < 20_000


def test_every_page_is_framed_in_one_place() -> None:
    sources = [file for room in ("gating", "cinegate", "bench") for file in (ROOT / room).rglob("*.py")]
    framed = [file for file in sources if any(mark in file.read_text() for mark in ("<!DOCTYPE", "plotly.offline"))]
    assert framed == [ROOT / "gating" / "pages" / "page.py"]


def test_a_page_becomes_a_pdf_without_asking_the_network() -> None:
    body = section("Results", "", table(["step", "mm"], [["one", "1.2"]])) + '<img src="http://127.0.0.1:9/a.png">'
    made = page_as_pdf(page("Results", body, {"trace": {"data": [], "layout": {}}}))
    assert made.startswith(b"%PDF-")
    assert b"127.0.0.1" not in made


def test_without_weasyprint_the_missing_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PdfError, match=r"doctor.*`pdf`"):
        page_as_pdf(page("title", "<p>body</p>"))


def trace(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "mode": "lines", "name": name, "x": [0, 1, 2, 3], "y": [1.0, None, 2.0, 3.0], **more}


def test_on_paper_a_plot_keeps_its_axes_and_its_legend() -> None:
    layout = plots.layout(260, legend=True) | {"xaxis": plots.axis("time (s)"), "yaxis": plots.axis("SI (mm)")}
    drawn = still_plot({"data": [trace("scatter", "target SI")], "layout": layout}).decode()
    assert all(f">{text}</text>" in drawn for text in ("time (s)", "SI (mm)", "target SI"))


def test_on_paper_what_is_unknown_is_a_gap() -> None:
    whole = {"y": [1.0, 1.5, 2.0, 3.0]}
    drawn = [still_plot({"data": [trace("scatter", "", **y)], "layout": plots.layout(260)}) for y in (whole, {})]
    assert drawn[1].count(b"\nL ") < drawn[0].count(b"\nL ")


def test_on_paper_bars_keep_their_counts() -> None:
    bars = trace("bar", "", orientation="h", x=[5, 3], y=["in window", "lost"], text=["5 (62.5 %)", "3 (37.5 %)"])
    drawn = still_plot({"data": [bars], "layout": plots.layout(160)}).decode()
    assert all(f">{text}</text>" in drawn for text in ("5 (62.5 %)", "3 (37.5 %)", "in window"))


def test_on_paper_each_row_of_a_plot_has_its_place() -> None:
    layout = plots.layout(400) | {"yaxis": {"domain": [0.6, 1]}, "yaxis2": {"domain": [0, 0.4]}}
    layout["shapes"] = [{"type": "rect", "xref": "x", "x0": 0.5, "x1": 1.5}]
    rows = [trace("scatter", "upper"), trace("scatter", "lower", yaxis="y2")]
    drawn = still_plot({"data": rows, "layout": layout}).decode()
    assert drawn.count('<g id="axes_') == 2
    assert drawn.count("fill: #2f9e62; opacity: 0.16") == 2


def test_without_matplotlib_the_tables_are_still_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plotted = {"trace": {"data": [], "layout": {}}}
    assert page_as_pdf(page("Results", '<div id="trace"></div>', plotted)).startswith(b"%PDF-")
