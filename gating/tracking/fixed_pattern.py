"""A second opinion from what changes: is the match held by a pattern that is fixed in the image?

Saturation bands, aliasing and parallel-imaging ripples stay where they are while the anatomy moves. A template that
contains them scores best where it was cut, and nothing in that score tells. So the mean of the frames so far is taken
away from the frame: what is fixed vanishes, what moves remains. Had the target moved as claimed so far, the reference
moved by the claims, without its own mean, would look like that: then the claims are explained. Where they are not, what
moves must not fit clearly better at another place than at the claimed one, nor look like the opposite of the target
there. While nothing moves, nothing remains, and the opinion is silent.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

MEMORY_S = 8.0
MIN_FRAMES = 4
MIN_SEEN_S = 0.9
NOISE_KNOWN_S = 2.0
"""Before, the least change between neighbouring frames may still be motion."""
REACH_MM = 20.0
APART_MM = 4.0
"""A fixed pattern can hold a match only where it was cut: a target that has moved farther is not held by one."""
ELSEWHERE_MM = 2.5
MIN_SCORE = 0.15
MIN_EXPLAINED, SLOPES = 0.5, (0.6, 1.4)
"""Share of the energy of what moves that the claims explain, and how large it is in terms of what they predict."""
HELD_MM = 1.0
"""A target claimed to be this near to where it was cut cannot look like its opposite."""
MIN_CONTRADICTION = 0.2
"""Negative correlation at the claimed place, beyond the one that the frame's own share in the mean makes."""
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
        self._claimed_mean = reduced.copy()
        self._seen_s = 0.0
        self._noise = float("inf")

    def lead_elsewhere(self, reduced: Image, elapsed_s: float, shift_x: float, shift_y: float) -> float:
        """How much better what moves fits at another place than at the claimed one, or how much it contradicts it.

        Parameters
        ----------
        reduced : reduced frame; it enters the running mean.
        elapsed_s : time since the frame before.
        shift_x, shift_y : claimed shift since the reference, px of the reduced grid.

        Returns
        -------
        Difference of two ZNCC, or a negative one turned round; 0 when there is nothing to say.
        """
        self._frames += 1
        before, self._previous = self._previous, reduced
        share = np.float32(min(max(1.0 / self._frames, elapsed_s / MEMORY_S), 1.0))
        self._mean += share * (reduced - self._mean)
        self._seen_s += elapsed_s
        predicted = self._predicted(share, shift_x, shift_y)
        distance_mm = float(np.hypot(shift_x, shift_y)) * self._pixel_mm
        if not distance_mm <= APART_MM or self._frames <= MIN_FRAMES or self._seen_s < MIN_SEEN_S:
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
        if noise > 0.0:  # a picture that came twice tells nothing of the noise
            self._noise = min(noise, self._noise * (1.0 + elapsed_s / MEMORY_S))
        if not float(np.square(window).mean()) > MOVING_OVER_NOISE * self._noise or not float(np.ptp(template)) > 0:
            return 0.0
        at = np.s_[round(claimed_row) :, round(claimed_column) :]
        known_noise = self._noise if self._seen_s >= NOISE_KNOWN_S else 0.0
        if _explained((reduced - self._mean)[at][:height, :width], predicted[at][:height, :width], known_noise):
            return 0.0
        scores: Image = np.nan_to_num(np.asarray(cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED), np.float32))
        in_map = claimed_row - top, claimed_column - left
        claimed = _between(scores, *in_map)
        contradiction = -claimed - float(share / (1.0 - share))
        if contradiction > MIN_CONTRADICTION and distance_mm <= HELD_MM:
            return contradiction
        best_row, best_column = divmod(int(np.argmax(scores)), scores.shape[1])
        best = float(scores[best_row, best_column])
        down = best_row + _vertex(scores[:, best_column], best_row) - in_map[0]
        right = best_column + _vertex(scores[best_row], best_column) - in_map[1]
        if not (best > MIN_SCORE and float(np.hypot(down, right)) * self._pixel_mm > ELSEWHERE_MM):
            return 0.0
        return best - claimed

    def _predicted(self, share: np.float32, shift_x: float, shift_y: float) -> Image:
        """What would be left of this frame without its mean, had all of it moved as claimed."""
        move = np.array([[1.0, 0.0, shift_x], [0.0, 1.0, shift_y]], np.float32)
        size = self._reference.shape[::-1]
        moved = np.asarray(cv2.warpAffine(self._reference, move, size, borderMode=cv2.BORDER_REPLICATE), np.float32)
        self._claimed_mean += share * (moved - self._claimed_mean)
        return moved - self._claimed_mean


def _explained(seen: Image, predicted: Image, noise: float) -> bool:
    """Whether the claims explain what moves, beyond the noise (a variance): its size, and most of its energy."""
    product, size = float((seen * predicted).sum()), float(np.square(predicted).sum())
    moving = float(np.square(seen).sum()) - noise * seen.size
    return SLOPES[0] * size < product < SLOPES[1] * size and product**2 > MIN_EXPLAINED * size * moving


def _between(scores: NDArray[np.float32], row: float, column: float) -> float:
    """Bilinear value of a map, of its border beyond it."""
    x, y = (np.full((1, 1), at, np.float32) for at in (column, row))
    return float(cv2.remap(scores, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0, 0])


def _vertex(line: NDArray[np.float32], at: int) -> float:
    """Offset of the peak of a parabola through three neighbours, 0 at the border."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = (float(value) for value in line[at - 1 : at + 2])
    curvature = 2.0 * here - before - after
    return 0.5 * (after - before) / curvature if curvature > 0 else 0.0
