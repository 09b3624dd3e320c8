"""A second opinion from what changes: is the match held by a pattern that is fixed in the image?

Saturation bands, aliasing and parallel-imaging ripples stay where they are while the anatomy moves. A template that
contains them scores best where it was cut, and nothing in that score tells. So the mean of the frames so far is taken
away from frame and template alike: what is fixed vanishes, what moves remains, and its best place is compared with
the claimed one. While nothing moves, nothing remains, and the opinion is silent.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

MEMORY_S = 8.0
MIN_FRAMES = 5
MIN_SEEN_S = 1.0
REACH_MM = 20.0
APART_MM = 4.0
"""A fixed pattern can hold a match only where it was cut: a target that has moved farther is not held by one."""
NEAR_MM = 3.0
MIN_SCORE = 0.15
MOVING_OVER_NOISE = 1.25
"""Variance about the mean over that between neighbouring frames: 1 where nothing moves and only noise remains."""


class FixedPattern:
    """Running mean of the reduced frames around one target.

    Parameters
    ----------
    reduced : reduced reference frame.
    row, column, height, width : the target's template in it, px of the reduced grid.
    pixel_mm : size of a pixel of the reduced grid.
    """

    def __init__(self, reduced: Image, row: int, column: int, height: int, width: int, pixel_mm: float) -> None:
        self._reference = reduced.copy()
        self._mean = reduced.copy()
        self._place = (row, column, height, width)
        self._pixel_mm = pixel_mm
        self._previous = reduced.copy()
        self._frames = 1
        self._seen_s = 0.0

    def lead_elsewhere(self, reduced: Image, elapsed_s: float, shift_x: float, shift_y: float) -> float:
        """How much better what moves fits at another place than at the claimed one.

        Parameters
        ----------
        reduced : reduced frame; it enters the running mean.
        elapsed_s : time since the frame before.
        shift_x, shift_y : claimed shift since the reference, px of the reduced grid.

        Returns
        -------
        Difference of two ZNCC, 0 when there is nothing to say.
        """
        self._frames += 1
        before, self._previous = self._previous, reduced
        share = np.float32(min(max(1.0 / self._frames, elapsed_s / MEMORY_S), 1.0))
        self._mean += share * (reduced - self._mean)
        self._seen_s += elapsed_s
        held = float(np.hypot(shift_x, shift_y)) * self._pixel_mm <= APART_MM
        if not held or self._frames <= MIN_FRAMES or self._seen_s < MIN_SEEN_S:
            return 0.0
        row, column, height, width = self._place
        template = (self._reference - self._mean)[row : row + height, column : column + width]
        claimed_row, claimed_column = row + shift_y, column + shift_x
        reach = int(np.ceil(REACH_MM / self._pixel_mm))
        top = int(np.clip(round(claimed_row) - reach, 0, reduced.shape[0] - height))
        left = int(np.clip(round(claimed_column) - reach, 0, reduced.shape[1] - width))
        bottom, right = top + 2 * reach + height, left + 2 * reach + width
        here = np.s_[top:bottom, left:right]
        window = reduced[here] - self._mean[here]
        noise = float(np.square(reduced[here] - before[here]).mean()) / 2.0
        if not float(np.square(window).mean()) > MOVING_OVER_NOISE * noise or not float(np.ptp(template)) > 0:
            return 0.0
        scores = np.nan_to_num(cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED))
        rows = np.arange(top, top + scores.shape[0])[:, None] - claimed_row
        columns = np.arange(left, left + scores.shape[1])[None, :] - claimed_column
        apart_px = np.hypot(rows, columns)
        best = float(scores.max())
        place = divmod(int(np.argmax(scores)), scores.shape[1])
        if not (best > MIN_SCORE and apart_px[place] * self._pixel_mm > APART_MM):
            return 0.0
        near = apart_px <= max(NEAR_MM / self._pixel_mm, float(apart_px.min()))
        return best - float(scores[near].max())
