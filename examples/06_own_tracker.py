"""A site's own tracker beside ours. docs/tracking.md says what is expected of one, and how a package registers it."""

import cv2
import numpy as np

import cinegate
from replay_data import session_path


class OurTracker:
    def __init__(self, settings: cinegate.TrackerSettings) -> None: ...

    def warm_up(self) -> None: ...

    def set_reference(self, pixels, contour_px, pixel_spacing_mm):
        self.contour, (self.left, self.top) = contour_px, np.maximum(contour_px.min(axis=0).astype(int) - 4, 0)
        right, bottom = contour_px.max(axis=0).astype(int) + 4
        self.template = pixels[self.top : bottom, self.left : right].astype(np.float32)

    def track(self, pixels, elapsed_s):
        scores = cv2.matchTemplate(pixels.astype(np.float32), self.template, cv2.TM_CCOEFF_NORMED)
        _, score, _, (left, top) = cv2.minMaxLoc(scores)
        contour = self.contour + np.array([left - self.left, top - self.top], np.float32)
        centre, status = cinegate.contour_centroid(contour), "tracked" if score > 0.8 else "lost"
        return cinegate.TrackResult(*centre, max(score, 0.0), score, cinegate.TrackStatus(status), contour, "", 1)


for tracker in ("template", OurTracker):
    found = cinegate.evaluate(session_path("free_breathing"), tracker=tracker)
    print(f"{found.tracker}: centre error {found.aggregates['centre_error_mean_mm']:.2f} mm on average")
