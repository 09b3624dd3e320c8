"""The mean breath in ten phases, as a 4D-CT shows it before a treatment."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis.drift import rises

PHASES: Final = 10
BREATH_S: Final = (1.5, 15.0)
LEAST_BREATHS: Final = 2


@dataclass(frozen=True, slots=True)
class MeanBreath:
    """Positions of the target by phase.

    Attributes
    ----------
    mean_mm
        (phases, 3) LPS; the two ends of the whole motion if there were fewer than two breaths.
    breaths
        Number of breaths; 0 if there were fewer than two.
    """

    mean_mm: NDArray[np.float64]
    breaths: int


def ten_phases(t_s: NDArray[np.float64], position_mm: NDArray[np.float64]) -> MeanBreath:
    """Return the mean breath.

    A breath begins where the motion along its main direction rises through its middle, and its phases are parts of
    equal time. As in a 4D-CT, motion within a phase and differences between breaths are averaged, so that the range is
    smaller than that of all positions.

    Parameters
    ----------
    t_s, position_mm
        (n,) and (n, 3) LPS, finite, one sample or more.
    """
    _, _, directions = np.linalg.svd(position_mm - position_mm.mean(axis=0), full_matrices=False)
    along = position_mm @ directions[0]
    low, high = np.percentile(along, [5, 95])
    cuts = rises(along, (low + high) / 2, 0.15 * (high - low))
    breaths = [(a, b) for a, b in pairwise(cuts) if BREATH_S[0] <= t_s[b] - t_s[a] <= BREATH_S[1]]
    if len(breaths) < LEAST_BREATHS:
        return MeanBreath(np.stack([position_mm.min(axis=0), position_mm.max(axis=0)]), 0)
    sums, counts = np.zeros((PHASES, 3)), np.zeros(PHASES)
    for a, b in breaths:
        phase = np.minimum((PHASES * (t_s[a:b] - t_s[a]) / (t_s[b] - t_s[a])).astype(int), PHASES - 1)
        np.add.at(sums, phase, position_mm[a:b])
        np.add.at(counts, phase, 1)
    seen = counts > 0
    return MeanBreath(sums[seen] / counts[seen, None], len(breaths))
