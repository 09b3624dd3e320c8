"""What one input to the engine leads to."""

from __future__ import annotations

from typing import NamedTuple

from gating.messages import GateCommand, Message


class StepOutcome(NamedTuple):
    """A command, to be sent at once, and what the log and the screen get after it."""

    command: GateCommand
    messages: list[Message]
