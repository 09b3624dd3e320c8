"""The engine's life as a table: what is not in it does not happen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gating.decision.arming import TRANSITIONS, ArmingEvent, transition
from gating.messages import EngineState


def test_every_transition_outside_the_table_is_refused():
    for state in EngineState:
        for event in ArmingEvent:
            outcome = transition(state, event)
            assert outcome.accepted is ((state, event) in TRANSITIONS)
            assert outcome.state is TRANSITIONS.get((state, event), state)


@given(st.lists(st.sampled_from(ArmingEvent)))
def test_armed_needs_warm_up_and_an_arming_after_every_acknowledgement(events):
    state = EngineState.STARTING
    since_ready = False
    for event in events:
        before, state = state, transition(state, event).state
        if state is EngineState.ARMED and before is not EngineState.ARMED:
            assert before is EngineState.READY
            assert event is ArmingEvent.ARM
            assert since_ready
        since_ready |= state is EngineState.READY


@given(st.lists(st.sampled_from(sorted(set(ArmingEvent) - {ArmingEvent.ACKNOWLEDGE}))))
def test_a_latched_engine_stays_latched_without_an_acknowledgement(events):
    state = EngineState.LATCHED
    for event in events:
        state = transition(state, event).state
    assert state is EngineState.LATCHED
