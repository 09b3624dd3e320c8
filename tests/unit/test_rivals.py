"""The best two places of a map of scores against a search of all of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.tracking.rivals import best_two


@given(seed=st.integers(0, 10_000), apart=st.floats(0.5, 30.0), cost=st.floats(0.0, 0.1))
@settings(max_examples=60, deadline=None)
def test_the_best_and_the_best_apart_are_those_of_a_full_map(seed, apart, cost):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, (rng.integers(3, 24), 32)).astype(np.float32)[:, : rng.integers(3, 32)]
    row, column, step = 4.3, 7.9, 2.0
    rows, columns = np.indices(scores.shape)
    distance = step * np.hypot(rows - row, columns - column)
    doubt = [doubted(score) for score in scores.ravel().tolist()]
    preference = scores - cost * np.maximum(distance - 3.0, 0.0) * np.reshape(doubt, scores.shape)
    best = np.unravel_index(np.argmax(preference), scores.shape)
    far = np.hypot(rows - best[0], columns - best[1]) * step > apart
    r, c, value, r2, _, rival = best_two(scores, row, column, step, 3.0, cost, apart)
    assert (r, c) == best
    assert np.isclose(value, preference.max())
    assert (r2 >= 0) == far.any()
    if far.any():
        assert np.isclose(rival, preference[far].max())


def doubted(score):
    """Slope of log(1 - r^2) at 0.9 over that at the score, at least 1; as at 0.2 below that."""
    slope = [2 * r / (1 - r * r) for r in (0.9, max(score, 0.2))]
    return max(slope[0] / slope[1], 1.0)
