"""From what the search and the flow saw to a probability that the centre is within 2 mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the confidence is made of.

    Attributes
    ----------
    score : ZNCC of the winning template at its place
    score_moved_back : ZNCC once the frame is moved back by the fitted flow
    rival_gap : score minus the best score of any template at another place
    flow_shift_mm : how far the flow moves the centre away from the match
    flow_scatter_mm : deviation of the flow from an affine motion
    strain : largest gradient of the affine motion
    disagreement_mm : distance to the nearest place that another template proposes; 0 with a single template
    excess_jump_mm : movement since the last frame beyond what quiet breathing explains
    at_edge : the match touches the border of its window
    previous : confidence of the frame before
    """

    score: float
    score_moved_back: float
    rival_gap: float
    flow_shift_mm: float
    flow_scatter_mm: float
    strain: float
    disagreement_mm: float
    excess_jump_mm: float
    at_edge: bool
    previous: float


def probability(evidence: Evidence) -> float:
    """P(centre error <= 2 mm)."""
    z = 25 * (evidence.score_moved_back - 0.75) + 10 * evidence.rival_gap - evidence.flow_shift_mm
    return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def reason_for_doubt(evidence: Evidence, confidence: float) -> str:
    """One sentence."""
    return f"confidence {confidence:.2f}, {evidence}"
