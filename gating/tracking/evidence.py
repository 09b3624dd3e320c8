"""What search and fit saw of one frame, as far as it tells right from wrong."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from gating.tracking.contour import Propagation
from gating.tracking.template import Placement

COMPARABLE: Final = 0.15
"""A template whose score is this far below the winner's has no opinion on the place."""


class Evidence(Struct, frozen=True):
    """All that the confidence of one frame is computed from.

    Attributes
    ----------
    score : float
        ZNCC of the winning template at its place.
    score_moved_back : float
        ZNCC after the frame is moved back by the fitted motion.
    rival_gap : float
        Lead over the best score at another place.
    precision_mm : float
        Standard deviation of the position from noise and misfit.
    fit_shift_mm : float
        How far the fit moves the content away from the match.
    bending_mm : float
        Root mean square of what bends the target beyond an affine motion.
    strain : float
        Largest gradient of the affine motion, dimensionless.
    disagreement_mm : float
        Distance to the nearest place that another template proposes; 0 with a single template.
    excess_jump_mm : float
        Movement since the target was last seen, beyond what quiet breathing explains.
    at_edge : bool
        The match touches the border of its window.
    drop : float
        Best recent score of this target minus this one.
    unseen_s : float
        Time since the target was last seen; 0 if it was seen in the frame before.
    moving_elsewhere : float
        How much better what moves in the image fits at another place, see `fixed_pattern.py`.
    beyond_image_px : float
        How far the target reaches out of the image.
    objections : float
        Share of the last seconds in which what moves in the image fitted better elsewhere.
    score_shifted : float
        ZNCC of the winning template with the frame shifted by the mean motion, not deformed.
    cost : float
        Mean square of the clipped differences of local contrast after the fit.
    rest_score : float
        Raw ZNCC of the reference with the target at rest: the median over the preparation, only shifted; without one
        the best so far, moved back.
    usual_score : float
        With a memory: `score_shifted` that is usual at this excursion.
    unprepared_mm : float
        With a memory: how far the excursion is from all that was prepared.
    carried_fit : float
        With a memory: how well the contour of the winning key frame was carried to it, see `memory.KeyFrame`.
    ways_apart_mm : float
        With a memory: distance between the centres of the outlines from the best key frame and from the reference.
    prepared : bool
        Whether there is a memory.
    """

    score: float
    score_moved_back: float
    rival_gap: float
    precision_mm: float
    fit_shift_mm: float
    bending_mm: float
    strain: float
    disagreement_mm: float
    excess_jump_mm: float
    at_edge: bool
    drop: float
    unseen_s: float
    moving_elsewhere: float
    beyond_image_px: float = 0.0
    objections: float = 0.0
    cost: float = 0.0
    score_shifted: float = 1.0
    rest_score: float = 1.0
    usual_score: float = 1.0
    unprepared_mm: float = 0.0
    carried_fit: float = 1.0
    ways_apart_mm: float = 0.0
    prepared: bool = False


class History(Struct, frozen=True):
    """What earlier frames add to the evidence of one, see `Evidence`."""

    excess_jump_mm: float
    drop: float
    unseen_s: float
    rest_score: float
    moving_elsewhere: float
    objections: float


def gather(
    placements: list[Placement],
    winner: Placement,
    moved: Propagation,
    history: History,
    *,
    apart_px: float,
    spacing_mm: float,
) -> Evidence:
    """Return the evidence of one frame.

    Parameters
    ----------
    placements : list of Placement
        All that the search found.
    winner : Placement
        The one that is believed.
    moved : Propagation
        The contour carried to it.
    history : History
    apart_px : float
        Placements farther apart than this are different places.
    spacing_mm : float
        Size of a pixel.
    """
    away_px = [math.hypot(one.x_px - winner.x_px, one.y_px - winner.y_px) for one in placements]
    rival = max((one.score for one, away in zip(placements, away_px, strict=True) if away > apart_px), default=-1.0)
    spread_px = [
        away
        for one, away in zip(placements, away_px, strict=True)
        if one.template != winner.template and one.score > winner.score - COMPARABLE
    ]
    return Evidence(
        score=winner.score,
        score_moved_back=moved.score,
        rival_gap=min(winner.lead, winner.score - rival),
        precision_mm=moved.precision_mm,
        fit_shift_mm=moved.shift_mm,
        bending_mm=moved.bending_mm,
        strain=moved.strain,
        disagreement_mm=min(spread_px, default=0.0) * spacing_mm,
        at_edge=winner.at_edge,
        beyond_image_px=moved.beyond_image_px,
        cost=moved.cost,
        score_shifted=moved.score_shifted,
        excess_jump_mm=history.excess_jump_mm,
        drop=history.drop,
        unseen_s=history.unseen_s,
        rest_score=history.rest_score,
        moving_elsewhere=history.moving_elsewhere,
        objections=history.objections,
    )
