"""Makes the pictures of console and report in the documents: replays in real processes, and a browser that looks on.

python -m bench.console_pictures [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import ViewportSize, sync_playwright

import cinegate
from bench.console_pages import ConsoleProcess
from cinegate.verbs.options import load_targets
from drivers.recordings import open_recording
from gating.service.pipeline import Session
from gating.settings.config import parse_config
from gating.settings.presets import read_preset
from gating.targets.target_file import write_targets
from replay_data import session_path

SIZE: Final[ViewportSize] = {"width": 1280, "height": 720}
START_MS: Final = 120_000
FILM_S, FILM_RATE = 20, 4
RECORDING: Final = "breath_hold"
"""Name of the recording, and of the preset for it."""
REPORTED: Final = "free_breathing"
"""Name of the recording for review and report."""


def take(out: Path) -> None:
    """Write `console_PAGE.png` for each page, `console_no_signal.png`, `console_treat.webp`, and `report.png`."""
    recording = session_path(RECORDING)
    with tempfile.TemporaryDirectory(prefix="cinegate-") as name:
        folder = Path(name)
        with cinegate.run(session_path(REPORTED), log=folder / "sessions") as reported:
            reported.wait()
        write_targets(folder / "targets.json", load_targets(open_recording(recording), None, None))
        session = Session(parse_config(read_preset(RECORDING)), "example", folder)
        session.start("beam")
        session.start("record", str(folder / "example.mcap"))
        session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        session.start("source", str(recording), "--loop", "--subscribers", "2")
        folders = ["--setup-folder", str(folder / "setup"), "--sessions", str(folder / "sessions")]
        console = ConsoleProcess(folder, "--operator", "A. Physicist", *folders)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport=SIZE)
                _photograph_session(page, session, console, out)
                session.stop()
                origin = console.url.partition("/treat")[0]
                _photograph_set_up(page, origin, out)
                _photograph_review(page, origin, out)
                _photograph_report(page, cinegate.report(reported.log), out)
                browser.close()
        finally:
            console.close()
            session.stop()


def _photograph_session(page: Any, session: Session, console: ConsoleProcess, out: Path) -> None:
    page.goto(console.url)
    page.wait_for_selector("#gate[data-state=on]", timeout=START_MS)
    page.wait_for_timeout(15_000)
    page.wait_for_selector("#gate[data-state=on]", timeout=START_MS)
    page.wait_for_timeout(500)
    page.screenshot(path=out / "console_treat.png")
    _film(page, out / "console_treat.webp")
    origin = console.url.partition("/treat")[0]
    page.goto(f"{origin}/patient")
    page.wait_for_timeout(1000)
    page.screenshot(path=out / "console_patient.png")
    page.goto(f"{origin}/")
    page.wait_for_timeout(1000)
    page.screenshot(path=out / "console_start.png")
    page.goto(f"{origin}/treat")
    page.wait_for_selector("#no-signal", state="hidden")
    session.processes["source"].kill()
    page.wait_for_timeout(2500)
    page.screenshot(path=out / "console_no_signal.png")


def _film(page: Any, file: Path) -> None:
    """Write 20 s of the page as it is, at half its size."""
    import cv2
    import numpy as np

    film = cv2.Animation()
    begun_ms = page.evaluate("performance.now()")
    pictures, durations_ms = [], []
    for number in range(round(FILM_S * FILM_RATE)):
        page.wait_for_timeout(max(0, begun_ms + 1e3 * number / FILM_RATE - page.evaluate("performance.now()")))
        shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        pictures.append(cv2.resize(shot, (SIZE["width"] // 2, SIZE["height"] // 2), interpolation=cv2.INTER_AREA))
        durations_ms.append(round(1e3 / FILM_RATE))
    film.frames, film.durations = pictures, durations_ms
    cv2.imwriteanimation(str(file), film, [cv2.IMWRITE_WEBP_QUALITY, 60])


def _photograph_set_up(page: Any, origin: str, out: Path) -> None:
    page.goto(f"{origin}/setup")
    page.select_option("#recording", f"replay_data/{RECORDING}.npz")
    page.click("#open")
    page.click("#copy-recorded:enabled")
    page.select_option("#preset", RECORDING)
    page.wait_for_selector("#gating:has-text('reproducibility_mm')", state="attached", timeout=START_MS)
    page.wait_for_timeout(2000)
    page.screenshot(path=out / "console_setup.png")


def _photograph_review(page: Any, origin: str, out: Path) -> None:
    page.goto(f"{origin}/review")
    page.click("tr[data-name$='.mcap'] button", timeout=START_MS)
    page.wait_for_selector(".slot .player[data-state]", timeout=START_MS)
    page.click("#list summary")
    page.click(".slot .holds tbody tr:nth-child(2)")
    page.wait_for_timeout(1000)
    page.screenshot(path=out / "console_review.png")


def _photograph_report(page: Any, report: Path, out: Path) -> None:
    page.goto(report.as_uri())
    page.click("#player .holds tbody tr:nth-child(2)", timeout=START_MS)
    page.mouse.wheel(0, -5000)
    page.set_viewport_size({"width": 1100, "height": 1448})
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "report.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/img"))
