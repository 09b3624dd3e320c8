"""Doubt about fixed patterns, where there is none: a calm patient, little motion, and noise."""

from __future__ import annotations

import numpy as np
import pytest

from bench.faults.pictures import PictureBook
from drivers.phantom import Phantom
from gating.tracking.fixed_pattern import MEMORY_S, LeastLately
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings, TrackStatus


def _pictures(phantom: Phantom, count: int) -> list[np.ndarray]:
    pictures = [np.empty(phantom.shape, phantom.settings.dtype) for _ in range(count)]
    for index, picture in enumerate(pictures):
        phantom.render_into(index, picture)
    return pictures


@pytest.fixture
def watched():
    """A tracker with its reference, and its pictures."""

    def make(seed: int, rate_per_s: float, seconds: float) -> tuple[TemplateTracker, list[np.ndarray]]:
        phantom = Phantom(PictureBook(seed, rate_per_s, "uint16").settings)
        pictures = _pictures(phantom, round(seconds * rate_per_s))
        tracker = TemplateTracker(TrackerSettings())
        tracker.set_reference(pictures[0], phantom.truth(0).contour_px, (2.4, 2.4))
        return tracker, pictures[1:]

    return make


@pytest.mark.parametrize("rate_per_s", [8.0, 16.0, 25.0])
def test_a_motion_of_a_millimetre_in_noise_is_trusted_most_of_the_time(watched, rate_per_s):
    seen = []
    for seed in (101, 102, 104, 105):
        tracker, pictures = watched(seed, rate_per_s, 15.0)
        seen += [tracker.track(picture, 1 / rate_per_s).status is TrackStatus.TRACKED for picture in pictures]
    assert np.mean(seen) >= 0.9


def test_near_identical_frames_do_not_make_later_noise_look_like_motion(watched):
    """As many of the later frames are trusted as where there were none of them."""

    def trusted(near_identical: int) -> float:
        tracker, pictures = watched(101, 8.0, 20.0)
        for picture in pictures[:80]:
            tracker.track(picture, 0.125)
        for number in range(near_identical):
            tracker.track(pictures[80] + np.uint16(number % 3), 0.0125)
        return float(np.mean([tracker.track(one, 0.125).status is TrackStatus.TRACKED for one in pictures[80:]]))

    assert trusted(90) >= trusted(0) - 0.05


def test_the_least_value_is_forgotten_when_it_leaves_the_memory():
    least = LeastLately()
    assert least.of(3.0, 0.1) == 3.0
    assert least.of(1.0, 0.1) == 1.0
    later = [least.of(2.0, 0.1) for _ in range(round(MEMORY_S / 0.1) + 1)]
    assert (later[0], later[-1]) == (1.0, 2.0)


def test_zero_is_no_least_value():
    least = LeastLately()
    least.of(3.0, 0.1)
    assert least.of(0.0, 0.1) == 3.0


def test_a_near_repeat_is_no_noise_until_nothing_else_has_come_for_long():
    least = LeastLately()
    assert least.of(3.0, 0.1) == 3.0
    assert least.of(0.1, 0.1) == 3.0
    assert [least.of(0.1, 0.1) for _ in range(round(MEMORY_S / 0.1) + 2)][-1] == 0.1
