"""How long a source waits for its peer."""

from __future__ import annotations

import logging
import math
import time
from typing import Annotated, Final

from msgspec import Meta

WaitS = Annotated[
    float, Meta(ge=0, le=3600, description="How long to wait for the stream's first frames; 0: for ever.")
]

_log: Final = logging.getLogger("cinegate.source")


def wait_ends_s(wait_s: float, what: str) -> float:
    """Say what is waited for, and return when the wait ends, s on `time.monotonic`; never, for a wait of 0."""
    _log.info("waits for %s, %s", what, f"{wait_s:g} s at most" if wait_s else "for ever")
    return time.monotonic() + wait_s if wait_s else math.inf
