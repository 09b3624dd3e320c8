"""What a tracker remembers of a patient: key frames of the preparation with the target's contour, and what is usual.

A memory belongs to one reference picture and one contour in it. It is learned once, by `memory_learning`, accepted by a
person, and only read from then on.
"""

from __future__ import annotations

import math
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import xxhash
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.tracker import Tracker, TrackingError
from gating.wire.pixels import content_hash

Contour = NDArray[np.float32]

MOST_KEY_FRAMES: Final = 8
SAME_CONTOUR_PX: Final = 0.01
BIN_MM: Final = 3.0
"""Width of the bins of excursion."""


class KeyFrame(Struct, frozen=True):
    """One frame of the preparation.

    Attributes
    ----------
    number : int
        Of the frame in the preparation, 0 for the reference.
    pixels : (rows, columns) uint8, uint16 or float32
        The frame, or the mean of it and of those like it.
    contour_px : (n, 2) float32
        Points (x, y) of the target, carried here from the reference.
    content_px : tuple of float
        Centre (x, y) of what is inside.
    fit : float
        ZNCC of the reference, moved straight to here, with this frame; 1 if a person has accepted the contour.
    """

    number: int
    pixels: NDArray[Any]
    contour_px: Contour
    content_px: tuple[float, float]
    fit: float = 1.0


class UsualScore(Struct, frozen=True):
    """The median ZNCC of frames with about this excursion, each against the key frame that it resembles most."""

    excursion_mm: float
    score: float


class Memory(Struct, frozen=True):
    """What was learned from a preparation.

    Attributes
    ----------
    picture_hash : str
        Of the reference picture, see `hash_of`.
    shape : tuple of int
        Rows and columns of the frames.
    spacing_mm : tuple of float
        Spacing of (rows, columns).
    contour_px : (n, 2) float32
        The target in the reference picture.
    key_frames : tuple of KeyFrame
        At most `MOST_KEY_FRAMES`.
    rest_score : float
        ZNCC of the reference with the frames at rest, each shifted, not deformed.
    axis : tuple of float
        Unit vector (x, y) along which the content moves most.
    usual : tuple of UsualScore
        In the order of the excursion along that axis from the reference, one for each bin of `BIN_MM` that was seen.
    seconds : float
        Length of the preparation.
    remarks : tuple of str
        What the person who accepts the memory must know, a sentence each.
    mean_picture : (rows, columns) uint8, uint16 or float32, optional
        The reference with less noise, see `gating.tracking.averages`; None in a memory of an earlier version.
    """

    picture_hash: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    contour_px: Contour
    key_frames: tuple[KeyFrame, ...]
    rest_score: float
    axis: tuple[float, float]
    usual: tuple[UsualScore, ...]
    seconds: float
    remarks: tuple[str, ...] = ()
    mean_picture: NDArray[Any] | None = None

    @property
    def amplitude_mm(self) -> float:
        """Span of the excursions seen."""
        return self.usual[-1].excursion_mm - self.usual[0].excursion_mm if self.usual else 0.0

    @property
    def content_hash(self) -> str:
        """The xxh3-64 of all that a tracker takes from it, as 16 hexadecimal digits."""
        digest = xxhash.xxh3_64(self.contour_px.tobytes())
        usual = [(one.excursion_mm, one.score) for one in self.usual]
        digest.update(
            repr((self.picture_hash, self.shape, self.spacing_mm, self.rest_score, self.axis, usual)).encode()
        )
        for key in self.key_frames:
            digest.update(repr((key.number, key.content_px, key.fit, hash_of(key.pixels))).encode())
            digest.update(key.contour_px.tobytes())
        if self.mean_picture is not None:
            digest.update(hash_of(self.mean_picture).encode())
        return digest.hexdigest()

    def without(self, numbers: set[int]) -> Memory:
        """Return a memory without the key frames of these numbers, which a person has looked at and not accepted.

        Raises
        ------
        TrackingError
            If there is no such key frame.
        """
        known = {key.number for key in self.key_frames}
        unknown = sorted(numbers - known)
        if unknown:
            raise TrackingError(f"key frame {unknown[0]} is not in the memory; it has {sorted(known)}")
        return replace(self, key_frames=tuple(key for key in self.key_frames if key.number not in numbers))

    def accepted(self, numbers: set[int]) -> Memory:
        """Return a memory in which a person has accepted the contours of these key frames. Raises `TrackingError`."""
        self.without(numbers)
        keys = (replace(key, fit=1.0) if key.number in numbers else key for key in self.key_frames)
        return replace(self, key_frames=tuple(keys))

    def corrected(self, number: int, outline_px: Contour) -> Memory:
        """Return a memory in which the contour of a key frame lies on another outline, (m, 2).

        The contour is moved until the centres agree, and each of its points to the nearest place on the outline, so
        that the points of all contours still belong together.

        Raises
        ------
        TrackingError
            If there is no such key frame.
        """
        kept = self.without({number})
        key = next(key for key in self.key_frames if key.number == number)
        move = np.subtract(contour_centroid(outline_px), contour_centroid(key.contour_px))
        corners = np.vstack([outline_px, outline_px[:1]]).astype(np.float64)
        steps = np.diff(corners, axis=0)
        from_start = (key.contour_px + move)[:, None, :] - corners[None, :-1, :]
        along = np.clip((from_start * steps).sum(axis=2) / np.maximum((steps**2).sum(axis=1), 1e-12), 0.0, 1.0)
        nearest = np.linalg.norm(from_start - along[:, :, None] * steps, axis=2).argmin(axis=1)
        points = corners[nearest] + along[np.arange(len(nearest)), nearest, None] * steps[nearest]
        content = (key.content_px[0] + float(move[0]), key.content_px[1] + float(move[1]))
        moved = replace(key, contour_px=points.astype(np.float32), content_px=content, fit=1.0)
        frames = sorted((*kept.key_frames, moved), key=lambda one: one.number)
        return replace(self, key_frames=tuple(frames))

    def excursion_mm(self, from_reference_mm: tuple[float, float]) -> float:
        """Return how far along the axis a displacement (x, y) reaches."""
        return from_reference_mm[0] * self.axis[0] + from_reference_mm[1] * self.axis[1]

    def nearest(self, excursion_mm: float) -> UsualScore:
        """Return what is usual where the preparation came nearest to an excursion."""
        return min(self.usual, key=lambda one: abs(one.excursion_mm - excursion_mm))

    def expected(self, from_reference_mm: tuple[float, float]) -> tuple[float, float]:
        """Return the usual score for a displacement (x, y), and how far it lies from all that was prepared, mm."""
        excursion = self.excursion_mm(from_reference_mm)
        nearest = self.nearest(excursion)
        return nearest.score, max(abs(excursion - nearest.excursion_mm) - BIN_MM / 2.0, 0.0)

    def check_belongs(self, pixels: NDArray[Any], contour_px: Contour, spacing_mm: tuple[float, float]) -> None:
        """Raise `TrackingError` unless this was learned from that reference picture and contour."""
        if pixels.shape != self.shape:
            raise TrackingError(
                f"the memory was learned from frames of {self.shape} px, the reference is {pixels.shape}"
            )
        if not np.allclose(spacing_mm, self.spacing_mm, rtol=1e-4, atol=0.0):
            raise TrackingError(
                f"the memory was learned at {self.spacing_mm} mm a pixel, the reference has {spacing_mm}"
            )
        if hash_of(pixels) != self.picture_hash:
            raise TrackingError(
                f"the memory was learned from picture {self.picture_hash}, the reference is {hash_of(pixels)}"
            )
        away = _distance_px(contour_px, self.contour_px)
        if not away <= SAME_CONTOUR_PX:
            raise TrackingError(
                f"the target's contour lies {away:.2f} px from the one that the memory was learned with; "
                f"{SAME_CONTOUR_PX:g} px is the limit"
            )


@runtime_checkable
class RememberingTracker(Tracker, Protocol):
    """A tracker that can use a memory. A tracker may leave this method out."""

    def use_memory(self, memory: Memory) -> None:
        """Use what was learned in the preparation, called after `set_reference`; the memory is not changed.

        Raises
        ------
        TrackingError
            If it was learned from another picture or contour than the reference.
        """


def hash_of(pixels: NDArray[Any]) -> str:
    """Return the xxh3-64 of the pixel bytes as 16 hexadecimal digits."""
    return content_hash(np.ascontiguousarray(pixels))


def _distance_px(one: Contour, other: Contour) -> float:
    return float(np.abs(one - other).max()) if one.shape == other.shape else math.inf
