"""What every process says of itself."""

from __future__ import annotations

from typing import Literal

from gating.messages.fields import Message, Name, Nanoseconds, Sentence


class Heartbeat(Message, frozen=True, kw_only=True):
    """A sign of life of a process, with its counters."""

    role: Literal["source", "engine", "beam", "recorder"]
    process_id: int
    state: Name
    detail: Sentence = ""
    sent_ns: Nanoseconds
    counters: dict[str, int] = {}


Severity = Literal["info", "warning", "fault"]


class Event(Message, frozen=True, kw_only=True):
    """One sentence for the operator and the log."""

    role: Name
    severity: Severity
    code: Name
    text: Sentence
    at_ns: Nanoseconds
