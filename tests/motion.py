"""Motion of a target as (samples,) times and (samples, 3) positions LR, AP, SI in mm, and files of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Motion = tuple[NDArray[np.float64], NDArray[np.float64]]


def breathing(
    seconds: float, drift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0), *, seed: int = 0, irregular: float = 0.0
) -> Motion:
    """Liver-like: mostly near exhale; inhale moves inferior and anterior; drift grows evenly."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.uniform(0.15, 0.19, round(seconds / 0.17)))
    phase = 2 * np.pi * t / 4 + irregular * np.cumsum(rng.normal(0, 0.02, len(t)))
    inhale = np.sin(phase / 2) ** 4
    motion = np.outer(inhale, [0.0, -4.0, -12.0]) + rng.normal(0, 0.2, (len(t), 3))
    return t, motion + np.outer(t / t[-1], drift_mm)


def sunken() -> Motion:
    """Two minutes of breathing, the second of them 6 mm inferior of the first."""
    t, p = breathing(120)
    p[t > 60] += (0.0, 0.0, -6.0)
    return t, p


def write_trace(path: Path, t_s: NDArray[np.float64], p_mm: NDArray[np.float64]) -> Path:
    """Write a robot trajectory, which has posterior for anterior and begins at 0 s; return its path."""
    lr, ap, si = p_mm.T
    rotation = np.zeros((len(t_s), 3))
    np.savetxt(path, np.column_stack([t_s - t_s[0], lr, si, -ap, rotation]))
    return path
