"""A tracker. Where this one slides the target over the frame, yours asks its network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
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
        frame = pixels.astype(np.float32)
        self._origin = np.maximum(contour_px.min(axis=0).astype(int) - MARGIN_PX, 0)
        right, bottom = contour_px.max(axis=0).astype(int) + MARGIN_PX
        template = frame[self._origin[1] : bottom, self._origin[0] : right]
        if not np.isfinite(frame).all() or not np.ptp(template) > 0:
            raise TrackingError("the target is flat or not finite; it must have contrast")
        self._template, self._contour, self._shape = template, contour_px.astype(np.float32), frame.shape

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the target; never raises, whatever the pixels hold."""
        if self._template is None or pixels.shape != self._shape or not np.isfinite(pixels).all():
            empty = np.empty((0, 2), np.float32)
            return TrackResult(NAN, NAN, 0.0, 0.0, TrackStatus.REFUSED, empty, "the frame cannot be looked at", 1)
        scores = cv2.matchTemplate(pixels.astype(np.float32), self._template, cv2.TM_CCOEFF_NORMED)
        _, score, _, place = cv2.minMaxLoc(np.nan_to_num(scores))
        contour = self._contour + (np.array(place) - self._origin).astype(np.float32)
        confidence = min(max(score, 0.0), 1.0)  # yours is fitted to known errors; a bare score promises too much
        sure = confidence >= self._settings.min_confidence
        status = TrackStatus.TRACKED if sure else TrackStatus.LOW_CONFIDENCE
        detail = "" if sure else f"the score {score:.2f} is below {self._settings.min_confidence:g}"
        return TrackResult(*contour_centroid(contour), confidence, score, status, contour, detail, 1)
