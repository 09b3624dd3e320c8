"""What the bench of the console reads of a page's memory, from a real browser."""

from __future__ import annotations

import shutil

import pytest

from bench.browser import Browser
from tests.patience import wait_until

GROWS = (
    "data:text/html,<body><script>const kept = [];"
    "setInterval(() => { kept.push(Array(2e4).fill(1)); document.body.append(1); }, 9)</script>"
)


def has_grown(first: dict[str, float], later: dict[str, float]) -> bool:
    return all(later[name] > first[name] for name in ("page_heap_mb", "page_nodes"))


def test_a_page_that_keeps_objects_and_nodes_is_seen_to_grow(tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    browser = Browser(GROWS, tmp_path)
    try:
        first = browser.held()
        assert wait_until(lambda: has_grown(first, browser.held()))
    finally:
        browser.close()
