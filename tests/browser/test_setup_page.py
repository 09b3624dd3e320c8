"""The Set up page in a real browser: a target drawn by hand, judged at once, and files that the command line takes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

import cinegate
from gating.targets.target_file import read_targets
from replay_data import demo_recording
from tests.browser.hands import START_MS
from tests.patience import wait_until

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
CORNERS = [(26, 50), (47, 46), (50, 62), (30, 66)]
"""Around the target in frame 0, px."""


class Desk:
    """A console and its Set up page."""

    def __init__(self, browser, console) -> None:
        self.console, self.folder = console, console.setup
        self.page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(self.console.url)
        self.page.goto(f"{self.console.origin}/setup")

    def says(self, selector: str, text: str) -> None:
        """Wait until a part of the page contains a text."""
        expect(self.page.locator(selector).first).to_contain_text(text, timeout=START_MS)

    def open(self) -> None:
        self.page.select_option("#recording", "replay_data/free_breathing.npz")
        self.page.click("#open")
        self.says("#answer", "free_breathing is open")

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the image, px, lies in the window."""
        recording = cinegate.open_recording(demo_recording())
        (rows, columns), spacing_mm = recording.shape, recording.pixel_spacing_mm[0]
        box = self.page.locator("#cine").bounding_box()
        scale = min(box["width"] / columns, box["height"] / rows) / spacing_mm * recording.pixel_spacing_mm[1]
        left, top = box["x"] + (box["width"] - columns * scale) / 2, box["y"] + (box["height"] - rows * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def draw(self, corners=CORNERS) -> None:
        self.page.check("[value=polygon]")
        for corner in corners:
            self.page.mouse.click(*self.on_screen(*corner))
        self.page.click("#close-contour")

    def drag(self, *points) -> None:
        self.page.mouse.move(*self.on_screen(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.on_screen(*point))
        self.page.mouse.up()

    def boundary_px(self) -> int:
        """How many pixels of the canvas have the colour of a boundary."""
        return self.page.evaluate(
            """() => {
              const { width, height } = document.getElementById("cine");
              const { data } = document.getElementById("cine").getContext("2d").getImageData(0, 0, width, height);
              let count = 0;
              for (let i = 0; i < data.length; i += 4) count += data[i] > 230 && data[i + 1] > 215 && data[i + 2] < 90;
              return count;
            }"""
        )

    def shows_boundary(self, shown: bool = True) -> bool:
        """Whether the canvas comes to show a boundary, or none; the first one may have to be compiled."""
        return wait_until(lambda: (self.boundary_px() > 100) is shown, START_MS / 1000)

    def saved(self, name: str):
        """The targets of a folder that was saved under a name."""
        self.page.fill("#name", name)
        self.page.click("#save")
        self.says("#answer", f"Saved in {self.folder / name}")
        return read_targets(self.folder / name / "targets.json")


@pytest.fixture(scope="module")
def desk(browser, desk_console) -> Iterator[Desk]:
    desk = Desk(browser, desk_console)
    yield desk
    desk.page.context.close()
    assert desk.errors == []


@pytest.fixture
def opened(desk: Desk) -> Desk:
    desk.page.goto(f"{desk.console.origin}/setup")  # so that no test meets what another has chosen
    desk.open()
    return desk


def test_a_target_drawn_by_mouse_is_gated_from_the_files(opened):
    opened.draw()
    opened.says("#gating", "superior_mm = 3.0")
    (target,) = opened.saved("drawn")
    assert np.abs(target.contour_px - CORNERS).max() < 0.6
    folder = opened.folder / "drawn"
    frames = cinegate.gate(demo_recording(), folder / "targets.json", config=folder / "config.toml")
    assert [frame.status for frame in islice(frames, 3)] == ["tracked"] * 3
    opened.says("#commands code", f"--target {folder}/targets.json --config")


def test_a_point_is_moved_and_the_way_back_is_undo(opened):
    opened.draw()
    opened.page.check("[value=edit]")
    opened.drag(CORNERS[0], (20, 52))
    (moved,) = opened.saved("moved")
    opened.page.click("#undo")
    (back,) = opened.saved("back")
    assert np.abs(moved.contour_px[0] - (20, 52)).max() < 0.6
    assert np.abs(back.contour_px - CORNERS).max() < 0.6


def test_the_boundary_comes_and_goes_with_the_contour(opened):
    opened.draw()
    assert opened.shows_boundary()
    opened.page.click("#undo")
    assert opened.shows_boundary(False)
    opened.draw()
    assert opened.shows_boundary()
    opened.open()
    assert opened.shows_boundary(False)


def test_targets_and_an_organ_are_drawn_by_box_freehand_and_keyboard(opened):
    opened.page.check("[value=box]")
    opened.drag((25.5, 45.5), (48.5, 65.5))
    opened.page.click("#add")
    opened.page.check("[value=freehand]")
    opened.drag(*[(60 + 8 * np.cos(a), 70 + 8 * np.sin(a)) for a in np.linspace(0, 6, 30)])
    opened.page.click("#add")
    opened.page.check("[value=box]")
    opened.page.focus("#cine")
    for key in ("ArrowLeft", "Enter", *["Shift+ArrowDown"] * 3, *["ArrowRight"] * 9, "Enter"):
        opened.page.keyboard.press(key)
    opened.page.locator("#structures [type=checkbox]").nth(2).check()
    box, freehand, organ = opened.saved("three")
    assert box.contour_px.tolist() == [[25.5, 45.5], [48.5, 45.5], [48.5, 65.5], [25.5, 65.5]]
    assert 8 < len(freehand.contour_px) < 31
    assert np.ptp(organ.contour_px, axis=0).tolist() == [9, 15]
    (rule, _) = cinegate.load_config(opened.folder / "three" / "config.toml").gating.rules
    assert (rule.structure, rule.target) == (organ.name, box.name)


def test_what_is_wrong_is_said_while_it_is_drawn(opened):
    opened.draw([CORNERS[0], CORNERS[2], CORNERS[1], CORNERS[3]])
    opened.says("#hint[data-wrong]", "target crosses itself")
    opened.page.click("#save")
    opened.says("#answer[data-wrong]", "target crosses itself")
    file = {"name": "plan.dcm", "mimeType": "application/dicom", "buffer": b"no DICOM"}
    opened.page.set_input_files("#copy-file", file)
    opened.says("#answer[data-wrong]", "plan.dcm: is not a readable RTSTRUCT")


def test_contours_stay_with_their_frame_until_they_are_taken_along(opened):
    opened.draw()
    opened.page.fill("#frame", "20")
    opened.says("#hint", "Contours belong to frame 0")
    opened.page.click("#reference")
    (target,) = opened.saved("later")
    later = cinegate.open_recording(demo_recording()).frames[20]
    assert target.image is not None
    assert np.array_equal(target.image.pixels, later)


def test_a_proposal_is_used_once_somebody_has_accepted_it(opened):
    opened.page.click("#copy-recorded")
    opened.page.click("#dry-run")
    expect(opened.page.locator("#grid .proposed")).to_have_count(1, timeout=START_MS)
    opened.page.check("#accept")
    opened.page.fill("#accepted-by", "dr_no")
    opened.saved("accepted")
    assert "# Accepted by dr_no at" in (opened.folder / "accepted" / "config.toml").read_text()
    opened.page.select_option("#preset", "exhale")
    expect(opened.page.locator("#proposal")).to_be_hidden()
