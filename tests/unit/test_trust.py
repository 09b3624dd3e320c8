"""A doubted target is trusted again after several frames of full confidence in a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gating.tracking.trust import CONFIRMING_FRAMES, CONFIRMING_FRAMES_NEAR, REACQUIRE_MM, Trust

LIMIT, SPACING_MM = 0.8, 2.0
HERE = (50.0, 60.0)
FAR = (50.0 + (REACQUIRE_MM + 1.0) / SPACING_MM, 60.0)


def believed(trust: Trust, *confidences: float, at: tuple[float, float] = HERE) -> list[float]:
    return [trust.believed(confidence, at, 0.0) for confidence in confidences]


def doubted() -> Trust:
    trust = Trust(HERE, SPACING_MM, LIMIT)
    trust.believed(0.1, HERE, 0.0)
    return trust


def test_a_target_never_doubted_keeps_its_confidence() -> None:
    assert believed(Trust(HERE, SPACING_MM, LIMIT), 0.9, 0.99, 0.85) == [0.9, 0.99, 0.85]


def test_a_doubtful_frame_is_reported_with_its_own_confidence() -> None:
    assert believed(Trust(HERE, SPACING_MM, LIMIT), 0.9, 0.3) == [0.9, 0.3]


@pytest.mark.parametrize(("at", "frames"), [(HERE, CONFIRMING_FRAMES_NEAR), (FAR, CONFIRMING_FRAMES)])
def test_after_doubt_a_target_found_far_away_needs_more_frames(at: tuple[float, float], frames: int) -> None:
    permitted = [confidence >= LIMIT for confidence in believed(doubted(), *[0.99] * frames, at=at)]
    assert permitted == [False] * (frames - 1) + [True]


def test_what_counts_as_far_grows_with_quiet_breathing() -> None:
    trust = doubted()
    assert [trust.believed(0.99, FAR, 2.0) >= LIMIT for _ in range(2)] == [False, True]


def test_the_reason_for_doubt_is_given_with_the_frames_so_far() -> None:
    trust = doubted()
    assert trust.reservation() == ""
    trust.believed(0.99, FAR, 0.0)
    assert trust.reservation() == "found again in 1 frames after doubt, not yet trusted"


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=40))
def test_no_frame_right_after_a_doubtful_one_permits_beam(confidences: list[float]) -> None:
    said = believed(Trust(HERE, SPACING_MM, LIMIT), *confidences)
    for before, now, permitted in zip(confidences, confidences[1:], said[1:], strict=False):
        assert not (permitted >= LIMIT) or (before >= LIMIT and now >= LIMIT)


@given(st.lists(st.floats(0, 1), max_size=40))
def test_confidence_is_never_raised(confidences: list[float]) -> None:
    said = believed(Trust(HERE, SPACING_MM, LIMIT), *confidences)
    assert all(after <= before for after, before in zip(said, confidences, strict=True))
