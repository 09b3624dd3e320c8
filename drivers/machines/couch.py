"""A couch that moves the patient against the target's displacement: the target stays where the beam is. Pure."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from drivers.machines.drives import DriveLimits, Drives, Mm


class CouchSettings(Struct, frozen=True, kw_only=True):
    """A couch. What it can do is assumed: a site enters what its own does."""

    speed_mm_s: float = 16.0
    acceleration_mm_s2: float = 100.0
    latency_ms: float = 60.0
    reach_mm: float = 30.0
    """Farthest displacement from where treatment began."""


class Couch:
    """Three axes, LPS."""

    def __init__(self, settings: CouchSettings | None = None) -> None:
        self.settings = settings or CouchSettings()
        limits = DriveLimits(
            speed_mm_s=self.settings.speed_mm_s,
            acceleration_mm_s2=self.settings.acceleration_mm_s2,
            latency_ms=self.settings.latency_ms,
        )
        self._drives = Drives(np.zeros(3), limits)

    def follow(self, t_s: float, displacement_mm: Mm) -> None:
        """Ask for the place that undoes a displacement of the target, (3,) LPS, as far as the couch reaches."""
        reach = self.settings.reach_mm
        self._drives.set_point(t_s, -np.clip(displacement_mm, -reach, reach))

    def hold(self) -> None:
        """Stand still."""
        self._drives.hold()

    def advance(self, t_s: float) -> Mm:
        """Move until `t_s`, and return the displacement of the couch, (3,) LPS."""
        return self._drives.advance(t_s)
