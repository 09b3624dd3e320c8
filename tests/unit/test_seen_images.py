"""The images of a session are remembered: exactly, and nearly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.stream.seen_images import SAMPLED_IMAGES, SeenImages
from gating.wire.pixels import content_hash

SHAPE = (64, 72)


def image(seed: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype(dtype)


def changed(pixels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The image with another value in so many of its pixels."""
    other = pixels.copy()
    where = np.random.default_rng(seed).choice(pixels.size, count, replace=False)
    other.reshape(-1)[where] += pixels.dtype.type(1)
    return other


def shown(seen: SeenImages, pixels: np.ndarray, sequence: int) -> int | None:
    return seen.add(pixels, content_hash(pixels), sequence)


@pytest.mark.parametrize("distance", [1, 2, 17, 40, 3000])
def test_an_image_that_comes_again_is_known(distance):
    seen = SeenImages(SHAPE)
    for sequence in range(distance):
        shown(seen, image(sequence), sequence)
    assert seen.same(content_hash(image(0)), distance) == 0


def test_an_image_that_is_new_is_not_known():
    seen = SeenImages(SHAPE)
    shown(seen, image(0), 0)
    assert seen.same(content_hash(image(1)), 1) is None
    assert shown(seen, image(1), 1) is None


def test_the_newest_of_equal_images_is_named():
    seen = SeenImages(SHAPE)
    for sequence in (3, 8):
        shown(seen, image(0), sequence)
    assert seen.same(content_hash(image(0)), 9) == 8


@pytest.mark.parametrize(("distance", "counts"), [(16, True), (17, False)])
def test_where_laps_are_expected_only_a_short_way_back_counts(distance, counts):
    seen = SeenImages(SHAPE, within=16)
    shown(seen, image(0), 0)
    assert (seen.same(content_hash(image(0)), distance) is not None) is counts
    assert (shown(seen, image(0), distance) is not None) is counts


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.004), loop=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_an_image_with_few_changed_pixels_is_known(share, loop, seed):
    seen = SeenImages(SHAPE)
    for sequence in range(loop):
        shown(seen, image(seed + sequence), sequence)
    again = changed(image(seed), round(share * image(seed).size), seed)
    assert shown(seen, again, loop) == 0


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.03, 1), seed=st.integers(0, 2**32 - 1))
def test_an_image_with_as_much_change_as_a_real_one_is_new(share, seed):
    seen = SeenImages(SHAPE)
    shown(seen, image(seed), 0)
    assert shown(seen, changed(image(seed), round(share * image(seed).size), seed), 1) is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_counting_pixel_hides_no_repeat_in_any_dtype(dtype):
    seen = SeenImages(SHAPE)
    shown(seen, image(0, dtype), 0)
    assert shown(seen, changed(image(0, dtype), 1), 1) == 0


def test_the_oldest_samples_give_way_to_the_newest():
    seen = SeenImages((8, 8))
    pixels = np.zeros((8, 8), np.uint16)
    for sequence in range(SAMPLED_IMAGES + 10):
        pixels[:] = sequence
        shown(seen, pixels, sequence)
    assert shown(seen, pixels, SAMPLED_IMAGES + 10) == SAMPLED_IMAGES + 9
    pixels[:] = 0
    assert shown(seen, pixels, SAMPLED_IMAGES + 11) is None
