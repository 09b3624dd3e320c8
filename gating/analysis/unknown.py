"""Figures as text: what is not known is a dash, never zero."""

from __future__ import annotations

import numpy as np

from gating.pages.page import UNKNOWN


def number(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Return a number as text; a dash if it is not known."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return format(value, f"{'+' if sign else ''}.{digits}f")


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent; a dash if it is not known."""
    text = number(None if fraction is None else 100 * fraction, digits)
    return text if text == UNKNOWN else f"{text} %"
