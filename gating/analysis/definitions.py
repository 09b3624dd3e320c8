"""What each figure of gating means and how it is computed, once, for card, table, file, proposal and document."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.analysis.motion import GatedMotion, Intervals

SENTENCES: Final = {
    "session": "From the acquisition of the first frame to that of the last, and one mean frame interval.",
    "beam-on time": "Time in the session in which the beam interface confirmed beam; if there was none, in which beam "
    "was commanded.",
    "duty cycle": "Beam-on time divided by the length of the session.",
    "residual motion": "Distance of the target's centre from the middle of its gating window while the beam was on, "
    "every 10 ms, interpolated between frames; 95 % of the time it is smaller than the figure.",
    "free motion": "The same distance over the whole session, as it would be without gating.",
    "middle of the window": "The place of the target's centre in the reference frame, moved by the shift of the first "
    "boundary, centre or overlap rule of the target.",
    "beam-off latency": "From the time at which the target leaves its window, interpolated between two frames, to the "
    "end of beam on.",
    "beam-on latency": "From the time at which the target enters its window, interpolated between two frames, to the "
    "beginning of beam on.",
    "overshoot": "Distance that the target moves from leaving its window to the end of beam on.",
    "undershoot": "Distance that the target moves from entering its window to the beginning of beam on.",
    "coverage": "Mean part of the area of the target inside its gating boundary while the beam was on.",
    "simulated latency": "Where no beam was recorded: from the acquisition of a frame to the change of the beam that "
    "its decision causes.",
    "software latency": "From the publication of a frame to the receipt of its command by the beam interface, which is "
    "not the gating latency.",
}
"""Each figure in one sentence. AAPM TG-76 section VI, doi:10.1118/1.2349696, names residual motion and latency."""


def clip(intervals: ArrayLike, span: tuple[float, float]) -> Intervals:
    """Return the parts of (n, 2) intervals that lie in a span."""
    cut: Intervals = np.clip(np.asarray(intervals, float).reshape(-1, 2), *span)
    return cut[cut[:, 1] > cut[:, 0]]


def beam_on_time(intervals: ArrayLike, span: tuple[float, float]) -> float:
    """Return the time with beam on within a span, in the unit of both."""
    return float(np.diff(clip(intervals, span), axis=1).sum())


def duty_cycle(intervals: ArrayLike, span: tuple[float, float]) -> float:
    """Return the fraction of a span with beam on; NaN for a span without length."""
    length = span[1] - span[0]
    return beam_on_time(intervals, span) / length if length > 0 else float("nan")


def free_mm(motion: GatedMotion) -> NDArray[np.float64]:
    """Return displacements from the middle of the window over the whole session, (n, 3) LPS, where they are known.

    A single known position, such as that in which the target was drawn, is no motion: nothing is known then.
    """
    if np.isfinite(motion.displacement_mm).all(axis=1).sum() < 2:
        return np.empty((0, 3))
    away_mm = motion.grid()[1] - motion.window_mm
    return away_mm[np.isfinite(away_mm).all(axis=1)]


def residual_mm(motion: GatedMotion) -> NDArray[np.float64]:
    """Return displacements from the middle of the window while the beam was on, (n, 3) LPS, where they are known."""
    _, away_mm, on = motion.grid()
    return (away_mm - motion.window_mm)[on & np.isfinite(away_mm).all(axis=1)]


def spread_mm(displacement_mm: NDArray[np.float64]) -> float:
    """Return the SD of (n, 3) displacements, the root of the summed variances of the axes; NaN without any."""
    return float(np.sqrt(displacement_mm.var(axis=0).sum())) if len(displacement_mm) else float("nan")


def distance_mm(displacement_mm: NDArray[np.float64], percentile: float = 95.0) -> float:
    """Return a percentile of the lengths of (n, 3) displacements; NaN without any."""
    lengths = np.linalg.norm(displacement_mm, axis=1)
    return float(np.percentile(lengths, percentile)) if len(lengths) else float("nan")
