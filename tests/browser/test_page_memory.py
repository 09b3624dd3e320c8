"""What the bench of the console reads of a page's memory, from a real browser."""

from __future__ import annotations

import shutil

import pytest

from bench.browser import Browser

GROWS = (
    "data:text/html,<body><script>const kept = [];"
    "setInterval(() => { kept.push(Array(2e4).fill(1)); document.body.append(1); }, 9)</script>"
)


def test_a_page_that_keeps_objects_and_nodes_is_seen_to_grow(tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    browser = Browser(GROWS, tmp_path)
    try:
        first, later = browser.held(), browser.held()
    finally:
        browser.close()
    assert all(later[name] > first[name] for name in ("page_heap_mb", "page_nodes"))
