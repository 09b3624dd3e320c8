"""A calibrated probability that position and shape are right, from what the search and the fit saw.

Right means: the centre is within 2 mm, and the target-out fraction within 5 percentage points, since the gate decides
on the latter. Two logistic models, one for a target with a memory of its preparation, one without. Every weight has the
sign that safety requires: no evidence of doubt raises the confidence. `bench/calibrate_confidence.py` fits the weights
to scenes whose truth is known, and `docs/tracking.md` says where the calibration holds and where it does not.
"""

from __future__ import annotations

import math

from msgspec import Struct

from gating.tracking.evidence import Evidence
from gating.tracking.fixed_pattern import OBJECTION


class Model(Struct, frozen=True):
    """A logistic model: the log odds are `intercept` plus the weighted `features`.

    Attributes
    ----------
    weights : tuple of float
        In the order of `FEATURES`, 0 or more.
    usual : tuple of float
        Medians of the features on well tracked frames: the feature that falls shortest of its median explains a doubt.
    """

    intercept: float
    weights: tuple[float, ...]
    usual: tuple[float, ...]

    def log_odds(self, values: tuple[float, ...]) -> float:
        """Return the log odds of being right for values of the features."""
        return self.intercept + sum(w * value for w, value in zip(self.weights, values, strict=True))


FEATURES = ("fit", "misfit", "rival", "precision", "bending", "strain", "shift", "disagreement", "jump", "unseen",
            "contrast", "shortfall", "unprepared", "ways")  # fmt: skip
MISFIT_BELOW, MISFIT_WEIGHT = 0.85, 35.0
"""Set by hand: a real frame that no template fits is worse than a frame full of noise in a scene."""
ALONE = Model(
    0.96,
    (0.0, MISFIT_WEIGHT, 7.85, 2.188, 4.322, 0.0, 1.001, 1.254, 2.486, 1.584, 0.0, 0.0, 0.0, 0.0),
    (2.3, 0.0, 0.4, 1.39, -0.05, -0.02, -0.09, -0.07, 0.0, 0.0, -0.01, 0.0, 0.0, 0.0),
)
PREPARED = Model(
    -1.539,
    (0.0, MISFIT_WEIGHT, 4.409, 5.32, 0.0, 15.433, 0.0, 1.565, 0.0, 9.244, 0.0, 0.0, 0.0, 1.51),
    (2.3, 0.0, 0.4, 1.24, -0.06, -0.01, -0.08, -0.16, 0.0, 0.0, -0.01, 0.0, 0.0, 0.0),
)
USUAL_SPREAD = 0.04
"""A score this far below the usual one is usual as well."""
LEAST_REST_SCORE = 0.86
"""Least ZNCC of a target that can be told from noise: low-signal recordings reach 0.84, usable ones 0.93."""
LEAST_REST_SCORE_PREPARED = 0.78
"""The same over a preparation, where it is the median and only shifted."""
LARGEST_COST_ALONE = 0.11
"""Beyond it, without a memory, a frame that fits and one that is 4 mm wrong look alike."""
LARGEST_COST_APART, LARGEST_WAYS_APART_MM = 0.13, 0.5
"""With a memory, either the structure fits this well or the two ways to the outline agree this well."""
VETO_LIMIT = 0.45
"""A refusal, not a probability: below the least `min_confidence` that needs no override."""
RIVAL_VETO = 0.05
LEAST_CARRIED_FIT, LEAST_CARRIED_FIT_APART = 0.75, 0.85
"""Below, contours that were carried to key frames are as often 4 mm wrong as right; then a person must accept them.
The second is for frames whose structure fits badly: there, an error of the key frame's contour shows in nothing else.
"""
MOST_UNPREPARED_MM, MOST_UNPREPARED_APART_MM = 8.0, 4.0
"""Farther from all that the preparation showed, the score of a key frame says nothing of how the target looks there;
where only the two ways to the outline speak for it, they do so to half that distance: beyond, they err alike."""
LARGEST_SHIFT_APART_MM = 2.0
"""There, a fit and a match that contradict each other by more than a confident centre may err are not both right."""
OBJECTIONS_VETO = 0.35
"""A pattern that held the match in this share of the last seconds may hold it now as well."""
BEYOND_IMAGE_VETO_PX = 1.0
"""If a target reaches farther out of the image than this, its centre is a guess."""
_CARRIED = "the key frame seen here has a contour that was not surely carried there, and nobody has accepted it"
REASONS = {
    "fit": "the target's appearance fits the templates badly (ZNCC {e.score_moved_back:.2f})",
    "misfit": "the target's appearance fits no template (ZNCC {e.score_moved_back:.2f})",
    "rival": "another place looks almost the same (lead {e.rival_gap:.2f})",
    "precision": "the image fixes the position only to {e.precision_mm:.2f} mm",
    "bending": "the target is bent ({e.bending_mm:.1f} mm)",
    "strain": "the target is deformed by {e.strain:.0%}",
    "shift": "fit and match are {e.fit_shift_mm:.1f} mm apart",
    "disagreement": "the templates are {e.disagreement_mm:.1f} mm apart",
    "jump": "it moved {e.excess_jump_mm:.0f} mm farther than breathing explains",
    "unseen": "it was out of sight for {e.unseen_s:.1f} s",
    "contrast": "the target's structure fits no template (misfit {e.cost:.2f})",
    "shortfall": "the target looks less like its key frames (ZNCC {e.score_shifted:.2f}) than is usual there "
    "({e.usual_score:.2f})",
    "unprepared": "the preparation did not show the target within {e.unprepared_mm:.0f} mm of here",
    "ways": "the outlines by the reference and by a key frame are {e.ways_apart_mm:.1f} mm apart",
}


def features(evidence: Evidence) -> tuple[float, ...]:
    """Return the terms of the models in the order of `FEATURES`; more is better in each."""
    e = evidence
    return (
        math.atanh(_clip(e.score_moved_back, 0.0, 0.98)),
        _clip(e.score_moved_back - MISFIT_BELOW, -1.0, 0.0),
        _clip(e.rival_gap, -0.1, 0.4),
        -math.log10(_clip(e.precision_mm, 0.03, 20.0)),
        -math.log1p(_clip(e.bending_mm, 0.0, 50.0)),
        -_clip(e.strain, 0.0, 0.5),
        -math.log1p(_clip(e.fit_shift_mm, 0.0, 50.0)),
        -math.log1p(_clip(e.disagreement_mm, 0.0, 20.0)),
        -math.log1p(_clip(e.excess_jump_mm, 0.0, 100.0)),
        -math.log1p(_clip(e.unseen_s, 0.0, 100.0)),
        -_clip(e.cost, 0.0, 0.25),
        _clip(e.score_shifted - e.usual_score + USUAL_SPREAD, -1.0, 0.0) if e.prepared else 0.0,
        -math.log1p(_clip(e.unprepared_mm, 0.0, 100.0)),
        -math.log1p(_clip(e.ways_apart_mm, 0.0, 50.0)),
    )


def model_for(evidence: Evidence) -> Model:
    """Return the model that judges this evidence."""
    return PREPARED if evidence.prepared else ALONE


def probability(evidence: Evidence) -> float:
    """Return P(centre error <= 2 mm and error of the target-out fraction <= 5 points), 0 to 1, never NaN.

    Some matches are never confident, however well they fit, see `veto`.
    """
    log_odds = model_for(evidence).log_odds(features(evidence))
    if not math.isfinite(log_odds):
        return 0.0
    confidence = 1.0 / (1.0 + math.exp(-_clip(log_odds, -30.0, 30.0)))
    return confidence if veto(evidence) is None else min(confidence, VETO_LIMIT)


def veto(evidence: Evidence) -> str | None:
    """Return why no score may make this frame confident, or None."""
    if not evidence.rest_score >= (LEAST_REST_SCORE_PREPARED if evidence.prepared else LEAST_REST_SCORE):
        return "the target at rest looks like itself with ZNCC {e.rest_score:.2f} only: noise hides it"
    if not evidence.carried_fit >= LEAST_CARRIED_FIT:
        return _CARRIED
    if not evidence.unprepared_mm <= MOST_UNPREPARED_MM:
        return REASONS["unprepared"]
    if evidence.at_edge:
        return "the best match lies at the border of the search window"
    if not evidence.rival_gap >= RIVAL_VETO:
        return REASONS["rival"]
    misfit = _misfit(evidence)
    if misfit is not None:
        return misfit
    if not evidence.moving_elsewhere <= OBJECTION:
        return "what moves in the image fits better at another place: a fixed pattern may hold the match"
    if not evidence.objections <= OBJECTIONS_VETO:
        return "what moves in the image fitted better at another place in {e.objections:.0%} of the last seconds"
    if not evidence.beyond_image_px <= BEYOND_IMAGE_VETO_PX:
        return "the target reaches {e.beyond_image_px:.0f} px beyond the image"
    return None


def _misfit(evidence: Evidence) -> str | None:
    """Return why the target's structure fits too badly, or None."""
    if not evidence.prepared:
        return None if evidence.cost <= LARGEST_COST_ALONE else REASONS["contrast"]
    if evidence.cost <= LARGEST_COST_APART:
        return None
    needed = (
        (_CARRIED, evidence.carried_fit >= LEAST_CARRIED_FIT_APART),
        (REASONS["ways"], evidence.ways_apart_mm <= LARGEST_WAYS_APART_MM),
        (REASONS["unprepared"], evidence.unprepared_mm <= MOST_UNPREPARED_APART_MM),
        (REASONS["shift"], evidence.fit_shift_mm <= LARGEST_SHIFT_APART_MM),
    )
    return next((f"{REASONS['contrast']}, and {lacking}" for lacking, holds in needed if not holds), None)


def reason_for_doubt(evidence: Evidence) -> str:
    """Return one sentence that names what lowers the confidence most."""
    vetoed = veto(evidence)
    if vetoed is not None:
        return vetoed.format(e=evidence)
    model = model_for(evidence)
    lacking = [w * (usual - v) for w, usual, v in zip(model.weights, model.usual, features(evidence), strict=True)]
    return REASONS[FEATURES[lacking.index(max(lacking))]].format(e=evidence)


def _clip(value: float, low: float, high: float) -> float:
    """Limit a value; NaN stays NaN, which makes the confidence 0."""
    return value if math.isnan(value) else min(max(value, low), high)
