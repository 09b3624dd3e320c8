"""Whether an image lives: fresh noise everywhere, and anatomy that moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.stream.stillness import Stillness
from tests.factories import INTERVAL_NS, anatomy

LIMIT_S = 5.0


def noisy(pixels: np.ndarray, seed: int, noise: float = 10.0) -> np.ndarray:
    """The image under fresh noise that is independent from pixel to pixel."""
    fresh = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    most = np.inf if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return np.clip(np.rint(fresh), 0, most).astype(pixels.dtype)


def observed(images, interval_ns: int = INTERVAL_NS) -> Stillness:
    stillness = Stillness()
    for number, pixels in enumerate(images):
        stillness.observe(pixels, number * interval_ns)
    return stillness


def with_four_rows(pixels: np.ndarray, number: int) -> np.ndarray:
    stepped = pixels.copy()
    stepped[48:52] += np.random.default_rng(number).integers(0, 2, (4, pixels.shape[1])).astype(pixels.dtype)
    return stepped


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    shape=st.sampled_from([(64, 64), (96, 96), (104, 88), (264, 280)]),
    noise=st.floats(1, 60),
    seed=st.integers(0, 2**20),
)
def test_fresh_noise_alone_is_no_motion(dtype, shape, noise, seed):
    still = anatomy(shape, dtype)
    stillness = observed(noisy(still, seed + number, noise) for number in range(60))
    assert stillness.still_s == pytest.approx(59 * INTERVAL_NS / 1e9)
    assert "nothing but independent noise has changed for 7.4 s" in stillness.fault(LIMIT_S)


def test_anatomy_that_moves_lives_under_the_same_noise():
    stillness = observed(noisy(anatomy(shift=2 * np.sin(n / 5)), n) for n in range(60))
    assert stillness.fault(LIMIT_S) is None
    assert stillness.still_s < 1


@pytest.mark.parametrize("beats_per_s", [1.0, 2.0, 2.5])
def test_a_regular_beat_is_never_missed(beats_per_s):
    def beating(number: int) -> np.ndarray:
        pixels = noisy(anatomy(), number)
        pixels[8:40, 8:40] += np.uint16(60 * (1 + np.sin(2 * np.pi * beats_per_s * number * 0.05 + 1)))
        return pixels

    assert observed((beating(n) for n in range(200)), 50_000_000).still_s < 1


def test_a_counter_in_the_picture_is_no_motion():
    def counting(number: int) -> np.ndarray:
        pixels = noisy(anatomy(), number)
        pixels[0:8, 0:16] = number
        return pixels

    assert observed(counting(n) for n in range(60)).fault(LIMIT_S) is not None


def test_an_image_of_which_only_four_rows_change_is_stuck_in_two_s():
    living = [noisy(anatomy(shift=2 * np.sin(n / 5)), n) for n in range(20)]
    stuck = [with_four_rows(living[-1], n) for n in range(20)]
    assert "of the image have not changed at all for a second" in observed([*living, *stuck]).fault(LIMIT_S)


def test_an_image_that_lives_again_is_no_longer_stuck():
    living = [noisy(anatomy(shift=2 * np.sin(n / 5)), n) for n in range(24)]
    stuck = [with_four_rows(living[19], n) for n in range(20)]
    assert observed([*living[:20], *stuck, *living[20:]]).fault(LIMIT_S) is None


def test_a_background_of_zeros_is_not_stuck():
    def in_the_dark(number: int) -> np.ndarray:
        pixels = np.zeros((96, 96), np.uint16)
        pixels[32:64, 32:64] = noisy(anatomy(shift=2 * np.sin(number / 5)), number)[32:64, 32:64]
        return pixels

    assert observed(in_the_dark(n) for n in range(60)).fault(LIMIT_S) is None


def test_motion_after_stillness_ends_the_hold_at_the_next_look():
    still = [noisy(anatomy(), n) for n in range(60)]
    moved = [noisy(anatomy(shift=2.0), 60 + n) for n in range(2)]
    assert observed(still).fault(LIMIT_S) is not None
    assert observed([*still, *moved]).fault(LIMIT_S) is None
