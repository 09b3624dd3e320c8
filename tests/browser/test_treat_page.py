"""The treatment page in a real browser, on real processes: hands, eyes, and what silence looks like."""

from __future__ import annotations

import signal
import time

import pytest

from gating.messages import ControlRequest
from gating.service.pipeline import ask_engine
from tests.browser.hands import acknowledge, arm

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture
def armed(treat):
    arm(treat)
    return treat


def shown_after_s(page, selector: str, since_s: float) -> float:
    page.wait_for_selector(selector, timeout=10_000)
    return time.monotonic() - since_s


def test_beam_on_is_a_word_a_shape_and_confirmed(armed):
    expect(armed.locator("#gate-word")).to_have_text("BEAM ON")
    expect(armed.locator("#gate svg .on")).to_be_visible()
    expect(armed.locator("#gate svg .hold")).to_be_hidden()
    expect(armed.locator("#beam[data-state=on] #beam-word")).to_have_text("ON")


def test_a_click_holds_without_a_question(armed):
    armed.click("#hold")
    expect(armed.locator("#gate-word")).to_have_text("HOLD")
    expect(armed.locator("#words")).to_have_text("nobody has armed the engine")
    expect(armed.locator("#answer")).to_contain_text("disarm by dr_who")


def test_the_space_bar_holds_and_presses_no_button(armed):
    armed.focus("#mark")
    armed.keyboard.press("Space")
    expect(armed.locator("#words")).to_have_text("nobody has armed the engine")
    expect(armed.locator("#ask-dialog")).to_be_hidden()


def test_everything_can_be_reached_and_done_by_keyboard(treat):
    reached = set()
    for _ in range(30):
        treat.keyboard.press("Tab")
        reached.add(treat.evaluate("document.activeElement.id"))
    assert {"hold", "confirm", "arm", "mark", "patient", "end", "brightness", "contrast", "reset-window"} <= reached
    treat.focus("#mark")
    treat.keyboard.press("Enter")
    treat.keyboard.type("a cough")
    treat.keyboard.press("Enter")
    expect(treat.locator("#events")).to_contain_text("mark by dr_who: ready (a cough)")


def test_a_replay_and_a_simulated_line_are_told_at_a_glance(treat):
    expect(treat.locator("#kind")).to_have_text("REPLAY")
    expect(treat.locator("#line")).to_have_text("simulated beam line")


@pytest.mark.parametrize(
    ("role", "silent"),
    [
        ("source", "#no-signal:not([hidden])"),
        ("engine", "#gate[data-state=silent]"),
        ("beam", "#beam[data-state=silent]"),
    ],
)
def test_a_frozen_process_is_no_signal_until_it_goes_on(treat, replay, role, silent):
    frozen_s = replay.signal(role, signal.SIGSTOP)
    try:
        took_s = shown_after_s(treat, silent, frozen_s)
    finally:
        replay.signal(role, signal.SIGCONT)
    assert 0.15 < took_s < 2
    treat.wait_for_selector(silent, state="hidden" if role == "source" else "detached")


def test_a_killed_source_is_no_signal_and_the_next_one_is_acknowledged(armed, replay):
    took_s = shown_after_s(armed, "#no-signal:not([hidden])", replay.kill("source"))
    assert took_s < 2
    expect(armed.locator("#no-signal-since")).to_contain_text("No image for")
    expect(armed.locator("#age")).to_have_text("–")
    replay.revive()
    armed.wait_for_selector("#gate[data-state=latched]", timeout=20_000)
    acknowledge(armed, "dr_strange", "the source was started again")
    expect(armed.locator("#events")).to_contain_text("acknowledge by dr_strange: ready (the source was started again)")


def test_a_killed_engine_is_no_signal_from_the_gate(treat, replay):
    took_s = shown_after_s(treat, "#gate[data-state=silent]", replay.kill("engine"))
    assert took_s < 2
    expect(treat.locator("#gate-word")).to_have_text("NO SIGNAL")
    expect(treat.locator("#processes li[data-alive=no]")).to_contain_text(["Engine silent"])


def test_a_console_that_is_frozen_leaves_nothing_that_looks_live(treat, replay):
    frozen_s = time.monotonic()
    replay.console.process.send_signal(signal.SIGSTOP)
    try:
        took_s = shown_after_s(treat, "#no-signal:not([hidden])", frozen_s)
        expect(treat.locator("#gate-word")).to_have_text("NO SIGNAL")
    finally:
        replay.console.process.send_signal(signal.SIGCONT)
    assert took_s < 2
    treat.wait_for_selector("#no-signal", state="hidden")


def test_what_another_operator_does_is_seen_here(armed, replay):
    request = ControlRequest(session_id="replay", action="disarm", operator="dr_second")
    assert ask_engine(replay.console.config.endpoints.control, request).accepted
    expect(armed.locator("#events")).to_contain_text("disarm by dr_second")
    expect(armed.locator("#gate-word")).to_have_text("HOLD")


def test_a_wrong_token_shows_one_sentence(browser, replay):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{replay.console.origin}/treat?token=wrong")
    expect(page.locator("body")).to_contain_text("not of the console that runs now")
    context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (3840, 2160), (820, 1180)])
def test_the_page_fits_screens_from_tablet_to_4k(treat, width, height):
    treat.set_viewport_size({"width": width, "height": height})
    assert treat.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert treat.locator("#hold").bounding_box()["y"] + 40 < height
    treat.set_viewport_size({"width": 1280, "height": 720})


LONGEST_WORD_FITS = """() => {
  const lamp = document.getElementById("gate");
  lamp.dataset.state = "silent";
  document.getElementById("gate-word").textContent = "NO SIGNAL";
  return lamp.scrollWidth <= lamp.clientWidth;
}"""


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (820, 1180), (3840, 2160)])
def test_the_longest_word_of_the_gate_stays_in_its_lamp(treat, width, height):
    treat.set_viewport_size({"width": width, "height": height})
    assert treat.evaluate(LONGEST_WORD_FITS)
    treat.set_viewport_size({"width": 1280, "height": 720})


EVENTS_IN_SIGHT = """(words) => {
  const list = document.getElementById("events");
  list.replaceChildren(...words.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  document.getElementById("breath-hold").hidden = false;
  document.getElementById("holds").innerHTML = "<dt>settling</dt><dd>1 × · 1.0 s</dd>".repeat(4);
  const seen = Math.min(list.parentElement.getBoundingClientRect().bottom, document.querySelector("main").clientHeight
    + document.querySelector("main").getBoundingClientRect().top);
  return [...list.children].filter((one) => one.getBoundingClientRect().bottom <= seen).length;
}"""
EVENTS = [
    "00:09:10 engine: armed by itself: the source is a recording or a phantom; nobody has confirmed the contour",
    "00:09:04 source: 2 frames are missing before frame 118",
    "00:08:59 recorder: the recorder does not keep up with the wire",
    "00:08:51 engine: stream_opened: a recording, nobody is being imaged",
]


def test_three_events_are_in_sight_on_a_small_screen(treat):
    assert treat.evaluate(EVENTS_IN_SIGHT, EVENTS) >= 3


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.7) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && !one.disabled &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).map((one) => {
      const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.textContent.trim().slice(0, 30)];
    }).filter(([ratio]) => ratio < 4.5);
}"""
"""Texts whose contrast is below 4.5: WCAG 2.2, success criterion 1.4.3."""


def test_every_text_has_enough_contrast(treat):
    assert treat.evaluate(CONTRAST) == []
