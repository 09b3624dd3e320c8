"""The images that one plane has shown in a session, in constant memory and constant time per frame. Pure.

Noise is fresh in every image of a scanner, so an image that comes again comes from a buffer. An exact repeat is found
by its content hash, before the frame is tracked. A repeat with a few changed pixels, such as a counter or a clock in
the picture, is found by samples: 64 hashes of 64 pixels each, spread at random over the image. If a fraction f of the
pixels has changed, a hash is that of before with a probability of (1 - f)^64, which is 0.53 for f = 1 %.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IMAGES: Final = 1 << 19
"""Exact hashes, 8 MB. Of an hour at 10 frames/s 1 in 30 is overwritten, of two hours at 60 frames/s 1 in 3."""
SAMPLED_IMAGES: Final = 1 << 14
"""Newest images of which the samples are kept, 8 MB: half an hour at 8 frames/s, 4.5 minutes at 60 frames/s."""
SAMPLES: Final = 64
PIXELS_PER_SAMPLE: Final = 64
LEAST_ALIKE: Final = 32
"""Samples that two images must have in common to be the same. Real recordings share 9 at most, see `docs/safety.md`."""
_ALL: Final = np.arange(SAMPLES)
_WEIGHTS: Final = np.random.default_rng(64).integers(0, 2**31, (SAMPLES, PIXELS_PER_SAMPLE), np.uint32) * 2 + 1
"""Odd, so that a single changed pixel always changes the sum modulo 2^32."""


class SeenImages:
    """The images of one plane.

    Parameters
    ----------
    shape
        (rows, columns) of the images.
    within
        Number of frames after which an image may come again; None for never. Only an endless replay needs it.
    """

    def __init__(self, shape: tuple[int, int], within: int | None = None) -> None:
        self._within = within
        # Each slot holds its newest image. Numbers are + 1: pages of zeros take no memory until they are used.
        self._hashes = np.zeros(IMAGES, np.uint64)
        self._numbers = np.zeros(IMAGES, np.int64)
        self._where = np.random.default_rng(65).integers(0, shape[0] * shape[1], (SAMPLES, PIXELS_PER_SAMPLE))
        self._samples = np.zeros((SAMPLED_IMAGES, SAMPLES), np.uint32)
        self._sequences = np.zeros(SAMPLED_IMAGES, np.int64)
        self._newest = np.zeros((SAMPLES, SAMPLED_IMAGES), np.int32)
        self._shift = np.uint32(33 - SAMPLED_IMAGES.bit_length())
        self._count = 0

    def same(self, content_hash: str, sequence: int) -> int | None:
        """Return the number of the newest frame that had the same pixels as this one, or None."""
        value = int(content_hash, 16)
        slot = value % IMAGES
        if self._hashes[slot] != value or self._numbers[slot] == 0:
            return None
        return self._repeated(int(self._numbers[slot]) - 1, sequence)

    def add(self, pixels: NDArray[Any], content_hash: str, sequence: int) -> int | None:
        """Remember an image; return the number of an earlier frame that nearly all of its pixels repeat, or None."""
        value = int(content_hash, 16)
        slot = value % IMAGES
        self._hashes[slot], self._numbers[slot] = value, sequence + 1
        samples = self._sampled(pixels)
        slots = samples >> self._shift
        alike = self._alike(samples, self._newest[_ALL, slots].tolist())
        place = self._count % SAMPLED_IMAGES
        self._count += 1
        self._samples[place], self._sequences[place] = samples, sequence
        self._newest[_ALL, slots] = self._count
        return None if alike is None else self._repeated(alike, sequence)

    def _sampled(self, pixels: NDArray[Any]) -> NDArray[np.uint32]:
        taken = pixels.reshape(-1)[self._where]
        values = taken.view(np.uint32) if taken.dtype == np.float32 else taken.astype(np.uint32)
        samples: NDArray[np.uint32] = np.add.reduce(values * _WEIGHTS, axis=1, dtype=np.uint32)
        return samples

    def _alike(self, samples: NDArray[np.uint32], candidates: list[int]) -> int | None:
        """Return the number of the frame that shares most samples, if it shares enough; None otherwise."""
        oldest = max(1, self._count - SAMPLED_IMAGES + 1)
        votes = Counter(candidate for candidate in candidates if candidate >= oldest)
        if not votes:
            return None
        place = (votes.most_common(1)[0][0] - 1) % SAMPLED_IMAGES
        shared = np.count_nonzero(self._samples[place] == samples)
        return int(self._sequences[place]) if shared >= LEAST_ALIKE else None

    def _repeated(self, earlier: int, sequence: int) -> int | None:
        return earlier if self._within is None or sequence - earlier <= self._within else None
