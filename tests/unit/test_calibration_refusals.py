"""Frames that a veto refused, counted by veto."""

from __future__ import annotations

import numpy as np

from bench.calibrate_confidence import Observed, refusals
from gating.tracking.confidence import FEATURES


def seen(vetoes: list[str], good: list[bool], wrong: list[bool]) -> Observed:
    frames = len(vetoes)
    return Observed(
        "organ",
        "person",
        np.zeros((frames, len(FEATURES))),
        np.zeros(frames),
        np.array(good),
        np.array(wrong),
        np.array(vetoes, np.str_),
    )


def test_refusals_count_right_and_wrong_frames_by_veto() -> None:
    one = seen(["edge", "", "rival"], [True, True, False], [False, False, True])
    other = seen(["rival", "rival"], [True, False], [False, False])
    assert refusals([one, other]).splitlines()[2:] == ["| rival | 3 | 1 | 1 |", "| edge | 1 | 1 | 0 |"]


def test_refusals_of_frames_without_a_veto_are_none() -> None:
    assert len(refusals([seen(["", ""], [True, False], [False, True])]).splitlines()) == 2
