"""A tracker of scikit-image: the target's surroundings are registered by phase correlation with the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.registration import phase_cross_correlation

from gating.geometry.contours import contour_centroid
from gating.tracking.reference import checked_frame, checked_target
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult, TrackStatus

MARGIN_MM = 20.0


class PhaseTracker:
    """Shifts the target's contour by the peak of the phase correlation, to a tenth of a pixel.

    Source: M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup 2008, doi:10.1364/OL.33.000156.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._template: NDArray[np.float32] | None = None

    def warm_up(self) -> None:
        """Run once, so that no frame waits for what scipy imports at its first transform."""
        noise = np.random.default_rng(0).normal(size=(32, 32))
        phase_cross_correlation(noise, noise, upsample_factor=10)

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Cut the window around the target. Raises `TrackingError`."""
        frame = checked_frame(pixels)
        contour = checked_target(contour_px, frame.shape)
        margin = int(MARGIN_MM / min(pixel_spacing_mm))
        low = np.maximum(contour.min(axis=0).astype(int) - margin, 0)
        high = contour.max(axis=0).astype(int) + margin
        self._window = slice(low[1], high[1]), slice(low[0], high[0])
        template = frame[self._window]
        if not np.ptp(template) > 0:
            raise TrackingError("the target is flat; it must have contrast")
        self._template, self._contour, self._shape = template, contour, frame.shape

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the shift; never raises, whatever the pixels hold."""
        try:
            if self._template is None:
                raise TrackingError("no reference has been set")
            window = checked_frame(pixels, self._shape)[self._window]
        except TrackingError as error:
            nan, empty = float("nan"), np.empty((0, 2), np.float32)
            return TrackResult(nan, nan, 0.0, 0.0, TrackStatus.REFUSED, empty, str(error), 1)
        shift, _, _ = phase_cross_correlation(window, self._template, upsample_factor=10, normalization=None)
        contour = self._contour + np.array([shift[1], shift[0]], np.float32)
        score = self._score(window, shift)
        confidence = max(score, 0.0)  # yours is fitted to known errors; a bare score promises too much
        sure = confidence >= self._settings.min_confidence
        status = TrackStatus.TRACKED if sure else TrackStatus.LOW_CONFIDENCE
        detail = "" if sure else f"the correlation {score:.2f} is below {self._settings.min_confidence:g}"
        return TrackResult(*contour_centroid(contour), confidence, score, status, contour, detail, 1)

    def _score(self, window: NDArray[np.float32], shift: NDArray[np.floating[Any]]) -> float:
        """Return the correlation of the window, moved back by whole pixels, with the template; 0 where flat."""
        moved = np.roll(window, tuple(-np.round(shift).astype(int)), axis=(0, 1))
        assert self._template is not None
        one, other = moved - moved.mean(), self._template - self._template.mean()
        norm = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(np.clip(np.vdot(one, other) / norm, -1, 1)) if norm > 0 else 0.0
