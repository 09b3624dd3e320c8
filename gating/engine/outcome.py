"""The result of one input to the engine."""

from __future__ import annotations

from typing import NamedTuple

from gating.messages import GateCommand, Message


class StepOutcome(NamedTuple):
    """A command, to be sent at once, and the messages for the log and the screen that follow it."""

    command: GateCommand
    messages: list[Message]
