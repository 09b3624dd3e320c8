"""How each fault of the catalogue is injected: one generator a fault, by its id.

A generator injects, calls `scene.seen()` at the moment from which the fault is there to be seen, yields while it
stands, and clears it afterwards.
"""

from __future__ import annotations

from bench.faults.injections import anatomy, beam, disk, garbage, processes, stamps, stream  # noqa: F401 - they register
from bench.faults.injections.registry import INJECTIONS, Injection, Unmet

__all__ = ["INJECTIONS", "Injection", "Unmet"]
