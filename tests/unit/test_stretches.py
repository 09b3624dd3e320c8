"""Decisions of a log under other settings: where they differ, in stretches, the dangerous ones first."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.analysis.log_check import check_log
from gating.analysis.stretches import Change, StretchFinder, ranked
from gating.analysis.verification import verify_session
from gating.messages import EngineState, GateCommand, GateState, Pacing, SourceKind, StageStamps
from gating.settings.config import Margins
from tests.logged_engine import CONFIG
from tests.whole_logs import write_log

register_verbs()
WIDE = Margins(**dict.fromkeys(Margins.__struct_fields__, 12.0))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Frames 20 to 29 lie away."""
    return write_log(tmp_path_factory.mktemp("log") / "away.mcap")


def command(number, state, reason, engine_id="e1"):
    at_ns = 1_000_000_000 + 100_000_000 * number
    return GateCommand(
        session_id="s1",
        engine_id=engine_id,
        command_sequence=number,
        state=state,
        reason=reason,
        engine_state=EngineState.ARMED,
        frame_sequence=number,
        renewal=False,
        lease_ms=0.0,
        source_kind=SourceKind.REPLAY,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(**dict.fromkeys(StageStamps.__struct_fields__, at_ns)),
    )


HELD, ON = (GateState.HOLD, "out_of_window"), (GateState.ON, "in_window")
SETTLING = (GateState.HOLD, "settling")


def stretches(*pairs):
    finder = StretchFinder()
    for number, (logged, replayed) in enumerate(pairs):
        finder.add(command(number, *logged), command(number, *replayed))
    return finder.found


def test_the_same_decisions_give_no_stretch(log):
    assert verify_session(log).stretches == []


def test_a_wider_margin_permits_beam_where_the_log_holds(log):
    wide = replace(CONFIG, gating=replace(CONFIG.gating, margins=WIDE))
    away, *_ = verify_session(log, wide).stretches
    assert (away.change, away.first_frame, away.last_frame, away.commands) == (Change.HOLD_TO_ON, 20, 29, 10)
    assert (away.logged_reason, away.replayed_reason) == ("out_of_window", "in_window")
    assert away.duration_s == pytest.approx(9 * 0.125)


def test_a_stretch_ends_where_decisions_agree_or_differ_otherwise():
    found = stretches((HELD, ON), (HELD, ON), (ON, ON), (HELD, ON), (SETTLING, ON), (ON, HELD))
    assert [(one.first_command, one.commands, one.logged_reason) for one in found] == [
        (0, 2, "out_of_window"),
        (3, 1, "out_of_window"),
        (4, 1, "settling"),
        (5, 1, "in_window"),
    ]


def test_hold_to_on_ranks_first_then_the_longest():
    found = ranked(stretches((ON, HELD), (ON, HELD), (HELD, SETTLING), (HELD, ON), (ON, ON), (ON, HELD)))
    assert [(one.change, one.commands) for one in found] == [
        (Change.HOLD_TO_ON, 1),
        (Change.ON_TO_HOLD, 2),
        (Change.ON_TO_HOLD, 1),
        (Change.REASON, 1),
    ]


def test_the_verb_prints_what_the_check_of_a_log_found(log):
    told = CliRunner().invoke(app, ["verify", str(log), "--json"])
    checked = check_log(log)
    checked.replay = verify_session(log)
    assert json.loads(told.stdout) == {"log": str(log)} | json.loads(json.dumps(checked.document()))
    assert told.exit_code == 0
