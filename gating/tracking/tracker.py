"""The contract between the engine and a tracker: its input, its result and its settings.

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
"""A target is looked for at least this far from where it was last seen."""
DEFAULT_ELAPSED_S: Final = 0.25
"""Replaces a time since the frame before that makes no sense."""


def reach_mm(settings: TrackerSettings, unseen_s: float) -> float:
    """Return how far a target can be from where it was seen `unseen_s` ago."""
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
        Calibrated probability that the centre is within 2 mm of the truth, and the target-out fraction within 5
        percentage points; 0 to 1, never NaN.
    score : float
        ZNCC of the winning template, -1 to 1; 0 when REFUSED.
    status : TrackStatus
    contour_px : (n, 2) float32
        Propagated target contour, (x, y); empty when REFUSED.
    detail : str
        One sentence that names why the result is not TRACKED; empty otherwise.
    templates : int
        Number of templates in use.
    content_px : tuple of float, optional
        Centre (x, y) of what is inside the contour: where the mean motion of the content carries the centre of the
        reference. Of a deforming target it is not the centroid of the outline; a target that is drawn as a box is
        judged by it. None if the tracker does not tell the two apart.
    """

    x_px: float
    y_px: float
    confidence: float
    score: float
    status: TrackStatus
    contour_px: NDArray[np.float32]
    detail: str
    templates: int
    content_px: tuple[float, float] | None = None


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
        pixels : (rows, columns) real numbers
            The reference cine frame.
        contour_px : (n, 2) real numbers
            Points (x, y) of the target in it; a box is given by its outer edges.
        pixel_spacing_mm : tuple of float
            Spacing of (rows, columns).

        Raises
        ------
        TrackingError
            If the frame or the target cannot be tracked.
        """

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the target in the next frame.

        Parameters
        ----------
        pixels : (rows, columns) real numbers
        elapsed_s : float
            Time since the frame before; frames are not evenly spaced.

        Returns
        -------
        TrackResult
            It never raises, whatever the pixels hold.
        """


@runtime_checkable
class IdleTracker(Tracker, Protocol):
    """A tracker that uses the time between frames. A tracker may leave these methods out."""

    def finish_frame(self) -> str:
        """Do what can wait until the result is out; called after `track`.

        Returns
        -------
        str
            One sentence for the log if something was learned from the frame, else "".
        """

    def warm_caches(self) -> None:
        """Go through `track` on the last frame without consequences; called shortly before a frame is due.

        Between two frames the processor's caches fill with other data: this brings code and templates back into them.
        """


@runtime_checkable
class WatchingTracker(Tracker, Protocol):
    """A tracker that draws conclusions from what moves in the frames. A tracker may leave this method out."""

    def forget_motion(self) -> None:
        """Conclude nothing from the frames so far: the newest ones showed no living anatomy. After `finish_frame`."""
