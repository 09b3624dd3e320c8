"""Gating on an MR-linac beside an ITV on a conventional linac: which errors and which motion belong to which arm."""

from __future__ import annotations

import numpy as np
import pytest

from gating.analysis.four_d import ten_phases
from gating.analysis.margins import GatedVersusItv, gated_versus_itv
from gating.analysis.replay_tracking import gated_motion, track_motion
from gating.analysis.uncertainty import Uncertainty, default_table, root_sums_mm
from gating.settings.config import Config, GatingSettings, SafetySettings
from gating.settings.rules import CentreRule

CONFIG = Config(
    gating=GatingSettings(resume_good_frames=1, rules=(CentreRule(si_mm=4.0, ap_mm=50, lr_mm=50),)),
    safety=SafetySettings(arm_good_frames=1, max_beam_on_s=3600),
)
WHEN_S = np.arange(0, 80, 0.1)


def along_si(position_mm: np.ndarray) -> np.ndarray:
    return np.stack([0 * position_mm, 0 * position_mm, position_mm], axis=1)


def breathing(amplitude_mm: float = 8.0) -> np.ndarray:
    return amplitude_mm * np.sin(2 * np.pi * WHEN_S / 4)


def compared(position_mm: np.ndarray, *table: Uncertainty) -> GatedVersusItv:
    return gated_versus_itv(gated_motion(track_motion(WHEN_S, along_si(position_mm)), CONFIG), 15.0, table)


def one(**kind) -> Uncertainty:
    return Uncertainty(**{"name": "one", "sd_mm": 2.0, "kind": "systematic", "source": "test"} | kind)


def test_an_error_of_one_arm_leaves_the_other_alone() -> None:
    neither = compared(breathing()).axes[2]
    gated, ungated = (compared(breathing(), one(**{arm: True})).axes[2] for arm in ("gated_only", "ungated_only"))
    assert gated.gated_margin_mm == pytest.approx(neither.gated_margin_mm + 5, abs=0.01)
    assert gated.itv_margin_mm == pytest.approx(neither.itv_margin_mm)
    assert ungated.itv_margin_mm == pytest.approx(neither.itv_margin_mm + 5, abs=0.01)
    assert ungated.gated_margin_mm == pytest.approx(neither.gated_margin_mm)


def test_no_error_of_the_mr_linac_counts_against_the_itv() -> None:
    named = {row.name: row for row in default_table(2.0)}
    assert not any(row.affects("ungated") for name, row in named.items() if "MR" in name)
    assert named["delineation"].affects("gated")
    assert named["delineation"].affects("ungated")
    for arm in ("gated", "ungated"):
        assert any("baseline" in row.name or "set-up" in row.name for row in named.values() if row.affects(arm))


def test_the_sums_of_an_arm_are_roots_of_squares() -> None:
    table = (one(sd_mm=3.0), one(sd_mm=4.0), one(sd_mm=9.0, gated_only=True), one(sd_mm=1.0, kind="random"))
    assert root_sums_mm(table, "ungated") == {"systematic": 5.0, "random": 1.0, "intrafraction": 0.0}


def test_an_error_of_no_arm_is_refused() -> None:
    with pytest.raises(ValueError, match="gated_only and ungated_only"):
        one(gated_only=True, ungated_only=True)


def test_the_itv_is_that_before_the_treatment_not_the_extremes_of_it() -> None:
    """A deep breath during the treatment does not make it longer, and phases average the ends of each breath."""
    deep = breathing() * np.where((WHEN_S > 50) & (WHEN_S < 54), 2.0, 1.0)
    found = compared(deep).axes[2]
    assert found.motion_mm == pytest.approx(32, abs=0.5)
    assert found.itv_motion_mm == pytest.approx(15.3, abs=0.5)
    assert found.beyond_itv_sd_mm > 0.5


def test_a_drift_after_the_planning_counts_against_the_itv() -> None:
    still, drifted = (compared(breathing() + mm * (WHEN_S > 30)).axes[2] for mm in (0.0, 6.0))
    assert drifted.itv_motion_mm == pytest.approx(still.itv_motion_mm, abs=0.2)
    assert drifted.beyond_itv_mm > 1
    assert drifted.itv_margin_mm > still.itv_margin_mm + 1
    assert drifted.baseline_mm == pytest.approx(6, abs=0.3)


def test_ten_phases_average_breaths_that_differ() -> None:
    """Oracle: peaks of 6 and 10 mm average to 8 mm, less the motion within a tenth of a period."""
    position = breathing(1.0) * np.where((WHEN_S // 4) % 2 == 0, 6.0, 10.0)
    found = ten_phases(WHEN_S, along_si(position))
    tenth = np.sin(np.pi / 10) / (np.pi / 10)
    assert np.ptp(found.mean_mm[:, 2]) == pytest.approx(16 * tenth, rel=0.03)
    assert found.breaths >= 18


def test_without_breaths_the_itv_holds_the_whole_range() -> None:
    found = ten_phases(WHEN_S, along_si(np.linspace(0, 5, len(WHEN_S))))
    assert (found.breaths, np.ptp(found.mean_mm[:, 2])) == (0, pytest.approx(5))
