"""A second opinion from what changes: does a pattern that is fixed in the image hold the match?

Saturation bands, aliasing and parallel-imaging ripples stay where they are while the anatomy moves. A template that
contains them scores best where it was cut, and its score does not show why. So the mean of the frames so far is
subtracted from the frame: what is fixed vanishes, what moves remains. If the target has moved as claimed so far, what
remains looks like the reference moved by the claims, minus its own mean: the claims explain it. If they do not, what
moves must neither fit clearly better at another place nor look like the opposite of the target at the claimed place.
Where little more than noise moves, claims that fit as well as another place are enough. While nothing moves, there is
no opinion.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

MEMORY_S = 8.0
MIN_FRAMES = 4
MIN_SEEN_S = 0.9
NOISE_KNOWN_S = 2.0
"""Until then, the least change between neighbouring frames may still be motion."""
REACH_MM = 20.0
APART_MM = 4.0
"""A fixed pattern holds a match only where the template was cut, not one that has moved farther than this."""
ELSEWHERE_MM = 2.5
MIN_SCORE = 0.15
MIN_LEAD = 5.0
"""Of one score over another, in units of the score that noise alone has: 1 / sqrt(pixels of the template)."""
MIN_EXPLAINED, SLOPES = 0.5, (0.6, 1.4)
"""Share of the energy of what moves that the claims must explain; its size, relative to what they predict."""
REPEATED_SHARE: Final = 0.25
"""Of the least noise so far: two frames that differ by less are repeats."""
HELD_MM = 1.0
"""A target claimed to be this near to where it was cut cannot look like its opposite."""
MIN_CONTRADICTION = 0.2
"""Negative correlation at the claimed place, beyond that from the frame's own share in the mean."""
OBJECTION: Final = 0.01
"""Least lead that counts as one."""
MOVING_OVER_NOISE, FAINT_OVER_NOISE = 1.25, 2.0
"""Variance about the mean, relative to that between neighbouring frames; 1 where nothing but noise is left."""


class FixedPattern:
    """Running mean of the reduced frames around one target.

    Parameters
    ----------
    reduced : (rows, columns) float32
        Reduced reference frame.
    row, column, height, width : int
        The target's template in it, px of the reduced grid.
    pixel_mm : float
        Size of a pixel of the reduced grid.
    """

    def __init__(self, reduced: Image, row: int, column: int, height: int, width: int, pixel_mm: float) -> None:
        self._pixel_mm = pixel_mm
        self._reach = int(np.ceil(REACH_MM / pixel_mm))
        around = self._reach + int(np.ceil(APART_MM / pixel_mm)) + 1
        self._top, self._left = max(row - around, 0), max(column - around, 0)
        self._region = np.s_[self._top : row + height + around, self._left : column + width + around]
        self._row, self._column = row - self._top, column - self._left
        self._height, self._width = height, width
        self._whole_reference = reduced.copy()
        self._reference = self._whole_reference[self._region]
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget every frame but the reference."""
        self._mean, self._claimed_mean, self._previous = (self._reference.copy() for _ in range(3))
        self._frames, self._seen_s = 1, 0.0
        self._noise = LeastLately()
        self.objections = 0.0
        """Share of the last `MEMORY_S` in which what moves spoke against the claim by more than `OBJECTION`."""

    def lead_elsewhere(self, reduced: Image, elapsed_s: float, shift_x: float, shift_y: float) -> float:
        """Return how much better what moves fits at another place than at the claimed one, or how much it contradicts.

        Parameters
        ----------
        reduced : (rows, columns) float32
            Reduced frame, which enters the running mean.
        elapsed_s : float
            Time since the frame before.
        shift_x, shift_y : float
            Claimed shift since the reference, px of the reduced grid.

        Returns
        -------
        float
            Difference of two ZNCC, or minus a negative ZNCC; 0 where nothing speaks against the claim.
        """
        frame, before = reduced[self._region], self._previous
        self._frames += 1
        self._seen_s += elapsed_s
        self._previous = frame
        share = np.float32(min(max(1.0 / self._frames, elapsed_s / MEMORY_S), 1.0))
        self._mean += share * (frame - self._mean)
        lead = self._lead_elsewhere(frame, before, share, elapsed_s, shift_x, shift_y)
        self.objections += float(share) * ((lead > OBJECTION) - self.objections)
        return lead

    def _lead_elsewhere(
        self, frame: Image, before: Image, share: np.float32, elapsed_s: float, shift_x: float, shift_y: float
    ) -> float:
        predicted = self._predicted(share, shift_x, shift_y)
        near = math.hypot(shift_x, shift_y) * self._pixel_mm <= APART_MM
        if not near or self._frames <= MIN_FRAMES or self._seen_s < MIN_SEEN_S:
            return 0.0
        row, column = self._row + shift_y, self._column + shift_x
        return self._lead(frame, before, predicted, row, column, float(share), elapsed_s)

    def snapshot(self) -> FixedPattern:
        """Return a copy: what it learns, this one does not."""
        taken = copy(self)
        taken._mean, taken._claimed_mean, taken._noise = self._mean.copy(), self._claimed_mean.copy(), copy(self._noise)
        return taken

    def _lead(
        self,
        frame: Image,
        before: Image,
        predicted: Image,
        row: float,
        column: float,
        share: float,
        elapsed_s: float,
    ) -> float:
        """See `lead_elsewhere`, for a claimed place in the region."""
        top, left = max(round(row) - self._reach, 0), max(round(column) - self._reach, 0)
        bottom, right = top + 2 * self._reach + self._height, left + 2 * self._reach + self._width
        window = np.s_[top:bottom, left:right]
        moving = frame[window] - self._mean[window]
        noise = self._noise.of(_variance(frame[window] - before[window]) / 2.0, elapsed_s)
        energy = _mean_square(moving)
        if not energy > MOVING_OVER_NOISE * noise:
            return 0.0
        noise_is_known = self._seen_s >= NOISE_KNOWN_S
        seen = self._patch(moving, row - top, column - left)
        fit = _fit(seen, self._patch(predicted, row, column))
        reference, mean = (self._patch(image, self._row, self._column) for image in (self._reference, self._mean))
        template = reference - mean
        explained = fit**2 > MIN_EXPLAINED * (1.0 - (noise / _mean_square(seen) if noise_is_known else 0.0))
        if explained or not float(np.ptp(template)) > 0:
            return 0.0
        scores = np.asarray(cv2.matchTemplate(moving, template, cv2.TM_CCOEFF_NORMED), np.float32)
        cv2.patchNaNs(scores, 0.0)
        faint = noise_is_known and not energy > FAINT_OVER_NOISE * noise
        to_beat, least_lead = (fit, MIN_LEAD / math.sqrt(template.size)) if faint else (0.0, 0.0)
        held = math.hypot(row - self._row, column - self._column) * self._pixel_mm <= HELD_MM
        own_share = share / (1.0 - share) if held else None
        return self._objection(scores, row - top, column - left, own_share, to_beat, least_lead)

    def _objection(
        self, scores: Image, row: float, column: float, own_share: float | None, to_beat: float, least_lead: float
    ) -> float:
        """Return how clearly scores of what moves speak against a claimed place of their map; see `lead_elsewhere`.

        Parameters
        ----------
        scores : (n, m) float32
        row, column : float
            Claimed place.
        own_share : float, optional
            Negative correlation that the frame's share in the mean makes there; None where a pattern cannot hold it.
        to_beat, least_lead : float
            Score that an objection must exceed, and by how much another place must lead.
        """
        claimed = _between(scores, row, column)
        if own_share is not None and -claimed - own_share > MIN_CONTRADICTION:
            return -claimed - own_share if -claimed > to_beat else 0.0
        best, away_px = _best(scores, row, column)
        lead = best - claimed
        better = best > max(MIN_SCORE, to_beat) and lead > least_lead
        return lead if better and away_px * self._pixel_mm > ELSEWHERE_MM else 0.0

    def _predicted(self, share: np.float32, shift_x: float, shift_y: float) -> Image:
        """Return what would be left of this frame without the mean if all of it had moved as claimed."""
        move = np.array([[1.0, 0.0, shift_x - self._left], [0.0, 1.0, shift_y - self._top]], np.float32)
        size = self._mean.shape[::-1]
        moved = cv2.warpAffine(self._whole_reference, move, size, borderMode=cv2.BORDER_REPLICATE)
        self._claimed_mean += share * (moved - self._claimed_mean)
        return np.asarray(moved - self._claimed_mean, np.float32)

    def _patch(self, image: Image, row: float, column: float) -> Image:
        """Return a patch as large as the template, its corner at a place, cut at the border of the image."""
        top, left = round(row), round(column)
        return image[max(top, 0) : top + self._height, max(left, 0) : left + self._width]


class LeastLately:
    """Least value of the last `MEMORY_S`.

    Values far below all others do not count: a frame that came twice, but for some of its pixels, has no noise.
    """

    def __init__(self) -> None:
        self._now, self._before = float("inf"), float("inf")
        self._age_s = 0.0

    def of(self, value: float, elapsed_s: float) -> float:
        """Take the next value, and return the least one."""
        self._age_s += elapsed_s
        if self._age_s > MEMORY_S / 2.0:
            self._before, self._now, self._age_s = self._now, float("inf"), 0.0
        least = min(self._now, self._before)
        if value > (REPEATED_SHARE * least if math.isfinite(least) else 0.0):
            self._now = min(self._now, value)
        return min(self._now, self._before)


def _fit(seen: Image, predicted: Image) -> float:
    """Return the correlation of what moves with what the claims predict; 0 where its size is not the predicted one."""
    product, size = float(np.vdot(seen, predicted)) / seen.size, _mean_square(predicted)
    if not SLOPES[0] * size < product < SLOPES[1] * size:
        return 0.0
    return product / math.sqrt(size * _mean_square(seen))


def _mean_square(image: Image) -> float:
    return float(cv2.norm(image, cv2.NORM_L2SQR)) / image.size


def _variance(image: Image) -> float:
    return _mean_square(image - np.float32(cv2.mean(image)[0]))


def _best(scores: Image, row: float, column: float) -> tuple[float, float]:
    """Return the highest score of a map and its distance from a place, px."""
    best_row, best_column = divmod(int(np.argmax(scores)), scores.shape[1])
    down = best_row + _vertex(scores[:, best_column], best_row) - row
    right = best_column + _vertex(scores[best_row], best_column) - column
    return float(scores[best_row, best_column]), math.hypot(down, right)


def _between(scores: NDArray[np.float32], row: float, column: float) -> float:
    """Return the bilinear value of a map; beyond it, that of its border."""
    x, y = (np.full((1, 1), at, np.float32) for at in (column, row))
    return float(cv2.remap(scores, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0, 0])


def _vertex(line: NDArray[np.float32], at: int) -> float:
    """Return the offset of the peak of a parabola through three neighbours; 0 at the border."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = (float(value) for value in line[at - 1 : at + 2])
    curvature = 2.0 * here - before - after
    return 0.5 * (after - before) / curvature if curvature > 0 else 0.0
