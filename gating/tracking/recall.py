"""A memory in use: what it makes of a frame in which a template, a key frame's or the reference's, found the target."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gating.geometry.contours import contour_centroid
from gating.tracking.contour import Propagation
from gating.tracking.evidence import Evidence
from gating.tracking.local_contrast import Picture
from gating.tracking.memory import Memory
from gating.tracking.template import Template

ALIKE_COST, UNLIKE_COST = 1.2, 1.5
"""Up to this ratio of costs two ways count alike, and from the second on the dearer one does not count."""


def between(moved: Propagation, direct: Propagation) -> tuple[Propagation, float]:
    """Return a motion with its contour and centre between its own and those of the way straight from the reference.

    In the middle where both fit about as well, which is nearer to the truth than the worse of them; and where the
    reference fits clearly worse it is left out.

    Returns
    -------
    tuple
        The motion; and the distance between the centres of both contours, px, less the less the reference counts.
    """
    ratio = direct.cost / max(moved.cost, 1e-9)
    share = min(max((UNLIKE_COST - ratio) / (UNLIKE_COST - ALIKE_COST), 0.0), 1.0)
    apart_px = math.dist(contour_centroid(moved.contour_px), contour_centroid(direct.contour_px))
    weight = share / 2.0
    contour = moved.contour_px + np.float32(weight) * (direct.contour_px - moved.contour_px)
    x, y = (one + weight * (other - one) for one, other in zip(moved.content_px, direct.content_px, strict=True))
    return replace(moved, contour_px=contour, content_px=(x, y)), share * apart_px


class Carried(Struct, frozen=True):
    """The contour carried to a frame of a preparation.

    Attributes
    ----------
    motion : Propagation
        Between both ways, see `between`.
    apart_mm : float
        Distance between the centres of both outlines, as far as both fit.
    direct_fit : float
        ZNCC after the reference alone is moved to the frame.
    reference_score : float
        ZNCC of the reference at that place, only shifted.
    """

    motion: Propagation
    apart_mm: float
    direct_fit: float
    reference_score: float


class Recalled(Struct, frozen=True):
    """What a memory says of one frame.

    Attributes
    ----------
    moved : Propagation
        The motion, with contour and centre between both ways.
    direct : Propagation
        The way straight from the reference.
    apart_mm : float
        Distance between the centres of both outlines, as far as both fit.
    carried_fit : float
        `KeyFrame.fit` of the one that found the target; 1 for the reference.
    rest_score, usual_score, unprepared_mm : float
        See `gating.tracking.memory.Memory`.
    spared_cost, spared_score : float
        Cost and ZNCC of the reference frame with its own mean picture: what noise in a template would cost.
    """

    moved: Propagation
    direct: Propagation
    apart_mm: float
    carried_fit: float
    rest_score: float
    usual_score: float
    unprepared_mm: float
    spared_cost: float
    spared_score: float

    def added_to(self, evidence: Evidence) -> Evidence:
        """Return the evidence with what the memory says.

        The confidence knows fits of one noisy frame to another. A mean fits better, which makes nothing surer by itself
        and is taken back.
        """
        return replace(
            evidence,
            cost=evidence.cost + self.spared_cost,
            score_moved_back=evidence.score_moved_back * self.spared_score,
            precision_mm=evidence.precision_mm * math.sqrt(1.0 + self.spared_cost / max(evidence.cost, 1e-6)),
            prepared=True,
            ways_apart_mm=self.apart_mm,
            carried_fit=self.carried_fit,
            rest_score=self.rest_score,
            usual_score=self.usual_score,
            unprepared_mm=self.unprepared_mm,
        )


class Recall:
    """The use of one memory with the reference it belongs to.

    Parameters
    ----------
    memory : Memory
    reference : Template
        Cut from the memory's mean picture, or from the reference frame if it has none.
    spacing_mm : float
        Size of a pixel.
    frame : Picture
        Shows the reference frame.
    """

    def __init__(self, memory: Memory, reference: Template, spacing_mm: float, frame: Picture) -> None:
        self.memory = memory
        self._reference, self._spacing_mm = reference, spacing_mm
        itself = reference.fit.propagate(frame, 0.0, 0.0, 1.0)
        self._spared_cost, self._spared_score = itself.cost, itself.score

    def recalled(self, picture: Picture, template: int, moved: Propagation) -> Recalled:
        """Return what the memory says of the frame in a picture, where a template was moved like this.

        The templates are the reference, 0, and then the key frames.

        The contour of a key frame was carried there once, with an error of its own; the fit from the reference has none
        but is misled where the appearance has changed. The mean of both is nearer to the truth than either.
        """
        x, y = (now - then for now, then in zip(moved.content_px, self._reference.centre_px, strict=True))
        direct = self._reference.fit.propagate(picture, x, y, moved.raw_score)
        middle, apart_px = between(moved, direct)
        fit = self.memory.key_frames[template - 1].fit if template else 1.0
        usual_score, unprepared_mm = self.memory.expected((x * self._spacing_mm, y * self._spacing_mm))
        return Recalled(
            middle, direct, apart_px * self._spacing_mm, fit, self.memory.rest_score, usual_score, unprepared_mm,
            self._spared_cost, self._spared_score,
        )  # fmt: skip
