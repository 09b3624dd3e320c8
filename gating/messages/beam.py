"""What the beam interface says."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gating.messages.engine import GateState
from gating.messages.fields import Message, Name, Nanoseconds, Sentence, Sequence


class BeamStatus(Message, frozen=True, kw_only=True):
    """What the beam interface was commanded and what the line confirms. Sent on every change and as a heartbeat."""

    beam: Name
    beam_kind: Literal["simulated", "hardware"]
    status_sequence: Sequence
    commanded: GateState
    confirmed: GateState
    reason: Name
    detail: Sentence = ""
    engine_id: str = ""
    command_sequence: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    renewal: bool = True
    command_sent_ns: Nanoseconds = 0
    command_received_ns: Nanoseconds = 0
    applied_ns: Nanoseconds = 0
    sent_ns: Nanoseconds
    clock: Name
    latched: bool = False
    interface_id: Annotated[str, Meta(max_length=64)] = ""
    """New at every start of the beam interface; a beam-on must repeat it, so that no recorded command is obeyed."""
