"""When a doubted target is trusted again: after several frames of full confidence in a row, not after one."""

from __future__ import annotations

import math
from typing import Final

REACQUIRE_MM: Final = 10.0
CONFIRMING_FRAMES, CONFIRMING_FRAMES_NEAR = 3, 2
HELD_SHARE: Final = 0.9
"""Share of the confidence that permits beam, with which a target is reported until it is trusted again."""


class Trust:
    """Whether the target that is seen is the one that was trusted.

    Parameters
    ----------
    centre_px : tuple of float
        Centre (x, y) of the target in the reference frame, which is trusted.
    spacing_mm : float
        Size of a pixel.
    min_confidence : float
        Least confidence that permits beam.
    """

    def __init__(self, centre_px: tuple[float, float], spacing_mm: float, min_confidence: float) -> None:
        self._centre_px, self._spacing_mm, self._min_confidence = centre_px, spacing_mm, min_confidence
        self._doubted, self._confirmed = False, CONFIRMING_FRAMES

    @property
    def is_confirmed(self) -> bool:
        """Whether enough frames in a row had full confidence, wherever the target is."""
        return self._confirmed >= CONFIRMING_FRAMES

    def believed(self, confidence: float, centre_px: tuple[float, float], quiet_mm: float) -> float:
        """Return the confidence of the newest frame after the rule for re-acquisition.

        Once doubted, a target is trusted again only after several frames of full confidence in a row, more of them if
        it turns up far from where it was last trusted. Until then it is reported with a confidence that does not permit
        beam, so that a flickering confidence does not switch the beam.

        Parameters
        ----------
        confidence : float
            Confidence of the frame by itself, 0 to 1.
        centre_px : tuple of float
            Centre (x, y) of the target in it.
        quiet_mm : float
            How far quiet breathing moves the target from frame to frame.
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
        """Return why a target seen with full confidence is not trusted yet; empty if this frame itself is in doubt."""
        return f"found again in {self._confirmed} frames after doubt, not yet trusted" if self._confirmed else ""
