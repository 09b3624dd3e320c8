"""The match alone: one template placed by our kernels, the outline shifted with it. The quickest tracker."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.geometry import contour_centroid
from gating.tracking import kernels
from gating.tracking.matcher import Match, TemplateMatcher
from gating.tracking.opencv_tracker import matched, refused
from gating.tracking.reference import checked_target
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult


class RigidTracker:
    """No deformation, no second template; like the OpenCV peer, its confidence is the clipped score: uncalibrated."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._matcher: TemplateMatcher | None = None

    def warm_up(self) -> None:
        """Compile the kernels, or load them from their cache."""
        kernels.warm_up()

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Cut the template: the box around the target with a margin. Raises `TrackingError`."""
        self._shape, self._dtype = pixels.shape, pixels.dtype
        self._contour = checked_target(contour_px, pixels.shape)
        margin = self._settings.margin_mm / min(pixel_spacing_mm)
        left, top = np.maximum(np.floor(self._contour.min(axis=0) - margin), 0).astype(int)
        right, bottom = np.ceil(self._contour.max(axis=0) + margin).astype(int) + 1
        template = pixels[top:bottom, left:right]
        self._radius = int(np.ceil(self._settings.search_radius_mm / min(pixel_spacing_mm)))
        try:
            self._matcher = TemplateMatcher(template, max_radius_px=self._radius)
        except ValueError as error:
            raise TrackingError(str(error)) from None
        self._pixels = pixels
        self._origin = self._at = (int(top), int(left))
        self._centre = contour_centroid(self._contour)

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Best placement within the search radius of the last one."""
        if self._matcher is None:
            return refused("no reference has been set", 0)
        if pixels.shape != self._shape or pixels.dtype != self._dtype:
            return refused(f"frame is {pixels.dtype} {pixels.shape}, the reference was {self._dtype} {self._shape}", 1)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            return refused("the frame holds NaN or infinite pixels", 1)
        self._pixels = pixels
        try:
            match = self._matcher.match(pixels, *self._at, self._radius)
        except ValueError as error:
            return refused(str(error), 1)
        self._at = (round(match.row), round(match.col))
        return self._result(match)

    def _result(self, match: Match) -> TrackResult:
        down, right = match.row - self._origin[0], match.col - self._origin[1]
        centre_px = self._centre[0] + right, self._centre[1] + down
        contour = self._contour + np.array((right, down), np.float32)
        return matched(centre_px, contour, match.score, self._settings.min_confidence)

    def settle(self) -> str:
        """Nothing waits."""
        return ""

    def rehearse(self) -> None:
        """Match the last frame again."""
        if self._matcher is not None and np.shape(self._pixels) == self._shape:
            self._result(self._matcher.match(self._pixels, *self._at, self._radius))
