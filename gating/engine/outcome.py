"""What one input to the engine leads to: a command at once, the rest once the command is out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gating.messages import GateCommand, Message


class StepOutcome:
    """What one input led to: the command first, then what the log and the screen get.

    Parameters
    ----------
    command : to be sent at once.
    messages : already there.
    later : work that waits until the command is out, and returns the messages it leads to.
    """

    __slots__ = ("_later", "_messages", "command")

    def __init__(
        self, command: GateCommand, messages: Sequence[Message] = (), later: Callable[[], list[Message]] | None = None
    ) -> None:
        self.command = command
        self._messages = list(messages)
        self._later = later

    def settle(self) -> None:
        """Do what has waited, unless it is done."""
        later, self._later = self._later, None
        if later is not None:
            self._messages = [*later(), *self._messages]

    @property
    def messages(self) -> list[Message]:
        """Do what has waited; return what the log and the screen get."""
        self.settle()
        return self._messages
