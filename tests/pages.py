"""What an HTML page would fetch from the network, and what a browser makes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_FETCHED = re.compile(r"<(?:script|link|img|image|iframe)\b[^<>]*\b(?:src|href)=[\"'](https?:[^\"']*)", re.IGNORECASE)

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--dump-dom",
]


def fetched_addresses(page: str) -> list[str]:
    """Addresses in the page's own elements; those inside scripts, which plot libraries hold unused, do not count."""
    return _FETCHED.findall(page)


def dom_after_scripts(page: Path) -> str:
    """The page as a browser has it once its scripts have run; skips the test where there is no browser."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    return subprocess.run(
        [browser, *_FLAGS, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
