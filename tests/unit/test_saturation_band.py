"""Dark lines that lie still in the image are found in one frame and filled; what is anatomy stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cinegate.cases import read_cases
from gating.geometry.contours import box_contour
from gating.tracking.saturation_band import NO_BANDS, SaturationBands, find_bands
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings
from tests.factories import anatomy

ROWS = np.arange(128.0)[:, None]


def darkened(pixels: np.ndarray, row: float = 70.0, width_px: float = 1.6, loss: float = 0.8) -> np.ndarray:
    """A band with the profile of a Gaussian."""
    share = 1.0 - loss * np.exp(-0.5 * ((ROWS[: len(pixels)] - row) / width_px) ** 2)
    return (pixels * share).astype(pixels.dtype)


def body(shift: float = 0.0) -> np.ndarray:
    """Textured tissue with air on both sides."""
    pixels = anatomy((128, 128), shift=shift).astype(np.float32)
    pixels[:, :20] = pixels[:, -20:] = 4.0
    return pixels


def test_a_band_across_the_body_is_found_where_it_is():
    ((first, last),) = find_bands(darkened(body()), 1.0).rows
    assert (64 <= first <= 67, 73 <= last <= 76) == (True, True)


def test_a_band_along_columns_is_found_as_well():
    found = find_bands(np.ascontiguousarray(darkened(body()).T), 1.0)
    assert found == SaturationBands((), find_bands(darkened(body()), 1.0).rows)


def test_two_bands_are_told_apart():
    bands = find_bands(darkened(darkened(body(), 30.0), 90.0), 1.0).rows
    assert [first <= row <= last for (first, last), row in zip(bands, (30, 90), strict=True)] == [True, True]


def test_tissue_without_a_band_has_none():
    assert find_bands(body(), 1.0) == NO_BANDS


def test_a_dark_line_that_ends_in_the_body_is_anatomy():
    pixels = body()
    pixels[:, :85] = darkened(pixels)[:, :85]
    assert find_bands(pixels, 1.0) == NO_BANDS


def test_a_dark_line_that_is_curved_is_anatomy():
    bent = 70.0 + 8.0 * np.cos(np.arange(128.0) / 40.0)
    pixels = body() * (1.0 - 0.8 * np.exp(-0.5 * ((ROWS - bent) / 1.6) ** 2))
    assert find_bands(pixels, 1.0) == NO_BANDS


def test_the_border_of_the_body_is_no_band():
    pixels = body()
    pixels[70:] = 4.0
    assert find_bands(pixels, 1.0) == NO_BANDS


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_band_is_filled_on_the_straight_line_between_its_sides(dtype):
    ramp = (np.arange(20)[:, None] * np.array([2, 5, 7])).astype(dtype)
    holed = ramp.copy()
    holed[4:9] = 0
    assert np.array_equal(SaturationBands(rows=((4, 8),)).filled(holed), ramp)
    assert np.array_equal(SaturationBands(columns=((4, 8),)).filled(holed.T.copy()), ramp.T)


def test_a_frame_that_is_filled_stays_as_it_was():
    pixels = darkened(body())
    kept = pixels.copy()
    find_bands(pixels, 1.0).filled(pixels)
    assert np.array_equal(pixels, kept)


def test_a_frame_without_bands_is_not_copied():
    pixels = body()
    assert NO_BANDS.filled(pixels) is pixels


def test_the_fit_leaves_out_what_was_filled_unless_little_else_is_left():
    mask = np.ones((20, 20), np.uint8)
    bands = SaturationBands(rows=((4, 8),))
    left = bands.outside(mask)
    assert not left[4:9].any()
    assert left.sum() == 300
    small = np.zeros((20, 20), np.uint8)
    small[4:10, 4:8] = 1
    assert np.array_equal(bands.outside(small), small)


def test_a_target_in_a_band_is_followed():
    tracker = TemplateTracker(TrackerSettings())
    noise = np.random.default_rng(7)
    errors = []
    for index in range(24):
        shift = 6.0 * np.sin(index / 4.0)
        pixels = darkened(body(shift) + noise.normal(0, 2, (128, 128)), width_px=2.5, loss=0.9).astype(np.float32)
        if index == 0:
            tracker.set_reference(pixels, box_contour(52, 62, 24, 16), (1.0, 1.0))
        else:
            errors.append(abs(tracker.track(pixels, 0.2).y_px - 69.5 - shift))
    assert max(errors) < 1.5


@pytest.mark.parametrize("name", ["KS81_1", "QN76_1", "II29_1", "CS31_2", "ON65_2"])
def test_the_curved_dark_line_of_a_liver_is_anatomy(shared_data: Path, name: str):
    with np.load(shared_data / "liver_cine" / f"{name}.npz") as recording:
        frames, spacing = recording["frames"][::50], float(recording["pixel_spacing_mm"][0])
    assert {find_bands(frame, spacing) for frame in frames} == {NO_BANDS}


@pytest.mark.parametrize("name", ["ETH3L", "RT_M1_033", "RT_M4_395", "TONGUE3T"])
def test_no_band_is_seen_in_speech_and_in_other_scanners_livers(shared_data: Path, name: str):
    case = next(read_cases(shared_data / "labelled" / name))
    assert {find_bands(frame, case.pixel_spacing_mm[0]) for frame in case.frames[::15]} == {NO_BANDS}


def test_no_band_is_seen_in_a_heart(shared_data: Path):
    with np.load(shared_data / "heart_liver_60fps" / "lowres_highsnr_FMLP_900.npz") as recording:
        frames = recording["frames"][::60]
    assert {find_bands(frame, 2.6) for frame in frames} == {NO_BANDS}


@pytest.mark.parametrize("name", ["KS81_1", "QN76_1", "II29_1", "CS31_2", "ON65_2"])
def test_a_band_laid_over_a_real_liver_is_found(shared_data: Path, name: str):
    with np.load(shared_data / "liver_cine" / f"{name}.npz") as recording:
        frame, spacing = recording["frames"][0].astype(np.float32), float(recording["pixel_spacing_mm"][0])
    share = 1.0 - 0.8 * np.exp(-0.5 * ((np.arange(len(frame))[:, None] - 90.0) * spacing / 2.0) ** 2)
    ((first, last),) = find_bands(frame * share.astype(np.float32), spacing).rows
    assert first < 90 < last
