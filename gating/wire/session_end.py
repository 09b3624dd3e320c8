"""How source, beam interface and recorder learn that an operator has ended the session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gating.messages import SESSION_ENDED, TOPICS, GateCommand, GateState
from gating.wire.codec import Part, WireError, decode

_GATE: Final = TOPICS[GateCommand]
_SIGN: Final = SESSION_ENDED.encode()


def ends_session(parts: Sequence[Part], session_id: str) -> bool:
    """Return whether a message is the last command of this session. Only one that looks like it is decoded."""
    if parts[0] != _GATE or len(parts) < 2 or _SIGN not in bytes(parts[1]):
        return False
    try:
        command = decode(list(parts))
    except WireError:
        return False
    return isinstance(command, GateCommand) and is_last(command) and command.session_id == session_id


def is_last(command: GateCommand) -> bool:
    """Return whether a command ends its session."""
    return command.state is GateState.HOLD and command.reason == SESSION_ENDED
