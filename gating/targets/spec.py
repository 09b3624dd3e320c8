"""A target as it was drawn, before anything is tracked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from gating.targets.image import TargetImage
from gating.tracking.memory import Memory
from gating.wire.pixels import content_hash


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """That a contour was not drawn in its image, but carried over from a plan or another session.

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
    accepted
        Hash of what was accepted: the contour in its image, the image's place in the patient, where the contour came
        from, and its doubts.
    """

    how: str
    doubts: tuple[str, ...] = ()
    accepted_by: str = ""
    why: str = ""
    accepted: str = ""


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

    def accept(self, operator: str, why: str = "") -> TargetSpec:
        """Return the target as a person accepts it; one that was drawn in its image needs no acceptance."""
        if self.carried is None:
            return self
        return replace(self, carried=replace(self.carried, accepted_by=operator, why=why, accepted=self._hash()))

    @property
    def unaccepted(self) -> str:
        """Why no live session may take the contour, in words; empty if one may."""
        carried = self.carried
        if carried is None or (carried.accepted_by and carried.accepted == self._hash()):
            return ""
        if carried.accepted_by and not carried.accepted:
            return f"was accepted by {carried.accepted_by} without a hash of what was accepted: accept it again"
        if carried.accepted_by:
            return (
                f"is not what {carried.accepted_by} accepted: it was changed afterwards, or accepted before acceptance "
                "covered spacing, orientation and place of the image: accept it again"
            )
        return "was carried over, and nobody has accepted it"

    def _hash(self) -> str:
        """Return the hash of what is accepted with the contour."""
        assert self.carried is not None
        image = self.image
        drawn_on = "" if image is None else image.content_hash
        placed = () if image is None else (image.pixel_spacing_mm, image.image_orientation, image.image_position_mm)
        numbers = np.array([number for part in placed for number in part], "<f8").tobytes()
        said = (self.name, self.plane, self.structure, drawn_on, self.carried.how, *self.carried.doubts)
        points = np.ascontiguousarray(self.contour_px, "<f4").tobytes()
        return content_hash(msgspec.json.encode(said) + numbers + points)
