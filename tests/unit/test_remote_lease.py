"""The lease of a remote beam line: what permits beam, what ends it, and that nothing damaged holds it for good."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.beam.remote_line import LEASE_NS, RemoteLease
from drivers.beam.watchdog import COMMANDS_AT_ONCE, QUIET_NS
from drivers.beam.zeromq_switch import BEGIN, HOLD, MAGIC, MESSAGE, RENEW
from gating.messages import GateState

MS = 1_000_000
PEER, OTHER = b"peer", b"other"


def order(wanted: int, token: int, sequence: int) -> bytes:
    return MESSAGE.pack(MAGIC, wanted, token, sequence)


class Switch:
    """An honest peer: every 10 ms it renews a lease that runs, or begins a new one."""

    def __init__(self, lease: RemoteLease) -> None:
        self.lease, self.sequence, self.now_ns = lease, 0, 0

    def tell(self, *, damage: int = 0) -> None:
        self.now_ns += 10 * MS
        self.sequence += 1
        on = self.lease.state(self.now_ns) is GateState.ON
        self.lease.receive(PEER, order(RENEW if on else BEGIN, self.lease.token, self.sequence ^ damage), self.now_ns)

    @property
    def state(self) -> GateState:
        return self.lease.state(self.now_ns)


@pytest.fixture
def switch() -> Switch:
    switch = Switch(RemoteLease())
    switch.tell()
    assert switch.state is GateState.ON
    return switch


@pytest.mark.parametrize("damage", [1 << bit for bit in (20, 40, 63)])
def test_a_number_that_no_switch_can_have_reached_holds_and_is_reported(switch, damage):
    switch.tell(damage=damage)
    assert switch.state is GateState.HOLD
    assert switch.lease.refused == 1
    assert "it cannot be above" in switch.lease.refusal


@pytest.mark.parametrize("damage", [1 << bit for bit in (20, 40, 63)])
def test_orders_after_a_damaged_number_are_taken_as_before(switch, damage):
    switch.tell(damage=damage)
    switch.tell()
    assert (switch.state, switch.lease.refused) == (GateState.ON, 1)


def test_numbers_may_be_skipped_where_orders_were_lost(switch):
    switch.sequence += COMMANDS_AT_ONCE - 2
    switch.tell()
    assert (switch.state, switch.lease.refused) == (GateState.ON, 0)


def test_a_damaged_first_number_is_forgotten_after_a_second():
    switch = Switch(RemoteLease())
    switch.tell(damage=1 << 50)
    began_ns = switch.now_ns
    while switch.now_ns < began_ns + QUIET_NS - 10 * MS:
        switch.tell()
        assert switch.state is GateState.HOLD
    for _ in range(3):
        switch.tell()
    assert switch.state is GateState.ON


def test_a_successor_after_a_silent_second_needs_the_new_token(switch):
    token, later_ns = switch.lease.token, switch.now_ns + QUIET_NS
    assert switch.lease.receive(OTHER, order(BEGIN, token, 1), later_ns)
    assert switch.lease.state(later_ns) is GateState.HOLD
    switch.lease.receive(OTHER, order(BEGIN, switch.lease.token, 2), later_ns + 1)
    assert switch.lease.state(later_ns + 1) is GateState.ON


@pytest.mark.parametrize(
    ("peer", "sent", "words"),
    [
        pytest.param(PEER, b"garbage", "order has 7 bytes", id="garbage"),
        pytest.param(PEER, MESSAGE.pack(b"cgl1", RENEW, 0, 2), "begins with b'cgl1'", id="magic"),
        pytest.param(PEER, order(7, 0, 2), "order is 7; 0 to 2 are known", id="unknown order"),
        pytest.param(PEER, order(RENEW, 0, 1), "order 1 came after 1", id="repeated number"),
        pytest.param(OTHER, order(BEGIN, 0, 1), "a second peer orders beside the first", id="second peer"),
    ],
)
def test_what_cannot_be_trusted_holds_and_is_counted(switch, peer, sent, words):
    assert not switch.lease.receive(peer, sent, switch.now_ns + MS)
    assert switch.state is GateState.HOLD
    assert switch.lease.refused == 1
    assert words in switch.lease.refusal


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([PEER, OTHER]),
            st.sampled_from([HOLD, RENEW, BEGIN, 9]),
            st.booleans(),
            st.integers(0, 2**64 - 1) | st.integers(0, 300),
            st.integers(0, 1500 * MS) | st.integers(0, 120 * MS),
        ),
        max_size=60,
    )
)
def test_the_line_is_on_only_within_a_lease_begun_with_the_newest_token(sent):
    lease, now_ns, permitted_until_ns = RemoteLease(), 0, -1
    for peer, wanted, knows_token, sequence, step_ns in sent:
        now_ns += step_ns
        token = lease.token if knows_token else lease.token ^ 1
        running = now_ns < permitted_until_ns
        renewed = lease.receive(peer, order(wanted, token, sequence), now_ns) and token == lease.token
        begun = wanted == BEGIN or (wanted == RENEW and running)
        permitted_until_ns = now_ns + LEASE_NS if renewed and begun else now_ns
        assert (lease.state(now_ns) is GateState.ON) == (now_ns < permitted_until_ns)
        assert lease.state(now_ns + LEASE_NS - 1) is lease.state(now_ns)
        if step_ns % 2:
            assert lease.state(now_ns + LEASE_NS) is GateState.HOLD
            permitted_until_ns = now_ns
    honest = Switch(lease)
    honest.now_ns, honest.sequence = now_ns, 400
    for _ in range(QUIET_NS // (10 * MS) + 3):
        honest.tell()
    assert honest.state is GateState.ON


def test_a_line_that_froze_ignores_older_orders(switch):
    token = switch.lease.token
    switch.lease.draw_token()
    assert switch.state is GateState.HOLD
    switch.lease.receive(PEER, order(BEGIN, token, 2), switch.now_ns)
    assert switch.state is GateState.HOLD
