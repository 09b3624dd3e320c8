"""The colours of console and reports against what they stand on: WCAG 2.2 AA, computed from the style sheets.

Text needs 4.5:1 (success criterion 1.4.3), lines and shapes 3:1 (1.4.11).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "cinegate" / "console" / "static" / "style.css"
REPORT = ROOT / "gating" / "pages" / "page.css"
PLAYER = ROOT / "gating" / "pages" / "player.css"
COLOUR = re.compile(r"--([a-z-]+):\s*(#[0-9a-f]{3,6})\b")
ON_PANELS = ("text", "dim", "on", "hold", "fault", "avoided", "lr")
UNDER_BLACK = ("text", "on", "hold", "avoided", "lr")
LINES = ("rule", "contour", "boundary", "avoided", "si", "ap", "lr")


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb, as WCAG defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def dark() -> dict[str, str]:
    return dict(COLOUR.findall(CONSOLE.read_text().partition("@media print")[0]))


def light() -> dict[str, str]:
    return dark() | dict(COLOUR.findall(CONSOLE.read_text().partition("@media print")[2]))


def report() -> dict[str, str]:
    fallbacks = re.findall(r"--p-(on|hold|fault):var\(--\w+,(#[0-9a-f]{6})\)", PLAYER.read_text())
    return dict(COLOUR.findall(REPORT.read_text())) | dict(fallbacks)


def too_faint(pairs: list[tuple[str, str]], least: float) -> list[str]:
    return [f"{one} on {other}: {contrast(one, other):.2f}" for one, other in pairs if contrast(one, other) < least]


def test_black_on_white_is_21_to_1() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


def test_the_consoles_texts_can_be_read() -> None:
    found = dark()
    pairs = [(found[name], found[ground]) for name in ON_PANELS for ground in ("back", "panel")]
    assert too_faint(pairs + [("#000", found[name]) for name in UNDER_BLACK], 4.5) == []


def test_the_consoles_lines_can_be_seen() -> None:
    found = dark()
    grounds = ("#000", found["back"], found["panel"])
    assert too_faint([(found[name], ground) for name in LINES for ground in grounds], 3) == []


def test_the_consoles_texts_can_be_read_in_print() -> None:
    found = light()
    assert too_faint([(found[name], found["back"]) for name in ("text", "dim", "on", "hold", "fault")], 4.5) == []


@pytest.mark.parametrize("ground", ["card", "paper"])
def test_the_reports_texts_can_be_read(ground: str) -> None:
    found = report()
    names = ("ink", "muted", "blue", "green", "amber", "red", "on", "hold", "fault")
    assert too_faint([(found[name], found[ground]) for name in names], 4.5) == []
