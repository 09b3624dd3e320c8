"""Positions for machines that follow: predicted for a stated moment, unknown where no plane shows, valid or bare."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from msgspec.structs import replace

from gating.messages import UNKNOWN_AXES
from gating.settings.config import Config
from gating.settings.positions import PositionSettings
from gating.wire.codec import WireError, decode, encode
from tests.position_bench import CORONAL, INTERVAL_MS, LATENCY_MS, MS, SAGITTAL, PositionBench, breathing

pytestmark = pytest.mark.usefixtures("one_thread")
LEARNED = 150
"""Frames after which breathing is predicted."""


@pytest.fixture(scope="module")
def taught() -> PositionBench:
    bench = PositionBench()
    bench.frames(LEARNED)
    return bench


@pytest.fixture
def learned(taught: PositionBench) -> PositionBench:
    """One of its own, as each test goes on with it."""
    return deepcopy(taught)


@pytest.mark.parametrize("later_ms", [0, 37, 90, 180])
def test_a_position_is_that_of_the_moment_it_names(learned, later_ms):
    position = learned.position(later_ms)
    assert position.predicted_ns == position.sent_ns + 100 * MS
    truth = breathing(position.predicted_ns / 1e9)
    np.testing.assert_allclose(position.predicted_mm[1:], truth[1:], atol=0.4)


def test_an_axis_that_no_plane_shows_is_null_everywhere(learned):
    position = learned.position()
    assert (position.predicted_mm[0], position.measured_mm[0], position.measured_ages_ms[0]) == (None, None, None)
    assert position.covariance_mm2[:3] == (None, None, None)
    assert all(value is not None for value in position.covariance_mm2[3:])
    assert (position.valid, position.reference_mm[0]) == (True, None)


def test_the_measured_age_counts_from_the_acquisition(learned):
    position = learned.position(30)
    assert position.measured_ages_ms[1:] == (LATENCY_MS + 30, LATENCY_MS + 30)
    acquired_s = learned.sequence * INTERVAL_MS / 1e3
    np.testing.assert_allclose(position.measured_mm[1:], breathing(acquired_s)[1:], atol=1e-9)


def test_two_planes_give_all_axes_each_at_its_own_age():
    bench = PositionBench(planes={"sagittal": SAGITTAL, "coronal": CORONAL})
    bench.frames(200)
    position = bench.position()
    np.testing.assert_allclose(position.predicted_mm, breathing(position.predicted_ns / 1e9), atol=0.6)
    assert None not in position.covariance_mm2


def test_a_tilted_plane_shows_neither_axis_that_its_normal_mixes():
    tilted = (-0.5, 3**0.5 / 2, 0.0, 0.0, 0.0, -1.0)
    bench = PositionBench(planes={"oblique": tilted})
    bench.frames(LEARNED)
    position = bench.position()
    assert position.predicted_mm[:2] == (None, None)
    assert position.predicted_mm[2] == pytest.approx(breathing(position.predicted_ns / 1e9)[2], abs=0.4)


def refused(position, reason):
    assert (position.valid, position.reason, position.lease_ms) == (False, reason, 0.0)
    assert position.predicted_mm == position.measured_mm == position.measured_ages_ms == UNKNOWN_AXES
    assert position.covariance_mm2 == (None,) * 6


def test_before_the_uncertainty_is_known_nothing_is_valid():
    bench = PositionBench()
    bench.frames(3)
    refused(bench.position(), "learning")


@pytest.mark.parametrize("reason", ["frozen_image", "stamp_uncertain", "frame_gap", "stream_ended", "two_publishers"])
def test_a_stream_that_cannot_be_trusted_is_not_followed(learned, reason):
    learned.book.hear(learned.command(learned.sequence, reason, renewal=True))
    (position,) = learned.book.positions(learned.now_ns)
    refused(position, reason)


@pytest.mark.parametrize("reason", ["out_of_window", "not_armed", "beam_silent"])
def test_a_target_outside_its_window_is_followed(learned, reason):
    learned.book.hear(learned.command(learned.sequence, reason, renewal=True))
    (position,) = learned.book.positions(learned.now_ns)
    assert position.valid


@pytest.mark.parametrize("changed", [{"status": "lost"}, {"confidence": 0.1}, {"confidence": float("nan")}])
def test_a_target_that_is_not_surely_found_is_not_followed(learned, changed):
    learned.frames(1, **changed)
    refused(learned.position(), "target_not_tracked")


def test_a_silent_engine_ends_the_position_after_a_lease(learned):
    assert learned.position(99, renew=True).valid
    sent_ns = learned.now_ns
    (before,) = learned.book.positions(sent_ns + 100 * MS)
    (after,) = learned.book.positions(sent_ns + 101 * MS)
    assert before.valid
    refused(after, "engine_silent")


def test_an_old_acquisition_ends_the_position_though_the_engine_lives(learned):
    refused(learned.position(500 - LATENCY_MS - 100 + 1), "too_old")


def test_ages_on_another_hosts_clock_are_not_known():
    bench = PositionBench()
    bench.hear_engine("e1", clock="monotonic:other")
    bench.frames(LEARNED)
    refused(bench.position(), "other_clock")


def test_targets_of_one_engine_are_not_moved_by_another(learned):
    learned.book.hear(replace(learned.command(learned.sequence), engine_id="e2"))
    (position,) = learned.book.positions(learned.now_ns)
    refused(position, "other_engine")


def test_an_estimate_that_comes_before_its_command_waits_for_it(learned):
    late = learned.sequence + 1
    learned.now_ns += INTERVAL_MS * MS
    assert not learned.book.hear(learned.estimate(late))
    assert learned.book.hear(learned.command(late))
    (position,) = learned.book.positions(learned.now_ns)
    assert (position.frame_sequence, position.renewal, position.valid) == (late, False, True)


def test_the_first_position_of_a_frame_announces_it(learned):
    learned.frames(1)
    assert [learned.position(later_ms).renewal for later_ms in (0, 20, 40)] == [False, True, True]


def test_a_longer_stated_latency_is_predicted_further_ahead():
    bench = PositionBench(Config(positions=PositionSettings(consumer_latency_ms=250)))
    bench.frames(LEARNED)
    position = bench.position()
    assert position.predicted_ns == position.sent_ns + 250 * MS
    np.testing.assert_allclose(position.predicted_mm[1:], breathing(position.predicted_ns / 1e9)[1:], atol=0.8)


def test_a_position_crosses_the_wire_and_never_as_nan(learned):
    position = learned.position()
    assert decode(encode(position)) == position
    with pytest.raises(WireError, match="TargetPosition"):
        decode(encode(replace(position, predicted_mm=(None, float("nan"), 0.0))))


def test_a_source_clock_that_begins_anew_is_learned_anew(learned):
    """An operator went on after the latch; until a prediction can be judged on the new clock, nothing is followed."""
    elsewhere = np.array([0, 0, 9])
    for number in range(LEARNED):
        truth = breathing((learned.sequence + 1) * INTERVAL_MS / 1e3) + elsewhere
        learned.frames(1, acquired_ns=number * INTERVAL_MS * MS, position_mm=tuple(truth.tolist()))
        position = learned.position()
        if number < 10:
            refused(position, "learning")
        elif position.valid:
            there = breathing(position.predicted_ns / 1e9) + elsewhere
            np.testing.assert_allclose(position.predicted_mm[1:], there[1:], atol=3.0)
    assert position.valid
