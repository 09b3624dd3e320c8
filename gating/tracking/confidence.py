"""A calibrated probability that the centre is within 2 mm, from what the search and the fit saw.

A logistic model. Every weight has the sign that safety requires: no evidence of doubt raises the confidence. The
weights were fitted to semi-synthetic recordings, with errors above 3 mm counted five times. The weight of `misfit` was
set by hand: real frames that no template fits are worse than the white noise in those recordings. `docs/tracking.md`
says where the calibration holds, where it does not, and why the fit is not the newest.
"""

from __future__ import annotations

import math

from msgspec import Struct

from gating.tracking.fixed_pattern import OBJECTION


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


FEATURES = ("fit", "misfit", "rival", "precision", "scatter", "strain", "shift", "disagreement", "jump", "unseen")
WEIGHTS = (1.291, 35.0, 7.801, 3.605, 4.427, 11.737, 0.0, 0.041, 1.183, 0.7)
INTERCEPT = -1.715
MISFIT_BELOW = 0.85
VETO_LIMIT = 0.5
RIVAL_VETO = 0.05
FIXED_PATTERN_VETO = OBJECTION
OBJECTIONS_VETO = 0.25
"""A pattern that held the match in this share of the last seconds may hold it now as well."""
BEYOND_IMAGE_VETO_PX = 1.0
"""If a target reaches farther out of the image than this, its centre is a guess."""
REASONS = {
    "fit": "the target's appearance fits the templates badly (ZNCC {e.score_moved_back:.2f})",
    "misfit": "the target's appearance fits no template (ZNCC {e.score_moved_back:.2f})",
    "rival": "another place looks almost the same (lead {e.rival_gap:.2f})",
    "precision": "the image fixes the position only to {e.precision_mm:.2f} mm",
    "scatter": "the target is bent ({e.bending_mm:.1f} mm)",
    "strain": "the target is deformed by {e.strain:.0%}",
    "shift": "fit and match are {e.fit_shift_mm:.1f} mm apart",
    "disagreement": "the templates are {e.disagreement_mm:.1f} mm apart",
    "jump": "it moved {e.excess_jump_mm:.0f} mm farther than breathing explains",
    "unseen": "it was out of sight for {e.unseen_s:.1f} s",
}
USUAL = (1.75, 0.0, 0.39, 1.1, -0.21, -0.02, -0.2, -0.17, 0.0, 0.0)
"""Medians of the features on well tracked frames: the feature that falls shortest of its median explains the doubt."""


def features(evidence: Evidence) -> tuple[float, ...]:
    """Return the terms of the model in the order of `FEATURES`; more is better in each."""
    return (
        math.atanh(_clip(evidence.score_moved_back, 0.0, 0.98)),
        _clip(evidence.score_moved_back - MISFIT_BELOW, -1.0, 0.0),
        _clip(evidence.rival_gap, -0.1, 0.4),
        -math.log10(_clip(evidence.precision_mm, 0.03, 20.0)),
        -math.log1p(_clip(evidence.bending_mm, 0.0, 50.0)),
        -_clip(evidence.strain, 0.0, 0.5),
        -math.log1p(_clip(evidence.fit_shift_mm, 0.0, 50.0)),
        -math.log1p(_clip(evidence.disagreement_mm, 0.0, 20.0)),
        -math.log1p(_clip(evidence.excess_jump_mm, 0.0, 100.0)),
        -math.log1p(_clip(evidence.unseen_s, 0.0, 100.0)),
    )


def probability(evidence: Evidence) -> float:
    """Return P(centre error <= 2 mm), 0 to 1, never NaN.

    Some matches are never confident, however well they fit: at the border of the window, with a rival about as good,
    held by a pattern that is fixed in the image, or of a target that leaves the image.
    """
    logit = INTERCEPT + sum(w * value for w, value in zip(WEIGHTS, features(evidence), strict=True))
    if not math.isfinite(logit):
        return 0.0
    confidence = 1.0 / (1.0 + math.exp(-_clip(logit, -30.0, 30.0)))
    return confidence if veto(evidence) is None else min(confidence, VETO_LIMIT)


def veto(evidence: Evidence) -> str | None:
    """Return why no score may make this frame confident, or None."""
    if evidence.at_edge:
        return "the best match lies at the border of the search window"
    if not evidence.rival_gap >= RIVAL_VETO:
        return REASONS["rival"]
    if not evidence.moving_elsewhere <= FIXED_PATTERN_VETO:
        return "what moves in the image fits better at another place: a fixed pattern may hold the match"
    if not evidence.objections <= OBJECTIONS_VETO:
        return "what moves in the image fitted better at another place in {e.objections:.0%} of the last seconds"
    if not evidence.beyond_image_px <= BEYOND_IMAGE_VETO_PX:
        return "the target reaches {e.beyond_image_px:.0f} px beyond the image"
    return None


def reason_for_doubt(evidence: Evidence) -> str:
    """Return one sentence that names what lowers the confidence most."""
    vetoed = veto(evidence)
    if vetoed is not None:
        return vetoed.format(e=evidence)
    lacking = [w * (usual - v) for w, usual, v in zip(WEIGHTS, USUAL, features(evidence), strict=True)]
    return REASONS[FEATURES[lacking.index(max(lacking))]].format(e=evidence)


def _clip(value: float, low: float, high: float) -> float:
    """Limit a value; NaN stays NaN, which makes the confidence 0."""
    return value if math.isnan(value) else min(max(value, low), high)
