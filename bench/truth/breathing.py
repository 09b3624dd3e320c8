"""How the anatomy moves over time: free breathing, breath-holds, and recorded tumour motion.

Positive superior-inferior motion is towards the feet, positive anterior-posterior motion towards the back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.truth.people import DATA

Series = NDArray[np.float64]
RECORDED = ("LiverTraj_LargeSI70s_robot", "LiverTraj_RegularBreathing70s_robot", "LiverTraj_BreathHold1_robot")
AP_FRACTION = 0.25
BEATS_PER_S = 1.1


@dataclass(frozen=True, slots=True)
class Motion:
    """A trace with n samples.

    Attributes
    ----------
    time_s, si_mm, ap_mm
        Time and displacement of the target.
    depth
        Phase that deformation and appearance follow, 0 at rest, 1 at full depth; it lags behind the displacement.
    beat
        The heart, -1 to 1.
    """

    time_s: Series
    si_mm: Series
    ap_mm: Series
    depth: Series
    beat: Series


def move(kind: str, time_s: Series, depth_mm: float, lag_s: float, drift_mm: float, rng: np.random.Generator) -> Motion:
    """Return the motion of a recording.

    Parameters
    ----------
    kind
        `free`, `holds` or `recorded`.
    depth_mm
        Largest superior-inferior excursion, not counting the drift.
    lag_s
        How far AP motion, deformation and appearance are behind SI motion: the loop of a hysteresis.
    drift_mm
        Baseline shift over the whole recording.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    makers = {"free": _free, "holds": _holds, "recorded": _recorded}
    if kind not in makers:
        raise ValueError(f"motion: {kind!r} is unknown; known are {', '.join(makers)}")
    fine_s = np.arange(time_s[0] - 2.0, time_s[-1] + 0.02, 0.02)
    fraction = makers[kind](fine_s, rng)
    now = np.interp(time_s, fine_s, fraction)
    before = np.interp(time_s - lag_s, fine_s, fraction)
    drift = drift_mm * (time_s - time_s[0]) / (time_s[-1] - time_s[0])
    beat = np.sin(2 * np.pi * BEATS_PER_S * time_s + rng.uniform(0, 6)) ** 3
    return Motion(time_s, depth_mm * now + drift, -AP_FRACTION * depth_mm * before + 0.3 * drift, before, beat)


def _free(time_s: Series, rng: np.random.Generator) -> Series:
    """Return sin^4 breaths (A. Lujan et al., Med. Phys. 26, 1999) of uneven depth and length, 0 to 1.

    Time 0 is at or near the end of an expiration, as the reference of a treatment is.
    """
    period_s = rng.uniform(3.2, 4.8)
    phase = np.cumsum(np.gradient(time_s) / (period_s * (1 + 0.15 * np.sin(time_s / 7.0 + rng.uniform(0, 6)))))
    phase += 1.0 + rng.uniform(-0.15, 0.15) - np.interp(0.0, time_s, phase)
    breaths = rng.uniform(0.6, 1.0, int(phase[-1]) + 2)
    return np.asarray(breaths[np.floor(phase).astype(int)] * np.sin(np.pi * phase) ** 4)


def _holds(time_s: Series, rng: np.random.Generator) -> Series:
    """Return quiet breathing with a hold of 15 to 20 s after every few breaths, each at another depth, 0 to 1.

    Inspiration takes about a second. In a hold the depth falls by up to 3 to 8 %, as the diaphragm relaxes.
    """
    quiet = 0.3 * _free(time_s, rng)
    trace, held = np.zeros_like(time_s), np.zeros_like(time_s)
    start_s, depths = rng.uniform(3.0, 6.0), iter(rng.permutation([1.0, 0.85, 0.7]).tolist() * 9)
    while start_s < time_s[-1]:
        length_s = rng.uniform(15.0, 20.0)
        within = 1.0 / (1.0 + np.exp((start_s - time_s) / 0.22))
        within *= 1.0 / (1.0 + np.exp((time_s - start_s - length_s) / 0.25))
        relaxed = rng.uniform(0.03, 0.08) * (1.0 - np.exp(-np.clip(time_s - start_s, 0, None) / 8.0))
        trace += within * next(depths) * (1.0 - relaxed)
        held += within
        start_s += length_s + rng.uniform(5.0, 8.0)
    return np.asarray(quiet * np.clip(1.0 - held, 0, 1) + trace)


def _recorded(time_s: Series, rng: np.random.Generator) -> Series:
    """Return a part of a patient's recorded SI motion, scaled to a range of 1."""
    name = RECORDED[rng.integers(len(RECORDED))]
    seconds, _, si = np.loadtxt(DATA / "traces" / f"{name}.txt", usecols=(0, 1, 2)).T
    begin = rng.uniform(0.0, max(seconds[-1] - (time_s[-1] - time_s[0]), 0.0))
    part = np.interp(time_s - time_s[0] + begin, seconds, si)
    low, high = float(part.min()), float(part.max())
    return np.asarray((part - low) / max(high - low, 1e-6))
