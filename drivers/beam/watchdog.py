"""The lease watchdog: the beam state that the commands so far permit now. Time is an argument."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from gating.clocks.suspension import SuspensionWatch
from gating.messages import GateCommand, GateState, SourceKind

QUIET_NS: Final = 1_000_000_000
"""After this long, a silent engine may be succeeded, and a violation without another one is forgotten."""

CLOCK_DRIFT: Final = 0.001
"""Largest relative drift between two clocks: ten times the error of a quartz."""

COMMANDS_PER_S: Final = 10_000
COMMANDS_AT_ONCE: Final = 64
"""More than any engine sends. A number further ahead is damaged, and would make every later real command look old."""


def highest_possible(sequence: int, silent_ns: int) -> int:
    """Return the highest number that can follow `sequence` after a silence of `silent_ns`."""
    return sequence + COMMANDS_AT_ONCE + silent_ns * COMMANDS_PER_S // 1_000_000_000


class BeamReason(enum.StrEnum):
    """Why the beam interface holds or permits the beam."""

    STARTING = "starting"
    COMMANDED_ON = "commanded_on"
    COMMANDED_HOLD = "commanded_hold"
    LEASE_EXPIRED = "lease_expired"
    OTHER_SESSION = "other_session"
    OLD_COMMAND = "old_command"
    TWO_ENGINES = "two_engines"
    MESSAGE_REFUSED = "message_refused"
    SWITCH_FAULT = "switch_fault"
    READ_BACK_MISMATCH = "read_back_mismatch"
    SIMULATED_SOURCE = "simulated_source"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Permission:
    """The state that the line may have now, and why."""

    state: GateState
    reason: BeamReason
    detail: str = ""


class LeaseWatchdog:
    """Fold gate commands into a permission that expires by itself.

    Only a command that announces a newly decided frame starts a lease; a renewal prolongs a running one. So an expired
    lease, whatever its cause, is not renewed until frames are being decided again. A message that cannot be trusted
    (another session, an old or impossible sequence, a command that travelled longer than others by more than a lease,
    a second engine, garbage) ends the lease at once. The line is then held until no such message has come for a
    second, so that it never chatters. What a command took longer on its way than the fastest one is taken off its
    lease. No method raises.

    Parameters
    ----------
    session_id
        The only session whose commands count.
    max_lease_ms
        Longest lease; longer ones are cut to it.
    interface_id
        What every beam-on must repeat; an empty one is not checked.
    allow_simulated
        Whether commands derived from a replay or a phantom may switch the beam on.
    suspensions
        Tells when the host was suspended; this host's by default.
    """

    def __init__(
        self,
        session_id: str,
        *,
        max_lease_ms: float,
        allow_simulated: bool,
        interface_id: str = "",
        suspensions: SuspensionWatch | None = None,
    ) -> None:
        self._interface_id = interface_id
        self._session_id = session_id
        self._max_lease_ns = round(max_lease_ms * 1e6)
        self._allow_simulated = allow_simulated
        self._engine_id: str | None = None
        self._sequence = -1
        self._received_ns = 0
        self._awake_ns: int | None = None
        self._suspensions = suspensions or SuspensionWatch()
        self._lease: tuple[int, int] | None = None
        self._violation_ns: int | None = None
        self._fastest: tuple[int, int] | None = None
        """Shortest time from sending to receipt so far, across the two clocks, and when it was measured."""
        self._under_way_ns = 0
        """The same time for the newest command."""
        self._latched: Permission | None = None
        self._held = Permission(GateState.HOLD, BeamReason.STARTING, "no command yet")

    @property
    def latched(self) -> bool:
        """Whether the beam is held until the beam interface restarts."""
        return self._latched is not None

    @property
    def deadline_ns(self) -> int | None:
        """When the running lease ends; None while held."""
        return self._lease[1] if self._lease else None

    def permission(self, now_ns: int) -> Permission:
        """Return the permission at `now_ns`. A lease that has expired, or that begins after `now_ns`, ends here."""
        if self._latched is not None:
            return self._latched
        if self._lease is not None:
            begin_ns, end_ns = self._lease
            if begin_ns <= now_ns < end_ns:
                return Permission(GateState.ON, BeamReason.COMMANDED_ON)
            self._hold(BeamReason.LEASE_EXPIRED, f"no renewal within {(end_ns - begin_ns) / 1e6:.0f} ms")
        return self._held

    def receive(self, command: GateCommand, now_ns: int) -> bool:
        """Take a command that arrived at `now_ns`; return whether it was accepted. Acceptance is not yet permission."""
        self.permission(now_ns)
        violation = self._violation(command, now_ns)
        if violation is not None:
            self._refuse(*violation, now_ns)
            return False
        if command.engine_id != self._engine_id:
            self._fastest = None
        self._engine_id, self._sequence, self._received_ns = command.engine_id, command.command_sequence, now_ns
        slower_ns = self._slower_than_fastest_ns(command, now_ns)
        if slower_ns > self._max_lease_ns and command.state is GateState.ON and not self._in_quarantine(now_ns):
            self._refuse(BeamReason.OLD_COMMAND, f"command came {slower_ns / 1e6:.0f} ms later than others did", now_ns)
            return False
        if command.state is not GateState.ON:
            self._hold(BeamReason.COMMANDED_HOLD, f"{command.reason}: {command.detail}".rstrip(": "))
        elif not self._allow_simulated and command.source_kind is not SourceKind.LIVE:
            self._hold(BeamReason.SIMULATED_SOURCE, f"frames are {command.source_kind}; hardware needs live ones")
        elif not command.lease_ms > 0:
            self._hold(BeamReason.COMMANDED_HOLD, f"lease is {command.lease_ms} ms; more than 0 permits beam")
        elif self._lease is not None or not (command.renewal or self._in_quarantine(now_ns) or self.latched):
            lease_ns = min(self._max_lease_ns, round(min(command.lease_ms, 1e4) * 1e6))
            self._lease = (now_ns, now_ns + max(0, lease_ns - slower_ns))
        return True

    def refuse(self, sentence: str, now_ns: int) -> None:
        """Hold because of a message that could not be read."""
        self._refuse(BeamReason.MESSAGE_REFUSED, sentence, now_ns)

    def note_awake(self, now_ns: int) -> None:
        """Note that this process is running. To be called before every other call, and at least every 20 ms.

        If this process itself stood still for longer than a lease, commands have queued up, and their leases would
        count from now. None of them may be believed, so the line is held until the queue has certainly been read. The
        same after the host was suspended, which `now_ns` does not count.
        """
        asleep_ns = self._suspensions.new_ns()
        if asleep_ns:
            self._refuse(BeamReason.LEASE_EXPIRED, f"this host was suspended for {asleep_ns / 1e6:.0f} ms", now_ns)
        elif self._awake_ns is not None and not now_ns - self._awake_ns <= self._max_lease_ns:
            still_ms = (now_ns - self._awake_ns) / 1e6
            sentence = f"the beam interface itself stood still for {still_ms:.0f} ms"
            self._refuse(BeamReason.LEASE_EXPIRED, sentence, now_ns)
        self._awake_ns = now_ns

    def latch(self, reason: BeamReason, sentence: str) -> None:
        """Hold for good. The first reason stands."""
        if self._latched is None:
            self._latched = Permission(GateState.HOLD, reason, sentence)
        self._lease = None

    def _violation(self, command: GateCommand, now_ns: int) -> tuple[BeamReason, str] | None:
        if command.session_id != self._session_id:
            return BeamReason.OTHER_SESSION, f"command of session {command.session_id!r}; this is {self._session_id!r}"
        if command.state is GateState.ON and command.interface_id != self._interface_id != "":
            return BeamReason.OLD_COMMAND, f"beam-on is for beam interface {command.interface_id!r}, not for this one"
        if self._engine_id is None:
            if command.state is GateState.ON:
                return BeamReason.OLD_COMMAND, f"{command.engine_id!r} is the first engine and must begin with a hold"
            return None
        if command.engine_id != self._engine_id:
            if 0 <= now_ns - self._received_ns < QUIET_NS:
                return BeamReason.TWO_ENGINES, f"{command.engine_id!r} commands beside {self._engine_id!r}"
            if command.state is GateState.ON:
                return BeamReason.TWO_ENGINES, f"{command.engine_id!r} succeeds and must begin with a hold"
            return None
        if not command.command_sequence > self._sequence:
            return BeamReason.OLD_COMMAND, f"command {command.command_sequence} came after {self._sequence}"
        possible = highest_possible(self._sequence, now_ns - self._received_ns)
        if not command.command_sequence <= possible:
            sentence = f"command {command.command_sequence} came after {self._sequence}; it cannot be above {possible}"
            return BeamReason.MESSAGE_REFUSED, sentence
        return None

    def _slower_than_fastest_ns(self, command: GateCommand, now_ns: int) -> int:
        """Return how much longer this command travelled than the fastest one. No two clocks are compared directly.

        Two commands in a row must agree before they set the standard for others: otherwise one damaged stamp from the
        future would make every later command look late.
        """
        if command.stamps.sent_ns == 0:
            return 0
        under_way_ns = now_ns - command.stamps.sent_ns
        if self._fastest is None:
            self._fastest, self._under_way_ns = (under_way_ns, now_ns), under_way_ns
            return 0
        fastest_ns, at_ns = self._fastest
        fastest_ns += round((now_ns - at_ns) * CLOCK_DRIFT)
        agreed_ns = max(under_way_ns, self._under_way_ns)
        if agreed_ns < fastest_ns:
            self._fastest = agreed_ns, now_ns
        self._under_way_ns = under_way_ns
        return max(0, under_way_ns - fastest_ns)

    def _refuse(self, reason: BeamReason, sentence: str, now_ns: int) -> None:
        self._violation_ns = now_ns
        self._hold(reason, sentence)

    def _in_quarantine(self, now_ns: int) -> bool:
        return self._violation_ns is not None and now_ns - self._violation_ns < QUIET_NS

    def _hold(self, reason: BeamReason, detail: str) -> None:
        self._lease = None
        self._held = Permission(GateState.HOLD, reason, detail[:300])
