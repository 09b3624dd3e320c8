"""The peer in every comparison: one template and plain `cv2.matchTemplate`, without deformation or doubt."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.reference import checked_frame, checked_target
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult, TrackStatus


class OpenCvTracker:
    """Template matching as most users write it. Its confidence is the clipped score: uncalibrated."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._template: NDArray[np.float32] | None = None

    def warm_up(self) -> None:
        """Nothing to prepare."""

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Cut the template: the box around the target with a margin."""
        frame = checked_frame(pixels)
        self._contour = checked_target(contour_px, frame.shape)
        margin = self._settings.margin_mm / min(pixel_spacing_mm)
        left, top = np.maximum(np.floor(self._contour.min(axis=0) - margin), 0).astype(int)
        right, bottom = np.ceil(self._contour.max(axis=0) + margin).astype(int) + 1
        template = frame[top:bottom, left:right]
        if not float(np.ptp(template)) > 0:
            raise TrackingError(f"the target is flat (every pixel {template.flat[0]:g}); it must have contrast")
        self._template, self._origin = template.copy(), (int(left), int(top))
        self._at, self._shape = self._origin, frame.shape
        self._radius = int(np.ceil(self._settings.search_radius_mm / min(pixel_spacing_mm)))

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the best placement within the search radius of the last one."""
        if self._template is None:
            return refused("no reference has been set", 0)
        try:
            frame = checked_frame(pixels, self._shape)
        except TrackingError as error:
            return refused(str(error), 1)
        height, width = self._template.shape
        left, top = (max(int(at) - self._radius, 0) for at in self._at)
        window = frame[top : self._at[1] + self._radius + height, left : self._at[0] + self._radius + width]
        scores = cv2.matchTemplate(window, self._template, cv2.TM_CCOEFF_NORMED)
        _, score, _, (x, y) = cv2.minMaxLoc(np.nan_to_num(scores))
        self._at = (left + x, top + y)
        shift = np.asarray(self._at, np.float32) - np.asarray(self._origin, np.float32)
        contour = self._contour + shift
        return matched(contour_centroid(contour), contour, float(score), self._settings.min_confidence)


def matched(
    centre_px: tuple[float, float], contour_px: NDArray[np.float32], score: float, min_confidence: float
) -> TrackResult:
    """Return the result of a match alone: its confidence is the clipped score, uncalibrated."""
    confidence = min(1.0, max(0.0, score))
    sure = confidence >= min_confidence
    return TrackResult(
        *centre_px,
        confidence,
        score,
        TrackStatus.TRACKED if sure else TrackStatus.LOW_CONFIDENCE,
        contour_px,
        "" if sure else f"the score {score:.2f} is below {min_confidence:g}",
        1,
    )


def refused(reason: str, templates: int) -> TrackResult:
    """Return the result for a frame that cannot be searched."""
    nan = float("nan")
    return TrackResult(nan, nan, 0.0, 0.0, TrackStatus.REFUSED, np.empty((0, 2), np.float32), reason, templates)
