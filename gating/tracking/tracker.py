"""The contract between the engine and a tracker: what goes in, what comes out, and the settings.

A site's own tracker implements `Tracker` and registers under the entry-point group `cinegate.trackers`; the engine
knows nothing else about it.
"""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.errors import CinegateError
from gating.settings.tracking import TrackerSettings

__all__ = ["IdleTracker", "TrackResult", "TrackStatus", "Tracker", "TrackerSettings", "TrackingError", "reach_mm"]

NEAR_MM: Final = 8.0
"""So far from where it was last seen a target is looked for, however short ago that was."""
DEFAULT_ELAPSED_S: Final = 0.25
"""Stands in for a time since the frame before that makes no sense."""


def reach_mm(settings: TrackerSettings, unseen_s: float) -> float:
    """Return how far a target can be from where it was last seen, so long ago."""
    return min(settings.search_radius_mm, NEAR_MM + settings.max_speed_mm_s * unseen_s)


class TrackStatus(enum.StrEnum):
    """How far a result may be trusted, from best to worst."""

    TRACKED = "tracked"
    LOW_CONFIDENCE = "low_confidence"
    LOST = "lost"
    REFUSED = "refused"


class TrackResult(Struct, frozen=True):
    """Where the target is in one cine frame.

    Attributes
    ----------
    x_px, y_px : float
        Target centre, the centroid of `contour_px`; NaN only when REFUSED.
    confidence : float
        Calibrated probability that the centre is within 2 mm of the truth, 0 to 1, never NaN.
    score : float
        ZNCC of the winning template, -1 to 1; 0 when REFUSED.
    status : TrackStatus
    contour_px : (n, 2) float32
        Propagated target contour, (x, y); empty when REFUSED.
    detail : str
        One sentence that names why the result is not TRACKED; empty otherwise.
    templates : int
        Number of templates in use.
    """

    x_px: float
    y_px: float
    confidence: float
    score: float
    status: TrackStatus
    contour_px: NDArray[np.float32]
    detail: str
    templates: int


class TrackingError(CinegateError, ValueError):
    """The reference frame or target cannot be tracked; the message is one clear sentence."""


@runtime_checkable
class Tracker(Protocol):
    """Follows one target through the frames of one imaging plane, causally."""

    def warm_up(self) -> None:
        """Compile and allocate everything that `track` needs, so that no frame waits for it."""

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Learn the target.

        Parameters
        ----------
        pixels : (rows, columns) real numbers, the reference cine frame.
        contour_px : (n, 2) of (x, y), the target in it; a box is given by its outer edges.
        pixel_spacing_mm : (row, column) spacing.

        Raises
        ------
        TrackingError
            If the frame or the target cannot be tracked.
        """

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the target in the next frame.

        Parameters
        ----------
        pixels : (rows, columns) real numbers.
        elapsed_s : time since the frame before; frames are not evenly spaced.

        Returns
        -------
        TrackResult; never raises, whatever the pixels hold.
        """


@runtime_checkable
class IdleTracker(Tracker, Protocol):
    """A tracker that uses the time between frames. Not required: one without these methods works as well."""

    def finish_frame(self) -> str:
        """Do what may wait until the answer is out; called after a `track`.

        Returns
        -------
        One sentence for the log where something was learned from the frame, else "".
        """

    def warm_caches(self) -> None:
        """Go through `track` on the last frame without consequences; called shortly before a frame is due.

        Between two frames a processor's caches fill with other things: this brings code and templates back.
        """
