"""Scenes at low field whose first half is the preparation: the rest is confident where it was prepared."""

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


def test_a_preparation_makes_low_field_confident_and_no_less_right():
    prepared, alone = judged("KS81", "low_field", 75), judged("KS81", "low_field", 0)
    assert prepared["confident"] > 0.9
    assert alone["confident"] < 0.2
    assert prepared["confident_wrong"] == 0
    assert prepared["outline_mm"] < 1.1 * alone["outline_mm"]


def test_a_prepared_hold_is_found_again_and_an_unprepared_one_doubted():
    prepared = judged("KS81")
    assert prepared["confident"] > 0.5
    assert prepared["outline_p95_mm"] < 3.0
    assert judged("KS81", prepare_frames=0)["confident"] < 0.1


def test_contours_not_surely_carried_make_nothing_confident_and_wrong():
    found = judged("QN76")
    assert found["confident_wrong"] == 0
    assert found["confident"] > 0.2


def test_a_hold_that_was_not_prepared_is_never_confident_and_wrong():
    assert judged("QN76", prepare_frames=20)["confident_wrong"] == 0
