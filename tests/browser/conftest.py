"""A browser, and a looped replay in real processes with a console: one of each for all tests of pages."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinegate.verbs.options import load_targets
from drivers.recordings import open_recording
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.targets.target_file import write_targets
from replay_data import demo_recording
from tests.browser.hands import settle
from tests.console_bench import Console

sync_api = pytest.importorskip("playwright.sync_api")
FOLDER = Path(__file__).parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these tests last, in whatever order the others run: their replay runs on from their first to their last."""
    items.sort(key=lambda item: FOLDER in item.path.parents)


class Replay:
    """The processes of a session that an operator arms, and the console of one operator."""

    def __init__(self, folder: Path) -> None:
        recording = demo_recording()
        self.session = Session(Config(), "replay", folder)
        write_targets(folder / "targets.json", load_targets(open_recording(recording), None, None))
        self.commands = {
            "beam": [],
            "engine": ["--target", str(folder / "targets.json")],
            "source": [str(recording), "--loop"],
        }
        for role in self.commands:
            self.start(role)
        self.console = Console(folder, "--operator", "dr_who")

    def start(self, role: str) -> None:
        self.session.start(role, *self.commands[role])

    def signal(self, role: str, number: int) -> float:
        """Signal a process; return when, s."""
        self.session.processes[role].send_signal(number)
        return time.monotonic()

    def kill(self, role: str) -> float:
        """End a process at once; return when, s."""
        at_s = self.signal(role, signal.SIGKILL)
        self.session.processes[role].wait()
        return at_s

    def revive(self) -> None:
        """Start again what a test has ended."""
        for role in self.commands:
            if self.session.processes[role].poll() is not None:
                self.start(role)

    def close(self) -> None:
        self.console.close()
        self.session.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[sync_api.Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    os.umask(0o077)
    replay = Replay(tmp_path_factory.mktemp("r"))
    yield replay
    replay.close()


@pytest.fixture(scope="session")
def opened(browser: sync_api.Browser, replay: Replay) -> Iterator[sync_api.Page]:
    """The treatment page, opened once."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(replay.console.url)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def treat(opened: sync_api.Page, replay: Replay) -> sync_api.Page:
    """The treatment page of a session that is ready to be armed."""
    replay.revive()
    settle(opened)
    return opened


class DeskConsole(Console):
    """A console without a session: its Set up page and its Review page."""

    def __init__(self, folder: Path) -> None:
        self.setup, self.sessions = folder / "setup", folder / "sessions"
        self.sessions.mkdir()
        folders = ["--setup-folder", str(self.setup), "--sessions", str(self.sessions)]
        super().__init__(folder, "--operator", "dr_who", *folders)


@pytest.fixture(scope="session")
def desk_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskConsole]:
    os.umask(0o077)
    console = DeskConsole(tmp_path_factory.mktemp("d"))
    yield console
    console.close()
