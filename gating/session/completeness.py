"""Checks whether a session log lacks commands, confirmations or its end, by comparing what engine and beam wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct

from gating.messages import SESSION_ENDED, BeamStatus, EngineState, GateCommand, GateState
from gating.session.log import SHADOW, read_session

SILENCE_NS: Final = 1_500_000_000
"""An engine holds after a beam interface's silence of a second; a busy recorder may be half a second late."""
ON_THEIR_WAY_NS: Final = 500_000_000
"""A recorder that is stopped or killed may have a status without the commands of this time before it."""
LAST: Final = frozenset(("stopping", SESSION_ENDED))


class Completeness(Struct, frozen=True, kw_only=True):
    """What a log's messages say of each other."""

    commands: int
    statuses: int
    gap: str = ""
    """One sentence about the first thing that is missing or contradicted inside the log; empty if nothing is."""
    no_end: str = ""
    """One sentence if the last engine did not stop in the log, which is then cut; empty if it did."""


def check_completeness(path: Path) -> Completeness:
    """Compare commands with each other and with the states that the beam interface confirmed.

    Every command of an engine must follow the one before. Each state of the beam interface must follow the one before,
    must name a command of the log, and may not permit beam under a hold. While commands permit beam, states must come.
    The last engine must end with a hold because it stops.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    reader = read_session(path, (BeamStatus, GateCommand))
    comparison = _Comparison()
    for _, log_time_ns, message in reader:
        if isinstance(message, GateCommand):
            comparison.command(message, log_time_ns, reader.raw.metadata.get("session_id", ""))
        elif isinstance(message, BeamStatus):
            comparison.status(message, log_time_ns)
    return comparison.result(shadow=SHADOW in reader.raw.metadata)


@dataclass(slots=True)
class _Engine:
    """The commands of one engine so far."""

    last: GateCommand
    states: dict[int, GateState] = field(default_factory=dict)


@dataclass(slots=True)
class _Comparison:
    """Both sides of a log, read in order."""

    engines: dict[str, _Engine] = field(default_factory=dict)
    newest: GateCommand | None = None
    statuses: list[BeamStatus] = field(default_factory=list)
    status_numbers: dict[str, int] = field(default_factory=dict)
    heard_ns: int = 0
    """When the last state of the beam interface came."""
    commands: int = 0
    addressed: bool = False
    """Whether a beam-on was meant for a beam interface."""
    gap: str = ""

    def command(self, command: GateCommand, log_time_ns: int, session_id: str) -> None:
        """Take the next command."""
        self.commands += 1
        number, engine_id = command.command_sequence, command.engine_id
        engine = self.engines.get(engine_id)
        if engine is not None and number != engine.last.command_sequence + 1:
            missing = number - engine.last.command_sequence - 1
            self._miss(f"{missing} commands are missing before command {number} of engine {engine_id}")
        elif engine is None and self.engines and command.engine_state is EngineState.ARMED:
            self._miss(f"engine {engine_id} begins with command {number}, already armed, after another engine")
        if command.session_id != session_id:
            self._miss(f"command {number} belongs to session {command.session_id}, and the log to {session_id}")
        engine = self.engines.setdefault(engine_id, _Engine(command))
        engine.last = self.newest = command
        engine.states[number] = command.state
        self.addressed |= command.state is GateState.ON and bool(command.interface_id)
        if command.state is GateState.ON and self.statuses and log_time_ns - self.heard_ns > SILENCE_NS:
            silent_s = (log_time_ns - self.heard_ns) / 1e9
            self._miss(f"no state of the beam interface for {silent_s:.1f} s before command {number}, a beam on")

    def status(self, status: BeamStatus, log_time_ns: int) -> None:
        """Take the next state of the beam interface."""
        before = self.status_numbers.get(status.beam)
        if before is not None and status.status_sequence > before + 1:
            missing = status.status_sequence - before - 1
            self._miss(f"{missing} states of {status.beam} are missing before its state {status.status_sequence}")
        self.status_numbers[status.beam] = status.status_sequence
        self.statuses.append(status)
        self.heard_ns = log_time_ns

    def result(self, *, shadow: bool) -> Completeness:
        """Compare the two sides, once all is read. A shadow session has one side, if none of its commands names one."""
        for status in self.statuses:
            self._miss(self._contradiction(status))
        alone = shadow and not self.addressed
        permitted = any(GateState.ON in engine.states.values() for engine in self.engines.values())
        if permitted and not (self.statuses or alone):
            self._miss("commands permit beam, and no state of a beam interface is in the log")
        return Completeness(
            commands=self.commands, statuses=len(self.statuses), gap=self.gap, no_end=_no_end(self.newest)
        )

    def _contradiction(self, status: BeamStatus) -> str:
        number, engine = status.command_sequence, self.engines.get(status.engine_id)
        if engine is None or number < min(engine.states):
            return ""  # the recorder began later
        last = engine.last
        if number > last.command_sequence and status.command_sent_ns - last.stamps.sent_ns > ON_THEIR_WAY_NS:
            return f"the beam interface answered command {number}, and the log ends at {last.command_sequence}"
        if status.commanded is GateState.ON and engine.states.get(number) is GateState.HOLD:
            return f"the beam interface permitted beam under command {number}, a hold"
        return ""

    def _miss(self, sentence: str) -> None:
        self.gap = self.gap or sentence


def _no_end(newest: GateCommand | None) -> str:
    if newest is None:
        return "no end: the log holds no gate command"
    if newest.reason in LAST:
        return ""
    return f"no end: cut at command {newest.command_sequence} of engine {newest.engine_id}, which did not stop there"
