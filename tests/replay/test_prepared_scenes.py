"""Breath-holds at low field, whose first half is the preparation: the rest is confident where it was prepared."""

from __future__ import annotations

import pytest

from bench.truth.judge import Orders, judge_one
from bench.truth.score import Scores, figures
from bench.truth.subjects import Named

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_data")]
HALF = 144


def judged(person: str, scenario: str = "holds_organ_0.35T", prepare_frames: int = HALF) -> dict[str, float]:
    scores = judge_one(Named("scene", scenario, person), Orders(prepare_frames=prepare_frames))[3]
    assert isinstance(scores, Scores)
    return figures(scores)


def test_a_prepared_hold_is_confident_and_right():
    found = judged("KS81")
    assert found["confident"] > 0.8
    assert found["outline_p95_mm"] < 3.0


def test_the_same_hold_is_in_doubt_without_a_preparation():
    assert judged("KS81", prepare_frames=0)["confident"] < 0.1


def test_contours_not_surely_carried_make_nothing_confident_and_wrong():
    found = judged("QN76")
    assert found["confident_wrong"] == 0
    assert found["confident"] > 0.2


def test_a_hold_that_was_not_prepared_is_never_confident_and_wrong():
    assert judged("QN76", prepare_frames=20)["confident_wrong"] == 0
