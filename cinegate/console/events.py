"""The events of a session, newest first and repeated ones folded. Pure."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from gating.messages import Event

MAX_EVENTS: Final = 200
_OF_OPERATORS: Final = frozenset(("confirm", "arm", "disarm", "acknowledge", "accept_shift", "mark", "stop"))
"""Codes of what operators did; each of these counts by its full text, who did it included."""
_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?(?:, \d+(?:\.\d+)?)*")
"""A number, or a list of them."""


class FoldedEvent(Struct, kw_only=True):
    """One sentence and how often it came."""

    role: str
    severity: str
    code: str
    text: str
    at: str
    """When it came last, in the local time of the console: HH:MM:SS."""
    times: int = 1


class EventList:
    """The newest events; one that repeats an earlier one, but for its numbers, takes its place at the top."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str, str, str], FoldedEvent] = {}
        self.version = 0
        """Grows with every event."""

    def add(self, event: Event, at: str) -> None:
        """Add an event that came at a local time."""
        text = event.text if event.code in _OF_OPERATORS else _NUMBERS.sub("#", event.text)
        key = (event.role, event.severity, event.code, text)
        folded = self._events.pop(key, None)
        times = 1 if folded is None else folded.times + 1
        self._events[key] = FoldedEvent(
            role=event.role, severity=event.severity, code=event.code, text=event.text, at=at, times=times
        )
        if len(self._events) > MAX_EVENTS:
            self._events.pop(next(iter(self._events)))
        self.version += 1

    def newest_first(self) -> list[FoldedEvent]:
        """Return the events, newest first."""
        return list(reversed(self._events.values()))
