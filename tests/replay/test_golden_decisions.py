"""The bundled sessions decide today as they did when their golden decisions were accepted."""

from __future__ import annotations

import numpy as np
import pytest

from replay_data import session_names
from tests.replay.golden import decisions, read


@pytest.mark.parametrize("name", session_names())
def test_a_bundled_session_decides_as_accepted(name):
    golden, now = read(name), decisions(name)
    differing = [g[0] for g, n in zip(golden, now, strict=True) if g[3:] != n[3:]]
    assert differing == []
    np.testing.assert_allclose([n[1:3] for n in now], [g[1:3] for g in golden], atol=0.02, equal_nan=True)
