"""The quickest tracker: one template, matched, and the outline shifted with it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.tracking.opencv_tracker import matched, refused
from gating.tracking.reference import checked_target
from gating.tracking.tracker import (
    DEFAULT_ELAPSED_S,
    TrackerSettings,
    TrackingError,
    TrackResult,
    TrackStatus,
    reach_mm,
)
from gating.tracking.zncc import matcher
from gating.tracking.zncc.matcher import Match, TemplateMatcher


class RigidTracker:
    """Without deformation or a second template. As with the OpenCV peer, its confidence is the clipped score."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._matcher: TemplateMatcher | None = None

    def warm_up(self) -> None:
        """Compile the kernels, or load them from their cache."""
        matcher.warm_up()

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Cut the template: the box around the target with a margin. Raises `TrackingError`."""
        self._shape, self._dtype = pixels.shape, pixels.dtype
        self._contour = checked_target(contour_px, pixels.shape)
        self._spacing_mm = min(pixel_spacing_mm)
        margin = self._settings.margin_mm / self._spacing_mm
        left, top = np.maximum(np.floor(self._contour.min(axis=0) - margin), 0).astype(int)
        right, bottom = np.ceil(self._contour.max(axis=0) + margin).astype(int) + 1
        template = pixels[top:bottom, left:right]
        self._radius = math.ceil(self._settings.search_radius_mm / self._spacing_mm)
        self._unseen_s = 0.0
        try:
            self._matcher = TemplateMatcher(template, max_radius_px=self._radius)
        except ValueError as error:
            raise TrackingError(str(error)) from None
        self._points = self._contour.reshape(-1, 1, 2)
        self._pixels = pixels
        self._origin = self._at = (int(top), int(left))
        self._centre = contour_centroid(self._contour)

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the best placement that the target can have reached since it was last seen."""
        if self._matcher is None:
            return refused("no reference has been set", 0)
        self._unseen_s += elapsed_s if 0.0 < elapsed_s < math.inf else DEFAULT_ELAPSED_S
        self._radius = math.ceil(reach_mm(self._settings, self._unseen_s) / self._spacing_mm)
        if pixels.shape != self._shape or pixels.dtype != self._dtype:
            return refused(f"frame is {pixels.dtype} {pixels.shape}, the reference was {self._dtype} {self._shape}", 1)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            return refused("the frame holds NaN or infinite pixels", 1)
        self._pixels = pixels
        try:
            match = self._matcher.match(pixels, *self._at, self._radius)
        except ValueError as error:
            return refused(str(error), 1)
        result = self._result(match)
        if result.status is TrackStatus.TRACKED:  # else the search goes on around where the target was last seen
            self._at, self._unseen_s = (round(match.row), round(match.col)), 0.0
        return result

    def _result(self, match: Match) -> TrackResult:
        down, right = match.row - self._origin[0], match.col - self._origin[1]
        centre_px = self._centre[0] + right, self._centre[1] + down
        # Takes two thirds of numpy's time; the stubs know no scalar of several channels.
        contour = cv2.add(self._points, (right, down, 0.0, 0.0)).reshape(-1, 2)  # type: ignore[call-overload]
        return matched(centre_px, contour, match.score, self._settings.min_confidence)

    def finish_frame(self) -> str:
        """Do nothing: no work waits."""
        return ""

    def warm_caches(self) -> None:
        """Match the last frame again."""
        if self._matcher is not None and np.shape(self._pixels) == self._shape:
            self._result(self._matcher.match(self._pixels, *self._at, self._radius))
