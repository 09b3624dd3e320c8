"""A memory in use: what it makes of a frame in which a template, a key frame's or the reference's, found the target."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gating.geometry.contours import contour_centroid
from gating.tracking.confidence import Evidence
from gating.tracking.contour import Propagation
from gating.tracking.local_contrast import Picture
from gating.tracking.memory import Memory
from gating.tracking.template import Template


class Recalled(Struct, frozen=True):
    """What a memory says of one frame.

    Attributes
    ----------
    moved : Propagation
        The motion, with the contour and the centre in the middle of both ways.
    direct : Propagation
        The way straight from the reference.
    apart_mm : float
        Distance between the centres of both outlines.
    rest_score, usual_score, unprepared_mm : float
        See `gating.tracking.memory.Memory`.
    """

    moved: Propagation
    direct: Propagation
    apart_mm: float
    rest_score: float
    usual_score: float
    unprepared_mm: float

    def added_to(self, evidence: Evidence) -> Evidence:
        """Return the evidence with what the memory says."""
        return replace(
            evidence,
            prepared=True,
            ways_apart_mm=self.apart_mm,
            rest_score=self.rest_score,
            usual_score=self.usual_score,
            unprepared_mm=self.unprepared_mm,
        )


class Recall:
    """The use of one memory with the reference it belongs to."""

    def __init__(self, memory: Memory, reference: Template, spacing_mm: float) -> None:
        self.memory = memory
        self._reference, self._spacing_mm = reference, spacing_mm

    def recalled(self, picture: Picture, moved: Propagation) -> Recalled:
        """Return what the memory says of the frame in a picture, where a template was moved like this.

        The contour of a key frame was carried there once, with an error of its own; the fit from the reference has none
        but is misled where the appearance has changed. The mean of both is nearer to the truth than either.
        """
        x, y = (now - then for now, then in zip(moved.content_px, self._reference.centre_px, strict=True))
        direct = self._reference.fit.propagate(picture, x, y)
        apart_mm = self._spacing_mm * math.dist(contour_centroid(moved.contour_px), contour_centroid(direct.contour_px))
        middle = (moved.contour_px + direct.contour_px) * np.float32(0.5)
        content = tuple((one + other) / 2.0 for one, other in zip(moved.content_px, direct.content_px, strict=True))
        moved = replace(moved, contour_px=middle, content_px=content)
        usual_score, unprepared_mm = self.memory.expected((x * self._spacing_mm, y * self._spacing_mm))
        return Recalled(moved, direct, apart_mm, self.memory.rest_score, usual_score, unprepared_mm)
