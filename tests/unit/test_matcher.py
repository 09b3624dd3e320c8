"""The best placement: where brute force has it, to a fraction of a pixel, and refusals in one sentence."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple
from scipy.ndimage import fourier_shift

from gating.tracking.zncc.matcher import TemplateMatcher
from tests.oracle import DTYPES, frame_of, zncc_oracle


def integer_peak(matcher: TemplateMatcher, pixels: np.ndarray, row: int, col: int, radius: int, method: str):
    match = matcher.match(pixels, row, col, radius, method)
    return round(match.row), round(match.col), match.score


def oracle_surface(frame: np.ndarray, template: np.ndarray, row: int, col: int, radius: int) -> np.ndarray:
    height, width = template.shape
    top, left = max(row - radius, 0), max(col - radius, 0)
    return zncc_oracle(frame[top : row + radius + height, left : col + radius + width], template)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from(DTYPES),
    height=st.integers(8, 50),
    width=st.integers(8, 50),
    radius=st.integers(1, 20),
    noise=st.floats(0.0, 1.0),
)
def test_the_exact_match_scores_as_high_as_any_placement_of_brute_force(seed, dtype, height, width, radius, noise):
    frame = frame_of(dtype, seed)
    grain = np.random.default_rng(seed).uniform(0, 255, frame.shape)
    now = ((1 - noise) * frame_of(dtype, seed) + noise * grain).astype(dtype)
    template = frame[20 : 20 + height, 22 : 22 + width]
    match = TemplateMatcher(template, max_radius_px=20).match(now, 21, 20, radius)
    surface = oracle_surface(now, template, 21, 20, radius)
    assert match.score == pytest.approx(surface.max(), abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("radius", [8, 16, 24])
@pytest.mark.parametrize("side", [32, 47, 48])
def test_the_exact_peak_of_pure_noise_is_brute_forces(dtype, radius, side):
    rng = np.random.default_rng(11)
    before, now = ((rng.random((112, 112)) * 250).astype(dtype) for _ in range(2))
    template = before[30 : 30 + side, 30 : 30 + side]
    matcher = TemplateMatcher(template, max_radius_px=24)
    surface = oracle_surface(now, template, 30, 30, radius)
    match = matcher.match(now, 30, 30, radius)
    assert match.score == pytest.approx(surface.max(), abs=1e-6)


def test_the_first_of_equal_peaks_wins():
    tile = frame_of(np.uint8, 3)[:24, :24]
    frame = np.tile(tile, (4, 4))
    match = TemplateMatcher(tile, max_radius_px=24).match(frame, 24, 24, 24)
    assert (round(match.row), round(match.col), match.score) == (0, 0, pytest.approx(1.0))


@pytest.mark.parametrize("value", [0, 1, 65535])
def test_wide_uint16_frames_find_their_peak(value):
    frame = frame_of(np.uint16, 4)
    wide = (frame.astype(np.float64) * 20).astype(np.uint16)
    wide[2, 2] = value
    matcher = TemplateMatcher(wide[40:72, 40:72], max_radius_px=16)
    assert integer_peak(matcher, wide, 36, 44, 16, "exact")[:2] == (40, 40)


def test_a_few_bright_pixels_do_not_hide_the_peak():
    frame = frame_of(np.float32, 5)
    frame[50, 5] = 1e6
    matcher = TemplateMatcher(frame[44:76, 40:72], max_radius_px=24)
    assert integer_peak(matcher, frame, 40, 30, 24, "exact")[:2] == (44, 40)


@pytest.mark.parametrize("method", ["exact", "coarse_to_fine", "dense"])
def test_a_peak_at_the_border_of_the_window_is_flagged(method):
    frame = frame_of(np.uint16, 6)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8)
    assert matcher.match(frame, 30, 22, 8, method).at_edge
    assert not matcher.match(frame, 30, 24, 8, method).at_edge


@pytest.mark.parametrize("method", ["exact", "coarse_to_fine", "dense"])
def test_read_only_frames_match_as_writable_ones(method):
    frame = frame_of(np.uint16, 7)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8)
    wire = np.frombuffer(frame.tobytes(), np.uint16).reshape(frame.shape)
    assert matcher.match(wire, 28, 33, 8, method) == matcher.match(frame, 28, 33, 8, method)


def real_frames(shared_data, name: str) -> np.ndarray:
    with np.load(shared_data / name) as recording:
        return recording["frames"]


RECORDINGS = [
    "liver_cine/II29_1.npz",
    "liver_cine/KS81_1.npz",
    "liver_cine/ON65_2.npz",
    "liver_cine/QN76_1.npz",
    "heart_liver_60fps/lowres_highsnr_FMLP_900.npz",
]


@pytest.mark.parametrize("name", RECORDINGS)
def test_coarse_to_fine_finds_the_exact_peak_on_every_real_frame(shared_data, name):
    frames = real_frames(shared_data, name)
    for side, radius in ((24, 12), (32, 16), (48, 24)):
        row, col = frames.shape[1] // 2 - side // 2, frames.shape[2] // 2 - side // 2
        matcher = TemplateMatcher(frames[0, row : row + side, col : col + side], max_radius_px=radius)
        for frame in frames:
            exact = matcher.match(frame, row, col, radius, "exact")
            quick = matcher.match(frame, row, col, radius, "coarse_to_fine")
            assert astuple(quick) == pytest.approx(astuple(exact), abs=1e-5)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_exact_peak_is_opencvs_on_every_real_frame(shared_data, name):
    frames = real_frames(shared_data, name)
    side, radius = 48, 16
    row, col = frames.shape[1] // 2 - side // 2, frames.shape[2] // 2 - side // 2
    template = frames[0, row : row + side, col : col + side].astype(np.float32)
    matcher = TemplateMatcher(template, max_radius_px=radius)
    for frame in frames:
        match = matcher.match(frame, row, col, radius)
        region = frame[row - radius : row + side + radius, col - radius : col + side + radius].astype(np.float32)
        peer = cv2.matchTemplate(region, template, cv2.TM_CCOEFF_NORMED)
        assert match.score == pytest.approx(peer.max(), abs=1e-5)


@pytest.mark.parametrize("name", RECORDINGS)
def test_sub_pixel_peaks_of_shifted_real_frames_are_within_0_05_px(shared_data, name):
    frames = real_frames(shared_data, name)
    rng = np.random.default_rng(12)
    errors = []
    for index in range(0, len(frames), 8):
        frame = frames[index].astype(np.float64)
        shift = rng.uniform(-4.0, 4.0, 2)
        moved = np.fft.ifft2(fourier_shift(np.fft.fft2(frame), shift)).real.astype(np.float32)
        row, col = frame.shape[0] // 2 - 20, frame.shape[1] // 2 - 20
        matcher = TemplateMatcher(frame[row : row + 40, col : col + 40], max_radius_px=8)
        match = matcher.match(moved, row, col, 8)
        errors.append(np.hypot(match.row - row - shift[0], match.col - col - shift[1]))
    assert np.median(errors) < 0.05
    assert np.percentile(errors, 95) < 0.1


def refused(**changes) -> str:
    arguments = {"template": frame_of(np.uint8)[:16, :16], "mask": None, "max_radius_px": 8} | changes
    with pytest.raises(ValueError, match=r"^\S.*") as error:
        TemplateMatcher(arguments["template"], mask=arguments["mask"], max_radius_px=arguments["max_radius_px"])
    return str(error.value)


def test_a_tiny_template_is_refused():
    assert refused(template=np.eye(3)) == "template has shape (3, 3); it must be 2D and 4 px or more a side"


def test_a_flat_template_is_refused():
    assert refused(template=np.full((16, 16), 7)) == "template is flat (every pixel about 7); it must have contrast"


def test_a_template_with_nan_is_refused():
    assert refused(template=np.full((16, 16), np.nan)).startswith("template holds NaN or infinite pixels")


def test_an_empty_mask_is_refused():
    assert refused(mask=np.zeros((16, 16), bool)).startswith("mask keeps 0 pixels of the template")


def test_a_mask_of_another_shape_is_refused():
    assert refused(mask=np.ones((8, 8), bool)) == "mask has shape (8, 8); it must be the template's, (16, 16)"


def test_a_negative_radius_is_refused():
    assert refused(max_radius_px=-1) == "max_radius_px is -1; it must be 0 or more"


def test_a_window_without_room_is_refused():
    frame = frame_of(np.uint8)
    matcher = TemplateMatcher(frame[:32, :32], max_radius_px=8)
    with pytest.raises(ValueError, match=r"row 200, col 0 with radius_px 8 leaves no room"):
        matcher.match(frame, 200, 0, 8)


def test_a_radius_beyond_the_buffers_is_refused():
    frame = frame_of(np.uint8)
    with pytest.raises(ValueError, match=r"radius_px is 9; it must lie in 0..8"):
        TemplateMatcher(frame[:32, :32], max_radius_px=8).surface(frame, 0, 0, 9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_is_refused(bad):
    frame = frame_of(np.float32)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8)
    frame[40, 40] = bad
    with pytest.raises(ValueError, match="NaN or infinite pixels in the search window"):
        matcher.match(frame, 30, 30, 8)


def test_a_frame_of_another_type_is_refused():
    frame = frame_of(np.float32)
    matcher = TemplateMatcher(frame[30:62, 30:62], max_radius_px=8)
    with pytest.raises(ValueError, match="dtype float64; it must be uint8, uint16 or float32"):
        matcher.match(frame.astype(np.float64), 30, 30, 8)


def test_a_matcher_refuses_to_be_copied():
    matcher = TemplateMatcher(frame_of(np.uint8)[:32, :32], max_radius_px=8)
    with pytest.raises(TypeError, match="build another one instead of a copy"):
        copy.deepcopy(matcher)
