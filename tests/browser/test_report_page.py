"""Pages in a real browser: they draw their plots offline, and their tables and settings answer clicks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gating.analysis.whatif import pareto
from gating.report.html import write_html
from gating.report.whatif_page import write_whatif_page
from gating.settings.config import Config
from tests.factories import outcome
from tests.unit.session_bench import write_session


@pytest.fixture(scope="module")
def report(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The report of a session, opened from its file without a network."""
    folder = tmp_path_factory.mktemp("report")
    write_html(write_session(folder / "s1.mcap"), folder / "report.html")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "report.html").as_uri())
    page.wait_for_selector("#player polygon.contour")
    yield page
    context.close()
    assert errors == []


def test_the_page_draws_its_three_plots(report: Any) -> None:
    for plot in ("motion", "latency", "reasons"):
        report.wait_for_selector(f"#{plot}.js-plotly-plot .main-svg")
    assert report.locator(".scatterlayer").count()


def test_a_click_sorts_the_settings_and_another_chooses_one(browser: Any, tmp_path: Path) -> None:
    whatif = tmp_path / "whatif.html"
    write_whatif_page(whatif, pareto([outcome(7.0, 0.9, 5.0), outcome(2.0, 0.3, 2.0)]), Config())
    page = browser.new_page()
    page.goto(whatif.as_uri())
    page.click("th:text-is('duty cycle (%)')")
    page.locator("tr[data-row]").first.click()
    assert "superior_mm = 2.0" in page.inner_text("#chosen")
    page.close()


def shown(page: Any) -> tuple[str, str, str]:
    """Gate, reason and frame that the player shows."""
    return page.inner_text(".lamp"), page.inner_text(".why"), page.inner_text(".where").split(" · ")[1]


def test_a_click_on_a_hold_shows_its_frame_and_its_reason(report: Any) -> None:
    report.click("#player .holds tbody tr:nth-child(2)")
    assert shown(report) == ("HOLD", "too much of the target is outside its boundary", "frame 27")
    report.click(".jump:has-text('5.00')")
    assert shown(report)[2] == "frame 39"


def test_the_player_is_worked_by_keyboard(report: Any) -> None:
    report.focus("#player")
    report.keyboard.press("Home")
    assert shown(report) == ("HOLD", "nobody has armed the engine", "frame 0")
    for _ in range(12):
        report.keyboard.press("ArrowRight")
    assert shown(report) == ("BEAM ON", "the target is inside its window", "frame 12")
    report.keyboard.press("Space")
    report.wait_for_function("!document.querySelector('#player .where').textContent.includes('frame 12')")
    report.keyboard.press("Space")
    assert report.inner_text("#player .play") == "Play"


def test_a_click_on_the_motion_plot_shows_the_frame_of_that_time(report: Any) -> None:
    report.locator("#motion").scroll_into_view_if_needed()
    axis = "document.getElementById('motion')._fullLayout.xaxis"
    box = report.locator("#motion").bounding_box()
    x, top = box["x"] + report.evaluate(f"{axis}._offset + {axis}.l2p(20 * 0.125)"), box["y"]
    report.mouse.move(x, top + 100)
    report.wait_for_selector("#motion .hoverlayer .legend")
    report.mouse.click(x, top + 100)
    report.wait_for_function("document.querySelector('#player .where').textContent.includes('frame 20')")
    cursor = report.evaluate("document.querySelector('#motion .cursor').getBoundingClientRect().left")
    assert abs(cursor - x) < 3
