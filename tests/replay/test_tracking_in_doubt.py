"""What the tracker answers while it is in doubt: its best guess, on real frames moved by known amounts."""

import numpy as np
import pytest

from bench.semi_synthetic import make_case
from gating.evaluation.run import run_case
from gating.evaluation.score import centre_errors_mm, predicted_masks, score_case
from gating.tracking.tracker import TrackerSettings

SEED = 31


def outcome(target, scenario):
    run = run_case(make_case(*target.split("/"), scenario, seed=SEED, seconds=15.0), "template", TrackerSettings())
    row, _ = score_case(run, predicted_masks(run))
    return row, centre_errors_mm(run)


@pytest.mark.parametrize("target", ["QN76_1/liver", "KS81_1/kidney"])
def test_a_deformed_target_beats_a_look_alike_once_its_motion_is_undone(shared_data, target):
    row, _ = outcome(target, "deforming")
    assert row["dice_similarity_coefficient"] > 0.95
    assert row["center_distance"] < 1.5
    assert row["confident_and_wrong"] == 0


@pytest.mark.parametrize("target", ["II29_1/small", "QN76_1/parenchyma", "QN76_1/small"])
def test_a_target_in_heavy_noise_is_sought_where_it_was_first(shared_data, target):
    """Found, if not exactly: two frames of such a target correlate with 0.35."""
    row, errors_mm = outcome(target, "noisy")
    assert row["dice_similarity_coefficient"] > 0.85
    assert np.quantile(errors_mm, 0.95) < 5.0
    assert row["confident_and_wrong"] == 0


@pytest.mark.parametrize("scenario", ["low_field", "noisy", "breath_hold"])
def test_a_target_without_texture_of_its_own_is_found_by_its_surroundings(shared_data, scenario):
    row, _ = outcome("KS81_1/parenchyma", scenario)
    assert row["dice_similarity_coefficient"] > 0.85
    assert row["center_distance"] < 4.0
    assert row["confident_and_wrong"] == 0
