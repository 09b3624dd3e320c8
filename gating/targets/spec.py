"""A target as it was drawn, before anything is tracked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gating.targets.image import TargetImage
from gating.tracking.memory import Memory


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """That a contour was not drawn in its image, but carried over from a plan.

    Attributes
    ----------
    how
        From where, and how well, in one sentence.
    doubts
        What was beyond its limit.
    accepted_by
        Who has looked at the contour and accepted it; empty: nobody, and no live session takes it.
    why
        Why it was accepted in spite of doubts.
    """

    how: str
    doubts: tuple[str, ...] = ()
    accepted_by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target as it was drawn.

    Attributes
    ----------
    name
        Unique name.
    contour_px
        Array (n, 2) of (x, y).
    plane
        Plane in which it was drawn; "" for the stream's first plane.
    structure
        Targets in different planes with the same `structure` are views of it, which together give its 3D position.
    image
        Image in which it was drawn; None if that is the first good frame of the stream, which a live source refuses.
    memory
        What a preparation has taught of the target in that image.
    carried
        How the contour came into the image, if nobody drew it there.
    """

    name: str
    contour_px: NDArray[np.float32]
    plane: str = ""
    structure: str = ""
    image: TargetImage | None = None
    memory: Memory | None = None
    carried: CarriedOver | None = None

    @property
    def moves_as(self) -> str:
        """Name of the structure whose motion the target shows: its own, if it names none."""
        return self.structure or self.name
