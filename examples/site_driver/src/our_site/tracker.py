"""A tracker. Where this one slides the target over the frame, yours asks its network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.reference import checked_frame, checked_target
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult, TrackStatus

MARGIN_PX = 4
NAN = float("nan")


class OurTracker:
    """Normalised cross-correlation with the target as it was drawn, over the whole frame."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._template: NDArray[np.float32] | None = None

    def warm_up(self) -> None:
        """Load the weights and run once, so that no frame waits for it."""
        cv2.matchTemplate(np.eye(16, dtype=np.float32), np.eye(8, dtype=np.float32), cv2.TM_CCOEFF_NORMED)

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Learn the target from the reference frame. Raises `TrackingError` where it cannot be tracked."""
        frame = checked_frame(pixels)
        contour = checked_target(contour_px, frame.shape)
        self._origin = np.maximum(contour.min(axis=0).astype(int) - MARGIN_PX, 0)
        right, bottom = contour.max(axis=0).astype(int) + MARGIN_PX
        template = frame[self._origin[1] : bottom, self._origin[0] : right]
        if not np.ptp(template) > 0:
            raise TrackingError("the target is flat; it must have contrast")
        self._template, self._contour, self._shape = template, contour, frame.shape

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the target; never raises, whatever the pixels hold."""
        try:
            if self._template is None:
                raise TrackingError("no reference has been set")
            frame = checked_frame(pixels, self._shape)
        except TrackingError as error:
            empty = np.empty((0, 2), np.float32)
            return TrackResult(NAN, NAN, 0.0, 0.0, TrackStatus.REFUSED, empty, str(error), 1)
        scores = cv2.matchTemplate(frame, self._template, cv2.TM_CCOEFF_NORMED)
        _, score, _, place = cv2.minMaxLoc(np.nan_to_num(scores))
        contour = self._contour + (np.array(place) - self._origin).astype(np.float32)
        confidence = min(max(score, 0.0), 1.0)  # yours is fitted to known errors; a bare score promises too much
        sure = confidence >= self._settings.min_confidence
        status = TrackStatus.TRACKED if sure else TrackStatus.LOW_CONFIDENCE
        detail = "" if sure else f"the score {score:.2f} is below {self._settings.min_confidence:g}"
        return TrackResult(*contour_centroid(contour), confidence, score, status, contour, detail, 1)
