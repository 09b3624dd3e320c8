"""The live table of `cinegate run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.text import Text

from cinegate.settings import load_config
from cinegate.verbs.screen import Screen, breath_hold_guide
from gating.analysis.replay_tracking import replay_outcomes, track_motion
from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.messages import (
    ARRIVAL_TIME_MEANS,
    EngineState,
    GateCommand,
    GateState,
    Pacing,
    SourceKind,
    StageStamps,
    StampMeaning,
)
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


def decided(number: int) -> GateCommand:
    """The command on a frame of a stream with one frame a second."""
    return GateCommand(
        session_id="s1",
        engine_id="e1",
        command_sequence=number,
        state=GateState.HOLD,
        reason="settling",
        engine_state=EngineState.READY,
        frame_sequence=number,
        renewal=False,
        lease_ms=0.0,
        source_kind=SourceKind.REPLAY,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(published_ns=10**9 * (1 + number)),
    )


def test_it_says_how_long_the_recording_takes_still() -> None:
    screen = Screen("cine", 101)
    for number in (0, 20):
        screen.hear(decided(number))
    assert ("frame", "0 of 101, 80 s left") in screen.rows()


def test_it_knows_no_end_of_a_live_session() -> None:
    screen = Screen("scanner", None)
    screen.hear(decided(20))
    assert ("frame", "0") in screen.rows()
