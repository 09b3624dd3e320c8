"""The report in a real browser: it draws its plots offline, without an error."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gating.report.html import write_html
from tests.unit.session_bench import write_session

FLAGS = [
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


def test_the_page_draws_its_three_plots(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    page = tmp_path / "report.html"
    write_html(write_session(tmp_path / "s1.mcap"), page)
    dom = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
    for plot in ("motion", "latency", "reasons"):
        assert f'<div id="{plot}" class="js-plotly-plot"' in dom
    assert dom.count('class="main-svg"') >= 3
    assert "scatterlayer" in dom
