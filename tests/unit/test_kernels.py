"""The score surface against brute force and OpenCV."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.tracking.zncc.matcher import TemplateMatcher
from tests.oracle import DTYPES, frame_of, zncc_oracle

NO_COMPILATION_AFTER_WARM_UP = """
import numpy as np
from numba.core import event
from gating.tracking.zncc.matcher import warm_up
from gating.tracking.zncc.matcher import TemplateMatcher
warm_up()
compiled = []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e.data)
    def on_end(self, e): pass
event.register("numba:compile", Listener())
for dtype in (np.uint8, np.uint16, np.float32):
    frame = np.random.default_rng(1).integers(0, 200, (96, 96)).astype(dtype)
    wire = np.frombuffer(frame.tobytes(), dtype).reshape(96, 96)
    mask = np.ones((40, 40), bool); mask[:5, :5] = False
    for m in (None, mask):
        matcher = TemplateMatcher(frame[24:64, 24:64], mask=m, max_radius_px=16)
        for pixels in (frame, wire):
            matcher.surface(pixels, 20, 20, 16)
            for method in ("exact", "coarse_to_fine", "dense"):
                matcher.match(pixels, 20, 20, 16, method)
                matcher.match(pixels, 20, 20, 3, method)
print(len(compiled))
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", [8, 31, 48])
@pytest.mark.parametrize("radius", [3, 8, 16])
def test_every_score_is_within_1e5_of_brute_force(dtype, side, radius):
    before, now = frame_of(dtype, 1), frame_of(dtype, 2)
    matcher = TemplateMatcher(before[20 : 20 + side, 24 : 24 + side], max_radius_px=16)
    scores, top, left = matcher.surface(now, 20, 24, radius)
    region = now[top : top + scores.shape[0] + side - 1, left : left + scores.shape[1] + side - 1]
    np.testing.assert_allclose(scores, zncc_oracle(region, before[20 : 20 + side, 24 : 24 + side]), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_masked_score_counts_the_inside_of_the_mask_only(dtype):
    before, now = frame_of(dtype, 3), frame_of(dtype, 4)
    template = before[20:52, 20:60]
    y, x = np.mgrid[:32, :40]
    mask = ((y - 15.5) / 16) ** 2 + ((x - 19.5) / 20) ** 2 < 1.0
    mask[10:14, 18:22] = False
    scores, _, _ = TemplateMatcher(template, mask=mask, max_radius_px=8).surface(now, 20, 20, 8)
    np.testing.assert_allclose(scores, zncc_oracle(now[12:60, 12:68], template, mask), atol=1e-5)


def test_scores_agree_with_opencv():
    before, now = frame_of(np.uint8, 5), frame_of(np.uint8, 6)
    template = before[20:52, 20:52]
    scores, _, _ = TemplateMatcher(template, max_radius_px=16).surface(now, 20, 20, 16)
    peer = cv2.matchTemplate(now[4:68, 4:68], template, cv2.TM_CCOEFF_NORMED)
    np.testing.assert_allclose(scores, peer, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), gain=st.floats(0.1, 10.0), offset=st.floats(0.0, 500.0))
def test_scores_ignore_brightness_and_gain(seed, gain, offset):
    frame = frame_of(np.float32, seed)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8)
    plain = matcher.surface(frame, 30, 30, 8)[0].copy()
    changed = matcher.surface((frame * gain + offset / 1000).astype(np.float32), 30, 30, 8)[0]
    np.testing.assert_allclose(changed, plain, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_flat_patch_scores_zero_and_never_nan(dtype):
    frame = frame_of(dtype, 7)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=16)
    dark = frame.copy()
    dark[:, 40:] = frame.max()
    scores, _, left = matcher.surface(dark, 30, 30, 16)
    assert np.isfinite(scores).all()
    assert np.all(scores[:, 40 - left :] == 0.0)
    match = matcher.match(np.full_like(frame, 3), 30, 30, 16)
    assert match.score == 0.0


def test_the_window_is_clipped_to_the_image():
    frame = frame_of(np.uint16, 8)
    matcher = TemplateMatcher(frame[0:32, 64:96], max_radius_px=16)
    scores, top, left = matcher.surface(frame, 0, 64, 16)
    assert (top, left, scores.shape) == (0, 48, (17, 17))
    np.testing.assert_allclose(scores, zncc_oracle(frame[0:48, 48:96], frame[0:32, 64:96]), atol=1e-5)


def test_a_score_of_a_saturated_frame_stays_in_range():
    frame = np.minimum(frame_of(np.uint16, 9), 900)
    scores, _, _ = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8).surface(frame, 30, 30, 8)
    assert np.abs(scores).max() <= 1.0


def test_nothing_is_compiled_after_warm_up():
    done = subprocess.run(
        [sys.executable, "-c", NO_COMPILATION_AFTER_WARM_UP], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
