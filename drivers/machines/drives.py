"""Axes of a machine: set-points that take effect after a latency, at limited speed and acceleration. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Mm = NDArray[np.float64]


class DriveLimits(Struct, frozen=True, kw_only=True):
    """What each axis of a machine can do."""

    speed_mm_s: float
    acceleration_mm_s2: float
    latency_ms: float
    """From a set-point to the start of the motion."""


class Drives:
    """Axes that move to their set-points, each on its own.

    Each goes as fast as it can still brake from before its set-point: v = sqrt(2 a d).

    Parameters
    ----------
    position_mm
        Where the axes stand, (axes,).
    limits
        Speed, acceleration and latency.
    """

    def __init__(self, position_mm: Mm, limits: DriveLimits) -> None:
        self.position_mm = np.array(position_mm, np.float64)
        self.velocity_mm_s = np.zeros_like(self.position_mm)
        self._limits = limits
        self._coming: deque[tuple[float, Mm]] = deque()
        self._wanted = self.position_mm.copy()
        self._t_s: float | None = None

    def set_point(self, t_s: float, position_mm: Mm) -> None:
        """Ask for a position at `t_s`."""
        self._coming.append((t_s + self._limits.latency_ms / 1e3, np.array(position_mm, np.float64)))

    def hold(self) -> None:
        """Forget every set-point, and brake to a stand."""
        self._coming.clear()
        self._wanted = self.position_mm + 0.5 * self.velocity_mm_s * np.abs(self.velocity_mm_s) / (
            self._limits.acceleration_mm_s2
        )

    def advance(self, t_s: float) -> Mm:
        """Move until `t_s`, and return the position, (axes,) mm."""
        dt_s = 0.0 if self._t_s is None else max(0.0, t_s - self._t_s)
        self._t_s = t_s
        while self._coming and self._coming[0][0] <= t_s:
            self._wanted = self._coming.popleft()[1]
        if dt_s > 0:
            away = self._wanted - self.position_mm
            limits, far = self._limits, np.abs(away)
            braking = np.sqrt(2 * limits.acceleration_mm_s2 * far)
            speed = np.minimum(np.minimum(limits.speed_mm_s, braking), far / dt_s)
            change = np.sign(away) * speed - self.velocity_mm_s
            most = limits.acceleration_mm_s2 * dt_s
            self.velocity_mm_s += np.clip(change, -most, most)
            self.position_mm += self.velocity_mm_s * dt_s
        return self.position_mm
