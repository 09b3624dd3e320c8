"""The engine's state machine: STARTING, READY, ARMED, LATCHED.

Only ARMED can permit beam (`gating.decision.decide`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from gating.messages import EngineState


class ArmingEvent(enum.StrEnum):
    """Events that can change the engine's state."""

    WARMED_UP = "warmed_up"
    ARM = "arm"
    DISARM = "disarm"
    HARD_FAULT = "hard_fault"
    ACKNOWLEDGE = "acknowledge"
    STREAM_ENDED = "stream_ended"


_S, _E = EngineState, ArmingEvent
TRANSITIONS: Final[dict[tuple[EngineState, ArmingEvent], EngineState]] = {
    (_S.STARTING, _E.WARMED_UP): _S.READY,
    (_S.READY, _E.ARM): _S.ARMED,
    (_S.ARMED, _E.DISARM): _S.READY,
    (_S.ARMED, _E.STREAM_ENDED): _S.READY,
    (_S.STARTING, _E.HARD_FAULT): _S.LATCHED,
    (_S.READY, _E.HARD_FAULT): _S.LATCHED,
    (_S.ARMED, _E.HARD_FAULT): _S.LATCHED,
    (_S.LATCHED, _E.ACKNOWLEDGE): _S.READY,
}
"""All transitions. Any other pair is refused, and the state does not change."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The state after an event, and whether the event was accepted."""

    state: EngineState
    accepted: bool


def transition(state: EngineState, event: ArmingEvent) -> Transition:
    """Return the state after `event`, and whether the event was accepted."""
    following = TRANSITIONS.get((state, event))
    return Transition(state, False) if following is None else Transition(following, True)
