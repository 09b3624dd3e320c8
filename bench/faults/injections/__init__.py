"""The injection of each fault in the catalogue: one generator per fault, by its id.

A generator injects the fault, calls `scene.mark_visible()` when it can first be noticed, yields while it lasts, and
then clears it.
"""

from __future__ import annotations

from bench.faults.injections import (  # noqa: F401 - they register
    anatomy,
    beam,
    content,
    disk,
    garbage,
    identity,
    lost_log,
    origin,
    processes,
    stamps,
    stream,
    targets,
)
from bench.faults.injections.registry import INJECTIONS, Injection, Unmet

__all__ = ["INJECTIONS", "Injection", "Unmet"]
