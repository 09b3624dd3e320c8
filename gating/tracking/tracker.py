"""The contract between the engine and a tracker: what goes in, what comes out, and the settings.

A site's own tracker implements `Tracker` and registers under the entry-point group `cinegate.trackers`; the engine
knows nothing else about it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray


class TrackStatus(enum.StrEnum):
    """How far a result may be trusted, from best to worst."""

    TRACKED = "tracked"
    LOW_CONFIDENCE = "low_confidence"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TrackResult:
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


class TrackingError(ValueError):
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


Millimetres = Annotated[float, Meta(gt=0, le=200)]


class TrackerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[tracking]` section of the configuration."""

    search_radius_mm: Annotated[
        float, Meta(ge=5, le=150, description="Farthest the target may lie from where it was expected, mm.")
    ] = 60.0
    margin_mm: Annotated[
        float, Meta(ge=0, le=30, description="Tissue around the target that belongs to the template, mm.")
    ] = 6.0
    max_speed_mm_s: Annotated[
        float, Meta(ge=10, le=1000, description="Fastest plausible motion of the target centre, mm/s.")
    ] = 120.0
    max_templates: Annotated[
        int, Meta(ge=1, le=16, description="Largest number of templates; 1 keeps the reference alone.")
    ] = 6
    min_confidence: Annotated[
        float, Meta(ge=0, le=1, description="Below this P(error <= 2 mm) a result is low_confidence.")
    ] = 0.8
    lost_confidence: Annotated[
        float, Meta(ge=0, le=1, description="Below this P(error <= 2 mm) the target counts as lost.")
    ] = 0.2
