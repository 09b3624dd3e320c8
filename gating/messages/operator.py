"""What an operator asks of the engine, and its reply."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gating.messages.engine import EngineState, GateState
from gating.messages.fields import Message, Name, Sentence
from gating.messages.source import SourceKind


class ControlRequest(Message, frozen=True, kw_only=True):
    """An operator's request to the engine."""

    action: Literal["confirm", "arm", "disarm", "acknowledge", "accept_shift", "mark", "site", "status", "stop"]
    operator: Name
    why: Sentence = ""
    site: Annotated[str, Meta(max_length=64)] = ""
    """The site to go on with; for `site` alone."""


class PeerStatus(Struct, frozen=True, kw_only=True):
    """Whether the engine hears one of its peers."""

    peer: Name
    heard_ms_ago: float | None = None
    """None: never heard."""
    state: Annotated[str, Meta(max_length=64)] = ""
    """As the peer reports it; empty if it reports none."""


class EngineStatus(Struct, frozen=True, kw_only=True):
    """How a session stands, for an operator who asks."""

    frame_sequence: Annotated[int, Meta(ge=-1, le=2**53)]
    """The newest decided frame, -1 before the first."""
    gate: GateState
    reason: Name
    detail: Sentence = ""
    source_kind: SourceKind | None = None
    """None: no source was heard."""
    commanded: GateState | None = None
    confirmed: GateState | None = None
    """What the beam interface was commanded, and what its line confirms; None: no beam interface was heard."""
    peers: list[PeerStatus] = []
    faults: list[Sentence] = []
    """Warnings and faults of this engine, newest first."""
    counters: dict[str, int] = {}


class ControlReply(Message, frozen=True, kw_only=True):
    """The engine's reply: accepted or refused, and why."""

    accepted: bool
    engine_state: EngineState
    text: Sentence
    status: EngineStatus | None = None
    """Given to an operator who asked for it."""
