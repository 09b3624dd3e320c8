"""The bundled sessions decide today as they did when their golden decisions were accepted."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from gating.analysis.stretches import Change
from gating.settings.config import Config, GatingSettings
from replay_data import session_names
from tests.replay.golden import commands, differences, read


@pytest.mark.parametrize("name", session_names())
def test_a_bundled_session_decides_as_accepted(name):
    now = list(commands(name))
    assert differences(name, [command for command, _ in now]) == []
    found = [(estimate.x_px, estimate.y_px) for _, estimate in now]
    np.testing.assert_allclose(found, [g[1:3] for g in read(name)], atol=0.02, equal_nan=True)


def test_a_change_that_permits_beam_where_it_was_held_is_found_first():
    looser = Config(gating=replace(GatingSettings(), max_out_fraction=0.2))
    found = differences("breath_hold", [command for command, _ in commands("breath_hold", looser)])
    assert found[0].change is Change.HOLD_TO_ON
    assert found[0].logged_reason == "out_of_window"
