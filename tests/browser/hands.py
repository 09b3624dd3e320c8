"""What an operator's hands do on the treatment page."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import TimeoutError as NotInTime

START_MS: Final = 120_000
"""The engine may have to compile first."""


def settle(page: Any) -> None:
    """Wait until the session runs; acknowledge what a test before may have latched, and hold."""
    page.wait_for_selector("#no-signal", state="hidden", timeout=START_MS)
    page.wait_for_selector("#gate:not([data-state=silent])", timeout=START_MS)
    if page.get_attribute("#gate", "data-state") == "latched":
        acknowledge(page, "dr_who", "the test before")
    if not page.is_enabled("#arm"):
        page.keyboard.press("Space")
    page.wait_for_selector("#arm:enabled", timeout=START_MS)


def acknowledge(page: Any, name: str, why: str) -> None:
    page.click("#acknowledge")
    page.fill("#ask-name", name)
    page.fill("#ask-why", why)
    page.click("#ask-do")
    page.wait_for_selector("#acknowledge:disabled")


def arm(page: Any) -> None:
    """Arm as soon as the engine accepts, and wait for the beam."""
    with suppress(NotInTime):
        for _ in range(100):
            page.click("#arm", timeout=500)
    page.wait_for_selector("#gate[data-state=on]", timeout=20_000)
