"""Figures as text: what is not known is a dash, never zero."""

from __future__ import annotations

from gating.pages import page


def number(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Return a number with so many decimals; a dash if it is not known."""
    return page.number(value, f"{'+' if sign else ''}.{digits}f")


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent; a dash if it is not known."""
    text = number(None if fraction is None else 100 * fraction, digits)
    return text if text == page.UNKNOWN else f"{text} %"
