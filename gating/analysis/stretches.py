"""Where a replay decides otherwise than the log: stretches of consecutive commands, ranked by what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from gating.messages import GateCommand, GateState


class Change(StrEnum):
    """How a decision differs."""

    HOLD_TO_ON = "hold to on"
    ON_TO_HOLD = "on to hold"
    REASON = "another reason"


MEANS: Final = {
    Change.HOLD_TO_ON: "The log holds the beam, the replay permits it: dose where none was allowed. Looked at first.",
    Change.ON_TO_HOLD: "The log permits the beam, the replay holds it: duty cycle is lost.",
    Change.REASON: "The same state of the beam for another reason.",
}


class Stretch(Struct, kw_only=True):
    """Consecutive commands of one engine that log and replay decide otherwise, all in the same way."""

    engine_id: str
    first_command: int
    commands: int
    first_frame: int
    last_frame: int
    begin_s: float
    """After the first command of the log."""
    duration_s: float
    """From the first of its commands to the last; 0 if it is one command."""
    logged_state: str
    logged_reason: str
    replayed_state: str
    replayed_reason: str

    @property
    def change(self) -> Change:
        """How the decisions differ."""
        if self.logged_state == self.replayed_state:
            return Change.REASON
        return Change.HOLD_TO_ON if self.replayed_state == GateState.ON else Change.ON_TO_HOLD

    @property
    def rank(self) -> tuple[int, float, int]:
        """What sorts stretches, the worst first: by the kind of change, then the longest."""
        return list(Change).index(self.change), -self.duration_s, -self.commands


class StretchFinder:
    """Takes every command of a log beside the replay's, in order, and finds the stretches in which they differ."""

    def __init__(self) -> None:
        self.found: list[Stretch] = []
        self._began_ns: int | None = None
        self._grows = False

    def add(self, logged: GateCommand, replayed: GateCommand) -> None:
        """Compare state and reason of the next command."""
        at_ns = logged.stamps.decided_ns
        if self._began_ns is None:
            self._began_ns = at_ns
        decided = (str(logged.state), str(logged.reason), str(replayed.state), str(replayed.reason))
        if decided[:2] == decided[2:]:
            self._grows = False
            return
        begin_s = (at_ns - self._began_ns) / 1e9
        if self._grows and self._goes_on(logged, decided):
            newest = self.found[-1]
            newest.commands += 1
            newest.last_frame = logged.frame_sequence
            newest.duration_s = begin_s - newest.begin_s
            return
        self._grows = True
        states = dict(zip(("logged_state", "logged_reason", "replayed_state", "replayed_reason"), decided, strict=True))
        self.found.append(
            Stretch(
                engine_id=logged.engine_id,
                first_command=logged.command_sequence,
                commands=1,
                first_frame=logged.frame_sequence,
                last_frame=logged.frame_sequence,
                begin_s=begin_s,
                duration_s=0.0,
                **states,
            )
        )

    def _goes_on(self, logged: GateCommand, decided: tuple[str, ...]) -> bool:
        newest = self.found[-1]
        same = (newest.logged_state, newest.logged_reason, newest.replayed_state, newest.replayed_reason) == decided
        follows = logged.command_sequence == newest.first_command + newest.commands
        return same and follows and newest.engine_id == logged.engine_id


def ranked(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return stretches with the worst first: hold to on, then on to hold, then other reasons; the longest first."""
    return sorted(stretches, key=lambda stretch: stretch.rank)
