"""When a target that was doubted is trusted again: after several frames of full confidence in a row, not after one."""

from __future__ import annotations

import math
from typing import Final

REACQUIRE_MM: Final = 10.0
CONFIRMING_FRAMES, CONFIRMING_FRAMES_NEAR = 3, 2
HELD_SHARE: Final = 0.9
"""Of the confidence that permits beam: what a target is reported with that is not trusted again yet."""


class Trust:
    """Whether the target that is seen is the one that was trusted.

    Parameters
    ----------
    centre_px : of the target in the reference frame, which is trusted.
    spacing_mm : of a pixel.
    min_confidence : that permits beam.
    """

    def __init__(self, centre_px: tuple[float, float], spacing_mm: float, min_confidence: float) -> None:
        self._centre_px, self._spacing_mm, self._min_confidence = centre_px, spacing_mm, min_confidence
        self._doubted, self._confirmed = False, CONFIRMING_FRAMES

    @property
    def is_confirmed(self) -> bool:
        """Whether enough frames in a row were seen with full confidence, wherever the target is."""
        return self._confirmed >= CONFIRMING_FRAMES

    def believed(self, confidence: float, centre_px: tuple[float, float], quiet_mm: float) -> float:
        """Return the confidence of the newest frame after the rule for re-acquisition.

        Once doubted, a target must be seen with full confidence in several frames in a row before it is trusted
        again, in more of them when it turns up far from where it was last trusted. Until then it is reported, but not
        with a confidence that permits beam: a confidence that flickers is not trusted.

        Parameters
        ----------
        confidence : of the frame by itself, 0 to 1.
        centre_px : of the target in it.
        quiet_mm : how far quiet breathing moves it from frame to frame.
        """
        if not confidence >= self._min_confidence:
            self._confirmed, self._doubted = 0, True
            return confidence
        far = math.dist(centre_px, self._centre_px) * self._spacing_mm > REACQUIRE_MM + quiet_mm
        self._confirmed += 1
        if self._doubted and self._confirmed < (CONFIRMING_FRAMES if far else CONFIRMING_FRAMES_NEAR):
            return min(confidence, HELD_SHARE * self._min_confidence)
        self._centre_px, self._doubted = centre_px, False
        return confidence

    def reservation(self) -> str:
        """Return why a target that is seen with full confidence is not trusted; empty where it is doubted itself."""
        return f"found again in {self._confirmed} frames after doubt, not yet trusted" if self._confirmed else ""
