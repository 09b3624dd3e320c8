"""Replays of many logs, compared: how many decisions differ, how, and where it is worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, field

from gating.analysis.stretches import Change, Stretch, ranked

KEPT: Final = 50
"""So many of the worst stretches are kept, however many logs there are."""


class Transition(NamedTuple):
    """A decision of the log, and that of the replay."""

    logged: str
    replayed: str


class Place(NamedTuple):
    """A stretch, and the log in which it lies."""

    log: str
    stretch: Stretch


class Difference(Struct):
    """How much decides otherwise in one way."""

    logs: int = 0
    stretches: int = 0
    commands: int = 0
    seconds: float = 0.0


class Comparison(Struct):
    """What the replays of a cohort came to; it grows by `add`, and its size does not depend on the number of logs."""

    logs: int = 0
    not_replayed: int = 0
    """Logs that are damaged, so that a replay would mean nothing."""
    commands: int = 0
    frames: int = 0
    same: int = 0
    """Logs all of whose decisions are the same."""
    differences: dict[str, Difference] = field(default_factory=lambda: {str(one): Difference() for one in Change})
    gone: int = 0
    """Stretches that only the other version has, where two versions are compared."""
    transitions: Counter[Transition] = field(default_factory=Counter)
    """Decision of the log and of the replay, to number of commands."""
    worst: list[Place] = field(default_factory=list)
    """The worst stretches, the worst first."""

    def add(self, log: str, commands: int, frames: int, stretches: Sequence[Stretch]) -> None:
        """Add a log that was replayed."""
        self.logs += 1
        self.commands += commands
        self.frames += frames
        self.same += not stretches
        for change in {one.change for one in stretches}:
            self.differences[change].logs += 1
        for one in stretches:
            difference = self.differences[one.change]
            difference.stretches += 1
            difference.commands += one.commands
            difference.seconds += one.duration_s
            logged, replayed = f"{one.logged_state} {one.logged_reason}", f"{one.replayed_state} {one.replayed_reason}"
            self.transitions[Transition(logged, replayed)] += one.commands
        self.worst += [Place(log, one) for one in ranked(stretches)[:KEPT]]
        self.worst.sort(key=lambda place: place.stretch.rank)
        del self.worst[KEPT:]

    def add_damaged(self) -> None:
        """Add a log that could not be replayed."""
        self.logs += 1
        self.not_replayed += 1

    def document(self) -> dict[str, Any]:
        """Return everything as plain builtins, ready for JSON."""
        rows = [{"logged": one.logged, "replayed": one.replayed, "commands": n} for one, n in self.most_common()]
        worst = [{"log": log, "change": str(one.change)} | msgspec.to_builtins(one) for log, one in self.worst]
        plain = {name: getattr(self, name) for name in ("logs", "not_replayed", "commands", "frames", "same", "gone")}
        return plain | {
            "differences": msgspec.to_builtins(self.differences),
            "transitions": rows,
            "worst": worst,
        }

    def most_common(self) -> list[tuple[Transition, int]]:
        """Return the transitions, those of most commands first."""
        return sorted(self.transitions.items(), key=lambda entry: (-entry[1], entry[0]))

    def sentences(self) -> list[str]:
        """Return what is told on a terminal."""
        said = [f"{self.commands} decisions in {self.logs} logs, {self.same} logs with the same decisions throughout"]
        for change, found in self.differences.items():
            if found.commands:
                said.append(
                    f"{change}: {found.commands} decisions, {found.seconds:.1f} s, in {found.stretches} stretches of "
                    f"{found.logs} logs"
                )
        return said
