"""Whether the image of one plane lives: whether its noise is fresh everywhere, and whether its anatomy moves. Pure.

Where tissue moves, neighbouring pixels change together. Independent noise on a still image does not do that: the mean
of N changes has N times less variance than one change. Both are compared block by block, so that noise may depend on
the signal, and no scale of intensities is needed. What this can tell, and what it cannot: `docs/safety.md`.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCK_PX: Final = 8
"""Edge of a block: smaller than an organ, and large enough for a mean that noise hardly moves."""
ROUNDING_VARIANCE: Final = 1 / 6
"""Of the difference of two integers, 1/12 for each: changes by one step of intensity are no motion."""
MANY_BLOCKS: Final = 1000
"""Of an image with more blocks, every second row of blocks is looked at: it tells as much, in half the time."""
MOST_PER_BLOCK: Final = 16.0
"""A few blocks alone, such as a line of text or a counter, are not the anatomy."""
LOOK_EVERY_NS: Final = 200_000_000
COMPARE_OVER_NS: Final = 1_000_000_000
"""Images are compared with one that is up to this much older, so that slow motion adds up. The time between the two
varies, so that no regular heartbeat has always returned."""
MOST_UNCHANGED: Final = 0.5
"""Share of the blocks with a signal that may be the same, bit for bit, as a second before; real ones reach 0.24."""


def smallest_coherence_of_motion(blocks: int) -> float:
    """Return from which mean of the ratios of so many changed blocks something moves.

    Independent noise gives 1.03 with a standard deviation of the root of 2 / blocks (chi-square, one degree of
    freedom); the limit lies five of them above.
    """
    return float(1.1 + 5 * np.sqrt(2 / blocks))


class Stillness:
    """What is remembered of one plane, to tell whether its image lives."""

    def __init__(self) -> None:
        self._reference: NDArray[Any] | None = None
        """The image that later ones are compared with."""
        self._reference_ns = self._looked_ns = self._newest_ns = self._moved_ns = 0
        self._unchanged = 0.0
        self._is_stuck = False

    def observe(self, pixels: NDArray[Any], acquired_ns: int) -> None:
        """Look at an image, acquired at this time on the clock of its source, unless the last look was just before."""
        self._newest_ns = acquired_ns
        reference = self._reference
        if reference is None or reference.dtype != pixels.dtype:
            self._reference, self._moved_ns = pixels.copy(), acquired_ns
            self._reference_ns = self._looked_ns = acquired_ns
            return
        if acquired_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = acquired_ns
        is_old = acquired_ns - self._reference_ns >= COMPARE_OVER_NS
        ratios, changed = block_coherence(pixels, reference)
        count = int(np.count_nonzero(changed))
        if count and float(ratios.sum()) >= count * smallest_coherence_of_motion(count):
            self._moved_ns = acquired_ns
        self._unchanged = _unchanged_share(changed, reference)
        self._is_stuck = self._unchanged > MOST_UNCHANGED and (is_old or self._is_stuck)
        if is_old:
            np.copyto(reference, pixels)
            self._reference_ns = acquired_ns

    @property
    def still_s(self) -> float:
        """Time in which nothing but independent noise has changed, s."""
        return (self._newest_ns - self._moved_ns) / 1e9

    def fault(self, max_still_s: float) -> str | None:
        """Return why the newest image does not show living anatomy, or None."""
        if self._is_stuck:
            text = f"{self._unchanged:.0%} of the image have not changed at all for a second"
            return f"{text}, the limit is {MOST_UNCHANGED:.0%}"
        if self.still_s <= max_still_s:
            return None
        return f"nothing but independent noise has changed for {self.still_s:.1f} s, the limit is {max_still_s:g} s"


def block_coherence(newer: NDArray[Any], older: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return how far neighbouring pixels change together, block by block.

    Parameters
    ----------
    newer, older
        Two images of one shape, (rows, columns), integer or floating-point, at least `BLOCK_PX` on each side.

    Returns
    -------
    ratios
        Square of the mean change of a block over its variance in independent noise, 0 to `MOST_PER_BLOCK`; 0 where
        the mean has not changed, 1.03 on average in independent noise.
    changed
        Whether any pixel of the block has changed.
    """
    change = np.subtract(_rows_of_blocks(newer), _rows_of_blocks(older), dtype=np.float32)
    change = change.reshape(-1, change.shape[-1])
    means, powers = _block_means(change), _block_means(np.multiply(change, change, out=change))
    squares = means * means
    rounding = 0.0 if newer.dtype.kind == "f" else ROUNDING_VARIANCE
    expected = (np.maximum(powers - squares, 0) + rounding) / BLOCK_PX**2
    # Division by 0 cannot occur: where the limit is exceeded, the ratio is not computed.
    capped = squares >= MOST_PER_BLOCK * expected
    ratios = np.full_like(squares, MOST_PER_BLOCK)
    np.divide(squares, expected, out=ratios, where=~capped)
    ratios[squares == 0] = 0
    return ratios, powers > 0


def _rows_of_blocks(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return whole rows of blocks, of shape (rows of blocks, `BLOCK_PX`, columns of pixels)."""
    rows, columns = (length // BLOCK_PX for length in pixels.shape)
    whole = pixels[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns * BLOCK_PX)
    return whole[:: 2 if rows * columns > MANY_BLOCKS else 1]


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = values.shape[0] // BLOCK_PX, values.shape[1] // BLOCK_PX
    return cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA).view(np.float32)


def _unchanged_share(changed: NDArray[np.bool_], pixels: NDArray[Any]) -> float:
    """Return the share of the unchanged blocks, 0 to 1. Dark ones do not count: a background set to 0 has no noise."""
    if np.count_nonzero(changed) >= MOST_UNCHANGED * changed.size:
        return 0.0
    bright = _rows_of_blocks(pixels).any(axis=1).reshape(len(changed), -1, BLOCK_PX).any(axis=2)
    return float(np.count_nonzero(bright & ~changed)) / max(1, int(np.count_nonzero(bright)))
