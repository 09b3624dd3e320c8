"""The Review page in a real browser: sessions are chosen, played and compared, by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.hands import START_MS
from tests.unit.session_bench import write_session

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture(scope="module")
def listed(browser: Any, desk_console: Any) -> Iterator[Any]:
    """A page that has signed in to a folder with a whole session, another one, and a file that is none."""
    sessions = desk_console.sessions
    for name in ("first", "second"):
        write_session(sessions / f"{name}.mcap")
    (sessions / "foreign.mcap").write_text("no log")
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(desk_console.url)
    yield page
    page.context.close()
    assert errors == []


@pytest.fixture
def review(listed: Any, desk_console: Any) -> Any:
    """The page, opened anew for each test, so that none of them depends on what another has opened."""
    listed.goto(f"{desk_console.origin}/review")
    for name in ("first", "second"):
        listed.wait_for_selector(row(name, "button"), timeout=START_MS)
    return listed


def row(name: str, part: str = "") -> str:
    return f"tr[data-name='sessions/{name}.mcap'] {part}"


def shown(page: Any, slot: int = 1) -> tuple[str, str, str]:
    """Gate, reason and frame that the player of a slot shows."""
    told = [page.inner_text(f".slot:nth-child({slot}) .told {part}") for part in (".lamp", ".why", ".where")]
    return told[0], told[1], told[2].split(" · ")[1]


def test_sessions_are_listed_with_what_they_came_to(review: Any) -> None:
    for text in ("PHANTOM, bench", "GTV", "5.0"):
        expect(review.locator(row("first"))).to_contain_text(text)
    expect(review.locator(row("foreign"))).to_contain_text("foreign.mcap is no session log")


def test_a_click_on_a_hold_shows_its_frame_and_reason(review: Any) -> None:
    review.click(row("first", "button:text-is('Open')"))
    review.click(".slot .holds tbody tr:nth-child(2)", timeout=START_MS)
    assert shown(review) == ("HOLD", "too much of the target is outside its boundary", "frame 27")
    expect(review.locator(".slot .picture polygon.contour")).to_have_count(1)


def test_a_session_is_opened_and_played_by_keyboard(review: Any) -> None:
    review.focus(row("second", "button"))
    review.keyboard.press("Enter")
    expect(review.locator("#answer")).to_have_text("sessions/second.mcap is open")
    review.focus(".slot .player")
    review.keyboard.press("Home")
    for _ in range(12):
        review.keyboard.press("ArrowRight")
    assert shown(review) == ("BEAM ON", "the target is inside its window", "frame 12")
    review.keyboard.press("Space")
    expect(review.locator(".slot .where")).not_to_contain_text("frame 12")
    review.keyboard.press("Space")


def test_two_sessions_are_played_side_by_side(review: Any) -> None:
    review.click(row("first", "button:text-is('Open')"))
    expect(review.locator("#answer")).to_have_text("sessions/first.mcap is open")
    review.click(row("second", "button:text-is('Beside')"))
    expect(review.locator(".slot .player")).to_have_count(2)
    review.click("#both")
    for slot in (1, 2):
        expect(review.locator(f".slot:nth-child({slot}) .where")).not_to_contain_text("frame 0 ")
    review.click("#both")
    assert review.locator(".slot .play:text-is('Play')").count() == 2


def test_a_report_is_opened_as_a_page_of_nobody(review: Any) -> None:
    review.click(row("first", "button:text-is('Open')"))
    with review.context.expect_page() as opened:
        review.locator(".slot a").first.click()
    report = opened.value
    report.wait_for_selector("#player polygon.contour", timeout=START_MS)
    assert report.evaluate("origin") == "null"
    assert report.evaluate("fetch('/sessions').catch(() => 'refused')") == "refused"
    report.close()
