"""The live table of `cinegate run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.text import Text

from cinegate.settings import load_config
from cinegate.verbs.run import Screen, breath_hold_guide
from gating.analysis.replay_tracking import replay_outcomes, track_motion
from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.messages import ARRIVAL_TIME_MEANS, StampMeaning
from gating.targets.spec import TargetSpec
from tests.engine_bench import BOX, CONFIG
from tests.factories import stream


def test_it_flags_a_stream_of_arrival_times() -> None:
    engine = Engine(CONFIG, [TargetSpec("target", BOX)], lambda: None, ManualClock(), "s1", "e1")
    (_, event) = engine.open_stream(stream(acquired_meaning=StampMeaning.ARRIVAL))
    screen = Screen("cine", 10)
    screen.hear(event)
    assert ("stamps", Text(ARRIVAL_TIME_MEANS, style="red")) in screen.rows()


def test_it_says_how_long_a_breath_is_held_and_may_be() -> None:
    config = load_config(Path("preset:breath_hold"))
    screen = Screen("held", 100, guide=breath_hold_guide(config))
    t = np.arange(0, 12, 0.2)
    followed = track_motion(t, np.zeros((len(t), 3)))
    for outcome in replay_outcomes(followed, config):
        for message in (outcome.command, *outcome.messages):
            screen.hear(message)
    assert ("breath-hold", "held for 12 s, 13 s left") in screen.rows()
