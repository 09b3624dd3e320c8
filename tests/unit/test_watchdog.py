"""The lease watchdog: beam on only inside an unexpired lease of a newer command of the pinned engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drivers.beam.watchdog import QUIET_NS, BeamReason, LeaseWatchdog
from gating.clocks.suspension import SuspensionWatch
from gating.messages import EngineState, GateCommand, GateState, Pacing, SourceKind, StageStamps

MS = 1_000_000
LEASE_MS = 100.0


def command(sequence: int, state: GateState = GateState.ON, **changes: Any) -> GateCommand:
    fields: dict[str, Any] = {
        "session_id": "s1",
        "engine_id": "e1",
        "command_sequence": sequence,
        "state": state,
        "reason": "in_window" if state is GateState.ON else "out_of_window",
        "engine_state": EngineState.ARMED,
        "frame_sequence": sequence,
        "renewal": False,
        "lease_ms": LEASE_MS if state is GateState.ON else 0.0,
        "source_kind": SourceKind.LIVE,
        "pacing": Pacing.REAL_TIME,
        "stamps": StageStamps(),
    }
    return GateCommand(**(fields | changes))


@pytest.fixture
def watchdog() -> LeaseWatchdog:
    return engaged(LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False))


def engaged(watchdog: LeaseWatchdog) -> LeaseWatchdog:
    """Let the engine `e1` begin with a hold, long ago."""
    watchdog.receive(command(0, GateState.HOLD), -10 * QUIET_NS)
    return watchdog


def state_at(watchdog: LeaseWatchdog, now_ms: float) -> tuple[GateState, BeamReason]:
    permission = watchdog.permission(round(now_ms * MS))
    return permission.state, permission.reason


def test_is_held_before_the_first_command() -> None:
    watchdog = LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.STARTING)
    assert watchdog.deadline_ns is None


def test_a_lease_counts_from_receipt_and_ends_by_itself(watchdog: LeaseWatchdog) -> None:
    assert watchdog.receive(command(1), 1000 * MS)
    assert state_at(watchdog, 1000) == (GateState.ON, BeamReason.COMMANDED_ON)
    assert watchdog.deadline_ns == 1100 * MS
    assert state_at(watchdog, 1099.999)[0] is GateState.ON
    assert state_at(watchdog, 1100) == (GateState.HOLD, BeamReason.LEASE_EXPIRED)


def test_a_renewal_prolongs_a_running_lease(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    watchdog.receive(command(2, renewal=True), 90 * MS)
    assert state_at(watchdog, 150)[0] is GateState.ON


def test_a_renewal_never_starts_a_lease(watchdog: LeaseWatchdog) -> None:
    assert watchdog.receive(command(1, renewal=True), 0)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.COMMANDED_HOLD)


def test_an_expired_lease_restarts_only_with_a_newly_announced_frame(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    watchdog.receive(command(2, renewal=True), 101 * MS)
    assert state_at(watchdog, 101) == (GateState.HOLD, BeamReason.LEASE_EXPIRED)
    watchdog.receive(command(3), 102 * MS)
    assert state_at(watchdog, 102)[0] is GateState.ON


def test_a_hold_ends_the_lease_at_once_with_its_own_reason(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    watchdog.receive(command(2, GateState.HOLD, detail="target 14 % out"), MS)
    permission = watchdog.permission(MS)
    assert (permission.state, permission.reason) == (GateState.HOLD, BeamReason.COMMANDED_HOLD)
    assert permission.detail == "out_of_window: target 14 % out"


def test_a_longer_lease_is_cut_to_the_configured_one(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1, lease_ms=1000.0), 0)
    assert watchdog.deadline_ns == 100 * MS


@pytest.mark.parametrize("lease_ms", [0.0, -1.0, float("nan")])
def test_a_lease_of_zero_permits_nothing(watchdog: LeaseWatchdog, lease_ms: float) -> None:
    watchdog.receive(command(1, lease_ms=lease_ms), 0)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.COMMANDED_HOLD)


@pytest.mark.parametrize(
    ("offender", "reason"),
    [
        (command(2, session_id="s2"), BeamReason.OTHER_SESSION),
        (command(1), BeamReason.OLD_COMMAND),
        (command(0, GateState.HOLD), BeamReason.OLD_COMMAND),
        (command(9, engine_id="e2"), BeamReason.TWO_ENGINES),
        (command(9, GateState.HOLD, engine_id="e2"), BeamReason.TWO_ENGINES),
    ],
)
def test_an_offence_holds_until_a_second_has_passed_without_another(
    watchdog: LeaseWatchdog, offender: GateCommand, reason: BeamReason
) -> None:
    watchdog.receive(command(1), 0)
    assert not watchdog.receive(offender, 10 * MS)
    assert state_at(watchdog, 10) == (GateState.HOLD, reason)
    assert watchdog.receive(command(5), 20 * MS)
    assert state_at(watchdog, 20) == (GateState.HOLD, reason)
    watchdog.receive(command(6), 1010 * MS)
    assert state_at(watchdog, 1010)[0] is GateState.ON


def test_an_unreadable_message_holds_with_its_sentence(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    watchdog.refuse("header is 9 bytes", MS)
    permission = watchdog.permission(MS)
    assert (permission.reason, permission.detail) == (BeamReason.MESSAGE_REFUSED, "header is 9 bytes")


def test_a_silent_engine_is_succeeded_only_by_one_that_begins_with_a_hold(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(50), 0)
    assert not watchdog.receive(command(1, engine_id="e2"), 1001 * MS)
    assert state_at(watchdog, 1001)[1] is BeamReason.TWO_ENGINES
    assert watchdog.receive(command(2, GateState.HOLD, engine_id="e2"), 1002 * MS)
    assert watchdog.receive(command(3, engine_id="e2"), 2002 * MS)
    assert state_at(watchdog, 2002)[0] is GateState.ON
    assert not watchdog.receive(command(51), 2003 * MS)


@pytest.mark.parametrize("kind", [SourceKind.REPLAY, SourceKind.PHANTOM])
def test_hardware_never_follows_a_simulated_source(watchdog: LeaseWatchdog, kind: SourceKind) -> None:
    watchdog.receive(command(1, source_kind=kind), 0)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.SIMULATED_SOURCE)


def test_a_simulated_source_may_be_allowed_explicitly() -> None:
    watchdog = engaged(LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=True))
    watchdog.receive(command(1, source_kind=SourceKind.REPLAY), 0)
    assert state_at(watchdog, 0)[0] is GateState.ON


def test_a_latch_outlasts_every_command_and_keeps_its_first_reason(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    watchdog.latch(BeamReason.READ_BACK_MISMATCH, "line stuck")
    watchdog.latch(BeamReason.SWITCH_FAULT, "later")
    watchdog.receive(command(2), MS)
    assert state_at(watchdog, 1) == (GateState.HOLD, BeamReason.READ_BACK_MISMATCH)
    assert watchdog.latched


def test_a_clock_that_runs_backward_holds(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 50 * MS)
    assert state_at(watchdog, 49)[0] is GateState.HOLD


def test_a_lease_ends_where_the_host_was_suspended() -> None:
    asleep_ns = 5 * MS
    suspensions = SuspensionWatch(lambda: asleep_ns)
    watchdog = LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False, suspensions=suspensions)
    engaged(watchdog).note_awake(0)
    watchdog.receive(command(1), 0)
    assert state_at(watchdog, 0)[0] is GateState.ON
    asleep_ns += 60_000 * MS
    watchdog.note_awake(MS)
    permission = watchdog.permission(MS)
    assert (permission.state, permission.detail) == (GateState.HOLD, "this host was suspended for 60000 ms")
    watchdog.receive(command(2), 2 * MS)
    assert state_at(watchdog, 2)[0] is GateState.HOLD


def test_a_process_that_froze_ignores_queued_commands(watchdog: LeaseWatchdog) -> None:
    watchdog.note_awake(0)
    watchdog.receive(command(1), 0)
    watchdog.note_awake(500 * MS)
    watchdog.receive(command(2), 500 * MS)
    watchdog.note_awake(501 * MS)
    watchdog.receive(command(3), 501 * MS)
    permission = watchdog.permission(501 * MS)
    assert (permission.state, permission.reason) == (GateState.HOLD, BeamReason.LEASE_EXPIRED)
    assert permission.detail == "the beam interface itself stood still for 500 ms"
    watchdog.receive(command(4), 1500 * MS)
    assert state_at(watchdog, 1500)[0] is GateState.ON


class AnyInput(RuleBasedStateMachine):
    """Any input at any time: a plain model says which commands may have opened or prolonged the beam."""

    def __init__(self) -> None:
        super().__init__()
        self.watchdog = LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False)
        self.now_ns = 0
        self.accepted: list[tuple[int, GateCommand]] = []
        self.bad_ns = -QUIET_NS
        self.latched = False

    @rule(milliseconds=st.one_of(st.floats(0, 150), st.floats(900, 2200)))
    def wait(self, milliseconds: float) -> None:
        self.now_ns += round(milliseconds * MS)

    @rule(
        step=st.integers(-2, 3),
        state=st.sampled_from(GateState),
        engine=st.sampled_from(["e1", "e1", "e1", "e2"]),
        session=st.sampled_from(["s1", "s1", "s1", "s2"]),
        renewal=st.booleans(),
        kind=st.sampled_from([SourceKind.LIVE, SourceKind.LIVE, SourceKind.REPLAY]),
        lease_ms=st.sampled_from([100.0, 100.0, 20.0, 1000.0, 0.0, float("nan"), float("inf")]),
    )
    def hear(
        self, step: int, state: GateState, engine: str, session: str, renewal: bool, kind: SourceKind, lease_ms: float
    ) -> None:
        last = self.accepted[-1] if self.accepted else None
        sequence = max(0, (last[1].command_sequence if last else 0) + step)
        heard = command(
            sequence,
            state,
            engine_id=engine,
            session_id=session,
            renewal=renewal,
            source_kind=kind,
            lease_ms=lease_ms,
        )
        succeeds = last is not None and engine != last[1].engine_id
        good = session == "s1" and (
            (last is None and state is GateState.HOLD)
            or (last is not None and not succeeds and sequence > last[1].command_sequence)
            or (succeeds and self.now_ns - last[0] >= QUIET_NS and state is GateState.HOLD)
        )
        assert self.watchdog.receive(heard, self.now_ns) == good
        if good:
            self.accepted.append((self.now_ns, heard))
        else:
            self.bad_ns = self.now_ns

    @rule()
    def hear_garbage(self) -> None:
        self.watchdog.refuse("garbage", self.now_ns)
        self.bad_ns = self.now_ns

    @rule(often=st.integers(0, 9))
    def fault(self, often: int) -> None:
        if often == 0:
            self.watchdog.latch(BeamReason.SWITCH_FAULT, "fault")
            self.latched = True

    @invariant()
    def beam_on_needs_an_unexpired_lease_of_the_newest_command(self) -> None:
        if self.watchdog.permission(self.now_ns).state is GateState.HOLD:
            return
        at_ns, newest = self.accepted[-1]
        assert newest.state is GateState.ON
        assert newest.source_kind is SourceKind.LIVE
        assert self.now_ns - at_ns < min(newest.lease_ms, LEASE_MS) * MS
        assert self.now_ns - self.bad_ns >= QUIET_NS or self.bad_ns < 0
        assert not self.latched

    @invariant()
    def beam_on_goes_back_without_a_gap_to_an_announced_frame(self) -> None:
        if self.watchdog.permission(self.now_ns).state is GateState.HOLD:
            return
        until_ns = self.now_ns
        for at_ns, earlier in reversed(self.accepted):
            assert earlier.state is GateState.ON
            assert until_ns - at_ns < min(earlier.lease_ms, LEASE_MS) * MS
            if not earlier.renewal:
                return
            until_ns = at_ns
        raise AssertionError("no announcing command at the root of the lease")


TestAnyInput = AnyInput.TestCase
TestAnyInput.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def sent_at(sequence: int, sent_ms: float, **changes: Any) -> GateCommand:
    return command(sequence, stamps=StageStamps(sent_ns=round(sent_ms * MS)), **changes)


def test_a_command_slower_than_others_by_a_lease_gives_no_beam(watchdog: LeaseWatchdog) -> None:
    """The two clocks need not agree: here the sender's is far ahead."""
    assert watchdog.receive(sent_at(1, 900_000), 1000 * MS)
    assert watchdog.receive(sent_at(2, 900_050), 1099 * MS)
    assert not watchdog.receive(sent_at(3, 900_100), 1201 * MS)
    assert state_at(watchdog, 1201) == (GateState.HOLD, BeamReason.OLD_COMMAND)


def test_a_late_hold_is_obeyed(watchdog: LeaseWatchdog) -> None:
    assert watchdog.receive(sent_at(1, 1000), 1000 * MS)
    assert watchdog.receive(sent_at(2, 1001, state=GateState.HOLD), 1090 * MS)
    assert state_at(watchdog, 1090) == (GateState.HOLD, BeamReason.COMMANDED_HOLD)


def test_clocks_that_drift_apart_are_not_taken_for_delay(watchdog: LeaseWatchdog) -> None:
    for number in range(1, 2000):
        now_ms = number * 500.0
        assert watchdog.receive(sent_at(number, now_ms * (1 - 2e-4)), round(now_ms * MS))


def test_one_stamp_from_the_future_does_not_make_later_commands_late(watchdog: LeaseWatchdog) -> None:
    for sequence in range(1, 4):
        watchdog.receive(sent_at(sequence, 15 * sequence), (15 * sequence + 1) * MS)
    watchdog.receive(sent_at(4, 1_000_000), 61 * MS)
    for sequence in range(5, 8):
        assert watchdog.receive(sent_at(sequence, 15 * sequence), (15 * sequence + 1) * MS)
        assert state_at(watchdog, 15 * sequence + 1)[0] is GateState.ON


def test_later_commands_are_measured_against_a_faster_path(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(sent_at(1, 0), 500 * MS)
    for sequence in (2, 3):
        watchdog.receive(sent_at(sequence, 500 + sequence), (502 + sequence) * MS)
    assert not watchdog.receive(sent_at(4, 510), 650 * MS)
    assert state_at(watchdog, 650) == (GateState.HOLD, BeamReason.OLD_COMMAND)


def test_one_damaged_number_does_not_make_later_commands_old(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    assert not watchdog.receive(command(2**40), 15 * MS)
    assert state_at(watchdog, 15) == (GateState.HOLD, BeamReason.MESSAGE_REFUSED)
    assert watchdog.receive(command(3), 1100 * MS)
    assert state_at(watchdog, 1100)[0] is GateState.ON


def test_an_outage_may_lose_as_many_commands_as_an_engine_can_send(watchdog: LeaseWatchdog) -> None:
    watchdog.receive(command(1), 0)
    assert watchdog.receive(command(60_000), 60_000 * MS)
    assert state_at(watchdog, 60_000)[0] is GateState.ON


def test_the_first_engine_must_begin_with_a_hold() -> None:
    watchdog = LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False)
    assert not watchdog.receive(command(1), 0)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.OLD_COMMAND)
    assert watchdog.receive(command(2, GateState.HOLD), QUIET_NS + 1)
    assert watchdog.receive(command(3), QUIET_NS + 2 * MS)
    assert state_at(watchdog, QUIET_NS / MS + 3)[0] is GateState.ON


@pytest.mark.parametrize("interface_id", [pytest.param("", id="none"), pytest.param("b0", id="an earlier one")])
def test_a_beam_on_for_another_beam_interface_is_refused(interface_id: str) -> None:
    watchdog = LeaseWatchdog("s1", max_lease_ms=LEASE_MS, allow_simulated=False, interface_id="b1")
    engaged(watchdog)
    assert not watchdog.receive(command(1, interface_id=interface_id), 0)
    assert state_at(watchdog, 0) == (GateState.HOLD, BeamReason.OLD_COMMAND)


def test_what_a_command_came_late_is_taken_off_its_lease(watchdog: LeaseWatchdog) -> None:
    for number in range(1, 4):
        sent_ns = number * 15 * MS
        watchdog.receive(command(number, stamps=StageStamps(sent_ns=sent_ns)), sent_ns + 2 * MS)
    sent_ns = 100 * MS
    watchdog.receive(command(4, stamps=StageStamps(sent_ns=sent_ns)), sent_ns + 62 * MS)
    assert watchdog.deadline_ns == pytest.approx(sent_ns + 102 * MS, abs=MS)
