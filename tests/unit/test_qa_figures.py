"""Figures of a QA session: what was put into a simulated chain is found again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.qa.figures import FIGURES, NotMeasuredError
from gating.qa.motion import Ramp, Rest, Sine, Steps, make_motion
from tests.qa_bench import chain_record

RATES = st.sampled_from([4.0, 8.0, 16.0])
SEEDS = st.integers(0, 2**31)


@settings(max_examples=25, deadline=None)
@given(delay_ms=st.floats(50, 400), rate_hz=RATES, seed=SEEDS)
def test_an_injected_beam_off_delay_is_recovered_within_10_ms(delay_ms: float, rate_hz: float, seed: int) -> None:
    found = FIGURES["beam_off_chain_ms"](chain_record(off_ms=delay_ms, rate_hz=rate_hz, seed=seed, noise_mm=0.01))
    assert found == pytest.approx(delay_ms, abs=10)


@settings(max_examples=25, deadline=None)
@given(delay_ms=st.floats(50, 400), rate_hz=RATES, seed=SEEDS)
def test_an_injected_beam_on_delay_is_recovered_within_10_ms(delay_ms: float, rate_hz: float, seed: int) -> None:
    found = FIGURES["beam_on_chain_ms"](chain_record(on_ms=delay_ms, rate_hz=rate_hz, seed=seed, noise_mm=0.01))
    assert found == pytest.approx(delay_ms, abs=10)


def test_latency_counts_from_the_crossing_and_so_holds_half_an_interval() -> None:
    record = chain_record(off_ms=100, parts=(Rest(seconds=2), Sine(peak_mm=-8, period_s=4.13, cycles=40)))
    assert FIGURES["beam_off_ms"](record) == pytest.approx(100 + 62.5, abs=12)
    assert FIGURES["beam_on_ms"](record) == pytest.approx(50 + 125 + 62.5, abs=12)


@settings(max_examples=25, deadline=None)
@given(step_mm=st.floats(1, 20), missed_mm=st.floats(-0.5, 0.5), seed=SEEDS)
def test_an_error_of_a_step_is_found_within_a_fifth_of_a_mm(step_mm: float, missed_mm: float, seed: int) -> None:
    parts = (Rest(seconds=3), Steps(positions_mm=(step_mm,), seconds_each=2))
    record = chain_record(parts=parts, offset_mm=missed_mm, seed=seed)
    assert FIGURES["step_error_mm"](record) == pytest.approx(abs(missed_mm), abs=0.2)


def test_the_phase_of_the_sine_is_how_late_it_is_known() -> None:
    assert FIGURES["sine_phase_ms"](chain_record(late_ms=37)) == pytest.approx(37, abs=5)


def test_the_position_error_of_the_sine_is_that_of_the_tracker() -> None:
    assert FIGURES["sine_error_mm"](chain_record(noise_mm=0.0)) < 1e-9
    assert FIGURES["sine_error_mm"](chain_record(noise_mm=0.0, offset_mm=0.4)) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("offset_mm", [-0.8, 0.0, 0.5])
def test_a_shifted_gate_shows_in_mm_and_in_ms(offset_mm: float) -> None:
    record = chain_record(noise_mm=0.01, offset_mm=offset_mm, rate_hz=16)
    assert FIGURES["gate_level_error_mm"](record) == pytest.approx(-offset_mm, abs=0.15)
    assert FIGURES["gate_level_error_ms"](record) == pytest.approx(-offset_mm / 6.1 * 1e3, abs=30)


def test_a_drift_that_the_tracker_follows_has_no_error() -> None:
    parts = (Rest(seconds=3), Ramp(to_mm=-3, seconds=20))
    assert FIGURES["drift_error_mm"](chain_record(parts=parts)) < 0.1
    assert FIGURES["drift_error_mm"](chain_record(parts=parts, offset_mm=0.5, noise_mm=0)) < 0.1


def test_the_predictor_stays_near_the_sine() -> None:
    assert 0 < FIGURES["prediction_error_mm"](chain_record()) < 1.0


def test_the_longest_beam_on_outside_is_the_latency_of_beam_off() -> None:
    found = FIGURES["beam_outside_ms"](chain_record(off_ms=150, noise_mm=0.01))
    assert 150 <= found <= 150 + 125 + 15


def test_the_target_is_near_its_window_while_the_beam_is_on() -> None:
    assert 3 < FIGURES["beam_distance_mm"](chain_record()) < 5


def test_frames_without_a_decision_are_counted() -> None:
    record = chain_record(frames_expected=500)
    assert FIGURES["frames_undecided"](record) == 500 - len(record.t_s)


def test_findings_in_the_log_are_counted() -> None:
    assert FIGURES["log_findings"](chain_record(log_findings=("seal 3 does not match",))) == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("drift_error_mm", "no ramp"),
        ("lease_excess_ms", "not killed"),
        ("stale_excess_ms", "not stopped"),
        ("replay_differences", "not replayed"),
        ("engine_p99_ms", "no time of the stage engine"),
    ],
)
def test_what_the_session_does_not_show_is_not_measured(name: str, why: str) -> None:
    with pytest.raises(NotMeasuredError, match=why):
        FIGURES[name](chain_record())


def test_a_session_without_a_tracked_frame_measures_no_position() -> None:
    record = chain_record()
    record.seen_mm[:] = np.nan
    for name in ("step_error_mm", "sine_error_mm", "sine_phase_ms"):
        with pytest.raises(NotMeasuredError, match="0 frames were tracked"):
            FIGURES[name](record)


def test_a_beam_that_never_came_has_no_latency() -> None:
    for name in ("beam_off_ms", "beam_on_chain_ms", "beam_outside_ms", "beam_distance_mm"):
        with pytest.raises(NotMeasuredError, match="beam"):
            FIGURES[name](chain_record(beam=()))


def test_a_motion_is_its_parts_one_after_another() -> None:
    motion = make_motion((Rest(seconds=2), Steps(positions_mm=(5, -5)), Sine(peak_mm=-8, period_s=4, cycles=1)))
    assert motion.duration_s == pytest.approx(8)
    assert [window.kind for window in motion.windows] == ["rest", "plateau", "plateau", "sine"]
    at = dict(zip(motion.t_s.round(3).tolist(), motion.si_mm.tolist(), strict=True))
    assert (at[1.0], at[2.9], at[3.9], at[6.0]) == (0, 5, -5, pytest.approx(-8))


def test_plateaus_are_measured_only_where_the_phantom_stands_still() -> None:
    motion = make_motion((Rest(seconds=2), Steps(positions_mm=(5, 20, -5))))
    for window in motion.windows[1:]:
        inside = (motion.t_s >= window.begin_s) & (motion.t_s < window.end_s)
        assert np.ptp(motion.si_mm[inside]) == 0
