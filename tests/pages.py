"""What an HTML page would fetch from the network."""

from __future__ import annotations

import re

_FETCHED = re.compile(r"<(?:script|link|img|image|iframe)\b[^<>]*\b(?:src|href)=[\"'](https?:[^\"']*)", re.IGNORECASE)


def fetched_addresses(page: str) -> list[str]:
    """Addresses in the page's own elements; those inside scripts, which plot libraries hold unused, do not count."""
    return _FETCHED.findall(page)
