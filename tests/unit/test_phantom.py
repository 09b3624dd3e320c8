"""The phantom: truth that is exact, noise that is Rician, pixels that never change for a seed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import Unavailable
from drivers.phantom import BreathHold, Breathing, Cough, Phantom, PhantomSettings, TargetLoss, Trace
from drivers.phantom.motion import Motion
from gating.geometry.contours import contour_centroid, mask_from_contour

STILL = Breathing(inhale_si_mm=0.0, inhale_ap_mm=0.0, inhale_lr_mm=0.0)
REGULAR = Breathing(period_s=4.0, inhale_si_mm=-15.0, inhale_ap_mm=-4.0, variability=0.0, ap_lag_s=0.0)


def phantom(trace: Trace | None = None, **changes) -> Phantom:
    fields = {"rows": 96, "columns": 88, "pixel_spacing_mm": (2.4, 2.6), "dtype": "float32"}
    return Phantom(PhantomSettings(**fields | changes), trace)


def clean(**changes) -> Phantom:
    """Without noise, band or drift."""
    return phantom(noise_sigma=0.0, band_depth=0.0, intensity_drift_per_min=0.0, **changes)


def drawn(source: Phantom, index: int) -> np.ndarray:
    pixels = np.zeros(source.shape, source.settings.dtype)
    source.render_into(index, pixels)
    return pixels


class TestTruth:
    @pytest.mark.parametrize("plane", ["sagittal", "coronal"])
    def test_the_outline_is_where_the_pixels_change_with_the_target(self, plane) -> None:
        """Two phantoms that differ in the target's signal alone differ inside its outline alone."""
        kind = {"plane": plane, "breathing": REGULAR, "target_radius_mm": 22.0}
        bright, dark = clean(target_signal=1.5, **kind), clean(target_signal=0.1, **kind)
        for index in range(0, 32, 3):
            share = drawn(bright, index) - drawn(dark, index)
            truth = bright.truth(index)
            seen = share > 0.5 * np.median(share[share > 0.2 * share.max()])
            inside = mask_from_contour(truth.contour_px, bright.shape)
            overlap = 2 * (seen & inside).sum() / (seen.sum() + inside.sum())
            assert overlap > 0.95
            rows, columns = np.mgrid[: share.shape[0], : share.shape[1]]
            np.testing.assert_allclose(
                ((columns * share).sum() / share.sum(), (rows * share).sum() / share.sum()), truth.centre_px, atol=0.15
            )

    def test_the_centre_is_the_centroid_of_the_outline(self) -> None:
        truth = phantom().truth(9)
        assert truth.centre_px == contour_centroid(truth.contour_px)

    @pytest.mark.parametrize("plane", ["sagittal", "coronal"])
    def test_the_outline_solves_the_equation_that_the_pixels_are_looked_up_by(self, plane) -> None:
        source = phantom(plane=plane, breathing=REGULAR)
        spacing, middle = np.array([2.6, 2.4]), np.array([43.5, 47.5])
        still_mm = (phantom(plane=plane, breathing=STILL).truth(0).contour_px - middle) * spacing
        for index in (4, 12, 16):
            here_mm = (source.truth(index).contour_px - middle) * spacing
            across_mm, down_mm = source.in_image(source.displacement(index))
            sideways, downward = source.motion_weights(here_mm[:, 0], here_mm[:, 1])
            back_mm = here_mm - np.stack([across_mm * sideways, down_mm * downward], axis=1)
            np.testing.assert_allclose(back_mm, still_mm, atol=1e-5)

    def test_inhale_moves_a_sagittal_target_down_the_image_and_to_the_front(self) -> None:
        source = phantom(breathing=REGULAR, interval_jitter=0.0)
        exhale, inhale = source.truth(0).centre_px, source.truth(16).centre_px
        assert (inhale[1] - exhale[1]) * 2.4 == pytest.approx(15.0, rel=0.1)
        assert (inhale[0] - exhale[0]) * 2.6 == pytest.approx(-4.0, rel=0.1)

    def test_inhale_deforms_the_target(self) -> None:
        source = phantom(breathing=REGULAR)
        exhale, inhale = (np.ptp(source.truth(index).contour_px, axis=0) for index in (0, 16))
        assert 0.75 < inhale[1] / exhale[1] < 0.99

    def test_spine_and_skin_stay_where_they_are(self) -> None:
        source = clean(breathing=REGULAR)
        change = np.abs(drawn(source, 16) - drawn(source, 0))
        unit_px = source.unit_mm / 2.6
        spine = round(43.5 + 0.65 * unit_px)
        assert change[:, spine:].max() < 1e-3
        assert change.max() > 100


class TestMotion:
    def test_breathing_is_lujans_model(self) -> None:
        """Position = exhale - b cos^2n(pi t / tau - phi), phi such that time 0 is exhale."""
        motion = Motion(PhantomSettings(breathing=REGULAR))
        for t_s in np.linspace(0, 12, 61):
            expected = -15.0 * np.cos(np.pi * t_s / 4.0 - np.pi / 2) ** 4
            assert motion.at(t_s).si_mm == pytest.approx(expected, abs=1e-9)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(0, 300), min_size=2, max_size=20), st.integers(0, 1000))
    def test_any_time_may_be_asked_in_any_order(self, times, seed) -> None:
        asked, fresh = Motion(PhantomSettings(seed=seed)), Motion(PhantomSettings(seed=seed))
        there = [asked.at(t_s) for t_s in times]
        assert there == [fresh.at(t_s) for t_s in sorted(times)] or times != sorted(times)
        assert [asked.at(t_s) for t_s in reversed(times)] == there[::-1]

    def test_motion_is_continuous(self) -> None:
        motion = Motion(
            PhantomSettings(
                breath_holds=(BreathHold(start_s=9, duration_s=6, depth=0.8),),
                coughs=(Cough(at_s=20, amplitude_mm=12),),
            )
        )
        si_mm = np.array([motion.at(t_s).si_mm for t_s in np.arange(0, 30, 0.002)])
        assert np.abs(np.diff(si_mm)).max() < 0.5

    def test_breathing_cycles_differ_from_one_another(self) -> None:
        motion = Motion(PhantomSettings())
        si_mm = np.array([motion.at(t_s).si_mm for t_s in np.arange(0, 60, 0.05)])
        deepest = [cycle.min() for cycle in np.array_split(si_mm, 10)]
        assert np.std(deepest) > 0.3

    def test_the_baseline_drifts(self) -> None:
        motion = Motion(PhantomSettings(breathing=STILL, drift_si_mm_per_min=-6.0, drift_ap_mm_per_min=2.0))
        assert (motion.at(30).si_mm, motion.at(30).ap_mm) == pytest.approx((-3.0, 1.0))

    def test_a_breath_is_held_at_its_depth(self) -> None:
        motion = Motion(
            PhantomSettings(breathing=REGULAR, breath_holds=(BreathHold(start_s=10, duration_s=10, depth=0.5),))
        )
        held = [motion.at(t_s).si_mm for t_s in np.arange(11.1, 19.9, 0.3)]
        assert held == pytest.approx([-7.5] * len(held))

    def test_a_recorded_trace_moves_the_target(self) -> None:
        t_s = np.linspace(0, 10, 51)
        trace = Trace(t_s, -8 * np.sin(t_s) ** 2, 2 * np.sin(t_s) ** 2, np.zeros(51))
        source = phantom(trace, frames_per_s=5.0, interval_jitter=0.0)
        for index in (3, 8, 14):
            moved = np.subtract(source.truth(index).centre_px, source.truth(0).centre_px) * (2.6, 2.4)
            np.testing.assert_allclose(moved, (trace.ap_mm[index], -trace.si_mm[index]), atol=0.8)

    @pytest.mark.parametrize(
        ("trace", "sentence"),
        [
            (Trace(np.array([0.0, 0.0]), *[np.zeros(2)] * 3), "does not increase"),
            (Trace(np.array([0.0, 1.0]), np.array([0.0, np.nan]), *[np.zeros(2)] * 2), "si_mm has shape"),
            (Trace(np.array([0.0, 1.0]), *[np.zeros(3)] * 3), "lengths are"),
        ],
    )
    def test_an_invalid_trace_is_refused(self, trace, sentence) -> None:
        with pytest.raises(Unavailable, match=sentence):
            phantom(trace)

    def test_stamps_increase_unevenly_around_the_nominal_rate(self) -> None:
        source = phantom(frames_per_s=60.0, interval_jitter=0.3)
        stamps_ns = np.array([source.stamp_ns(index) for index in range(500)])
        steps_ns = np.diff(stamps_ns)
        assert stamps_ns[0] == 0
        assert (steps_ns > 0).all()
        assert np.median(steps_ns) == pytest.approx(1e9 / 60, rel=0.05)
        assert np.ptp(steps_ns) > 0.2 * 1e9 / 60


class TestPixels:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_the_same_seed_gives_the_same_bits_in_any_order(self, dtype) -> None:
        one, other = phantom(dtype=dtype), phantom(dtype=dtype)
        forward = [drawn(one, index) for index in range(4)]
        for index in (3, 0, 2, 1):
            np.testing.assert_array_equal(drawn(other, index), forward[index])

    def test_another_seed_gives_other_anatomy(self) -> None:
        assert np.abs(drawn(clean(seed=1), 0) - drawn(clean(seed=2), 0)).max() > 50

    def test_noise_in_air_has_rayleighs_mean_and_deviation(self) -> None:
        """Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618: sigma sqrt(pi/2) and sigma sqrt(2 - pi/2)."""
        source, quiet = phantom(noise_sigma=0.05, band_depth=0.0), clean()
        air = drawn(quiet, 0) < 6.5
        values = np.concatenate([drawn(source, index)[air] for index in range(12)])
        sigma = 0.05 * 600
        assert values.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.03)
        assert values.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.03)

    def test_noise_in_bright_tissue_is_nearly_gaussian(self) -> None:
        noisy, quiet = phantom(band_depth=0.0, intensity_drift_per_min=0.0, breathing=STILL), clean(breathing=STILL)
        signal = drawn(quiet, 0)
        bright = signal > 450
        rest = np.concatenate([(drawn(noisy, index) - signal)[bright] for index in range(10)])
        sigma = 0.035 * 600
        assert rest.std() == pytest.approx(sigma, rel=0.05)
        assert abs(rest.mean()) < 2.0

    def test_the_saturation_band_stays_in_the_image_while_the_anatomy_moves(self) -> None:
        with_band, without = (
            clean(breathing=REGULAR, seed=4),
            phantom(breathing=REGULAR, seed=4, noise_sigma=0.0, intensity_drift_per_min=0.0, band_depth=0.7),
        )
        for index in (0, 8, 16):
            ratio = drawn(without, index) / drawn(with_band, index)
            darkest = np.argmin(ratio.mean(axis=1))
            assert abs(darkest - 0.36 * 95) <= 1
            assert ratio[darkest].mean() == pytest.approx(0.3, abs=0.08)

    def test_intensity_drifts(self) -> None:
        source = phantom(
            noise_sigma=0.0, band_depth=0.0, breathing=STILL, intensity_drift_per_min=-0.3, frames_per_s=1.0
        )
        assert drawn(source, 60).mean() / drawn(source, 0).mean() == pytest.approx(0.7, rel=0.02)

    def test_a_lost_target_is_gone_from_the_pixels_and_said_to_be(self) -> None:
        loss = TargetLoss(start_s=1.0, duration_s=3.0)
        lost = clean(breathing=STILL, losses=(loss,), target_signal=1.5)
        bright, dark = drawn(lost, 0), drawn(lost, 20)
        inside = mask_from_contour(lost.truth(0).contour_px, lost.shape)
        assert (lost.truth(0).visible, lost.truth(20).visible) == (True, False)
        assert dark[inside].mean() < 0.6 * bright[inside].mean()

    def test_deep_breaths_bring_other_vessels_into_the_slice(self) -> None:
        t_s = np.array([0.0, 100.0])
        flat = np.zeros(2)
        trace = Trace(t_s, np.array([0.0, -15.0]), flat, flat)
        shallow = clean(breathing=Breathing(inhale_si_mm=-15.0))
        deep = clean(breathing=Breathing(inhale_si_mm=-15.0), trace=trace)
        assert deep.displacement(0).depth == 0
        np.testing.assert_array_equal(drawn(deep, 0), drawn(shallow, 0))
        inhaled = Motion(deep.settings, trace).at(100.0)
        last = deep.signal(replace(inhaled, lr_mm=0.0, ap_mm=0.0, si_mm=0.0))
        first = deep.signal(deep.displacement(0))
        assert np.abs(last - first).max() > 0.05

    def test_integers_are_clipped_not_wrapped(self) -> None:
        pixels = drawn(phantom(dtype="uint8", noise_sigma=0.9), 0)
        assert pixels.max() == 255
        assert (pixels == 255).sum() > 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": 20}, "rows"),
        ({"noise_sigma": 1.5}, "noise_sigma"),
        ({"frames_per_s": 0.0}, "frames_per_s"),
        ({"pixel_spacing_mm": (0.3, 0.3)}, "folds the anatomy"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes, sentence) -> None:
    with pytest.raises(Unavailable, match=sentence):
        phantom(**changes)


def test_pixels_are_the_same_on_every_machine() -> None:
    """Guards the claim that only exactly rounded operations touch the pixels."""
    source = phantom(dtype="uint16", seed=5)
    digest = hashlib.sha256(b"".join(drawn(source, index).tobytes() for index in (0, 7, 20))).hexdigest()
    assert digest == "c504172f47a36d4fc14f1bde56a619c3f96cff52daa9eb5fee12e990c6fa7b66"
