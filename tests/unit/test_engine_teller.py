"""What the engine's process says, and the status that it gives an operator."""

from __future__ import annotations

import logging

import pytest

from cinegate.verbs.control import status_table
from gating.messages import (
    EngineState,
    Event,
    GateCommand,
    GateState,
    Heartbeat,
    Pacing,
    PeerStatus,
    SourceKind,
    StageStamps,
)
from gating.service.presence import SILENT_NS, Presence
from gating.service.telling import EngineTeller
from tests.factories import beam_status

MS_NS = 1_000_000


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that is told."""
    caplog.set_level(logging.DEBUG, "cinegate.engine")
    return caplog


def command(state: str = "hold", reason: str = "out_of_window", detail: str = "", frame: int = 3) -> GateCommand:
    return GateCommand(
        session_id="s1",
        engine_id="e1",
        command_sequence=frame,
        state=GateState(state),
        reason=reason,
        detail=detail,
        engine_state=EngineState.ARMED,
        frame_sequence=frame,
        renewal=False,
        lease_ms=0,
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(),
    )


def event(severity: str, text: str, code: str = "host") -> Event:
    return Event(session_id="s1", role="engine", severity=severity, code=code, text=text, at_ns=0)  # type: ignore[arg-type]


def test_a_change_of_the_gate_is_told_once_with_its_reason(told: pytest.LogCaptureFixture) -> None:
    teller = EngineTeller()
    for each in (command(), command(), command("on", "in_window", frame=4), command("on", "in_window", frame=5)):
        teller.sent(each)
    assert told.messages == [
        "gate hold at frame 3: out_of_window, too much of the target is outside its boundary (engine armed)",
        "gate on at frame 4: in_window, the target is inside its window (engine armed)",
    ]


def test_another_detail_of_the_same_reason_is_routine(told: pytest.LogCaptureFixture) -> None:
    teller = EngineTeller()
    teller.sent(command(detail="12 %"))
    teller.sent(command(detail="13 %"))
    assert [record.levelname for record in told.records] == ["INFO", "DEBUG"]


def test_events_are_told_by_their_severity(told: pytest.LogCaptureFixture) -> None:
    teller = EngineTeller()
    for severity in ("info", "warning", "fault"):
        teller.tell(event(severity, f"a sentence with {severity}"))
    teller.tell(event("info", "GTV: template accepted", "template_accepted"))
    assert [record.levelname for record in told.records] == ["INFO", "WARNING", "ERROR", "DEBUG"]


def test_peers_are_told_as_they_come_and_fall_silent() -> None:
    presence = Presence("source", "recorder")
    assert not list(presence.changes(0))
    presence.heard_ns["source"] = 5
    assert list(presence.changes(10)) == ["source is there"]
    assert not list(presence.changes(5 + SILENT_NS))
    assert list(presence.changes(6 + SILENT_NS)) == ["source has been silent for 1 s"]
    assert not list(presence.changes(7 + SILENT_NS))


def test_the_status_has_gate_beam_peers_and_faults() -> None:
    teller = EngineTeller()
    teller.sent(command("on", "in_window", frame=7))
    teller.tell(event("warning", "an older fault"))
    teller.tell(event("fault", "a newer fault"))
    teller.heard_ns["source"] = 0
    teller.heard(beam_status(commanded=GateState.ON, confirmed=GateState.HOLD, reason="commanded_on"), 40 * MS_NS)
    status = teller.status({"decided": 8}, 50 * MS_NS)
    assert status is not None
    assert (status.frame_sequence, status.gate, status.reason) == (7, GateState.ON, "in_window")
    assert (status.commanded, status.confirmed) == (GateState.ON, GateState.HOLD)
    assert status.peers == [
        PeerStatus(peer="source", heard_ms_ago=50.0),
        PeerStatus(peer="beam interface", heard_ms_ago=10.0, state="commanded_on"),
        PeerStatus(peer="recorder", heard_ms_ago=None),
    ]
    assert status.faults == ["a newer fault", "an older fault"]
    assert status.counters == {"decided": 8}


def test_what_was_never_heard_is_unknown_in_the_status() -> None:
    teller = EngineTeller()
    assert teller.status({}, 0) is None
    teller.sent(command())
    status = teller.status({}, 0)
    assert status is not None
    assert (status.commanded, status.confirmed, status.faults) == (None, None, [])
    assert status.source_kind is None
    assert next(str(cell) for cell in status_table(status).columns[1].cells) == "3"


def test_the_status_has_what_the_recorder_says_of_itself() -> None:
    teller = EngineTeller()
    teller.sent(command())
    teller.heard(Heartbeat(session_id="s1", role="recorder", process_id=1, state="failed", sent_ns=0), 0)
    status = teller.status({}, 0)
    assert status is not None
    assert [peer.state for peer in status.peers] == ["", "", "failed"]
