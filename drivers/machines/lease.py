"""Which position a machine may follow now: the rules of the beam's lease, applied to positions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from drivers.beam.watchdog import LeaseWatchdog
from drivers.machines.drives import Mm
from gating.messages import EngineState, GateCommand, GateState, StageStamps, TargetPosition

LR, AP, SI = 0, 1, 2
AXES: Final = {"lr": LR, "ap": AP, "si": SI}
MAX_AWAY_MM: Final = 50.0
"""Farther from its reference no target is followed: it is another place, or an error. A limit of this project."""
MAX_AHEAD_MS: Final = 500.0
"""Longest time from an acquisition to the moment of the prediction: AAPM TG-76 section VI."""


class PositionLease:
    """Fold positions into the one that may be followed now, or none. It never raises.

    Everything that ends or refuses a beam permission (`drivers.beam.watchdog`) ends or refuses a position: the end of
    its lease, another session, an old or impossible number, a second publisher, a slow way, and this process standing
    still. A position that lacks a coordinate which the machine needs, lies too far away, or is for a moment too long
    after its measurement, is one that is not valid.

    Parameters
    ----------
    session_id, structure
        The only session and structure whose positions count.
    needed
        Indices of the LPS axes that the machine moves along.
    reach_mm
        Farthest displacement that the machine can make up for; beyond it, it would follow only a part of the way.
    max_lease_ms
        Longest lease; longer ones are cut to it.
    allow_simulated
        Whether positions derived from a replay or a phantom count.
    clock_name
        Name of this process's clock. Positions sent by the same clock must also be younger than a lease.
    """

    def __init__(
        self,
        session_id: str,
        structure: str,
        needed: Sequence[int],
        *,
        reach_mm: float = MAX_AWAY_MM,
        max_lease_ms: float,
        allow_simulated: bool,
        clock_name: str,
    ) -> None:
        self._structure, self._needed, self._clock_name = structure, tuple(needed), clock_name
        self._farthest_mm = min(reach_mm, MAX_AWAY_MM)
        self._max_lease_ns = round(max_lease_ms * 1e6)
        self._watchdog = LeaseWatchdog(session_id, max_lease_ms=max_lease_ms, allow_simulated=allow_simulated)
        self._publisher_id = ""
        self._newest: TargetPosition | None = None

    def receive(self, position: TargetPosition, now_ns: int) -> bool:
        """Take a position that arrived at `now_ns`; return whether it was accepted, which is not yet permission."""
        if position.structure != self._structure:
            return False
        command = self._as_command(position, now_ns)
        if not self._publisher_id:  # positions are published to whoever listens: the first one heard permits nothing
            self._publisher_id = position.publisher_id
            command = _as_hold(command)
        accepted = self._watchdog.receive(command, now_ns)
        if accepted:
            self._newest = position
        return accepted

    def refuse(self, sentence: str, now_ns: int) -> None:
        """Hold because of a message that could not be read."""
        self._watchdog.refuse(sentence, now_ns)

    def note_awake(self, now_ns: int) -> None:
        """Note that this process is running; to be called before every other call, and at least every 20 ms."""
        self._watchdog.note_awake(now_ns)

    def followed(self, now_ns: int) -> TargetPosition | None:
        """Return the position to follow at `now_ns`; None: hold."""
        return self._newest if self._watchdog.permission(now_ns).state is GateState.ON else None

    def reason(self, now_ns: int) -> str:
        """Return why a position is followed or not, in words."""
        permission = self._watchdog.permission(now_ns)
        return permission.reason if permission.state is GateState.ON else f"{permission.reason}: {permission.detail}"

    def _wrong(self, position: TargetPosition, now_ns: int) -> str:
        """Return why a valid position cannot be followed, in words; empty if it can. NaN cannot."""
        age_ns = now_ns - position.sent_ns
        if position.clock == self._clock_name and not 0 <= age_ns <= self._max_lease_ns:
            return f"position was sent {age_ns / 1e6:.0f} ms ago"
        away_mm = displacement_mm(position, self._needed)[list(self._needed)]
        if np.isnan(away_mm).any():
            return "a coordinate that the machine needs is not known"
        farthest_mm = float(np.abs(away_mm).max())
        if not farthest_mm <= self._farthest_mm:
            return f"target would be {farthest_mm:.0f} mm from its reference, the limit is {self._farthest_mm:g} mm"
        ahead_ms = (position.predicted_ns - position.sent_ns) / 1e6
        oldest_ms = oldest_age_ms(position, self._needed)
        if oldest_ms is None:
            return "how old a coordinate is that the machine needs is not known"
        if not (ahead_ms >= 0 and oldest_ms + ahead_ms <= MAX_AHEAD_MS):
            measured = f"measured {oldest_ms:.0f} ms before it was sent, is for {ahead_ms:.0f} ms after"
            return f"position, {measured}; the limit is {MAX_AHEAD_MS:g} ms in all"
        return ""

    def _as_command(self, position: TargetPosition, now_ns: int) -> GateCommand:
        """Return the permission that a position stands for."""
        wrong = self._wrong(position, now_ns) if position.valid else position.detail
        usable = position.valid and not wrong
        return GateCommand(
            session_id=position.session_id,
            engine_id=position.publisher_id,
            command_sequence=position.position_sequence,
            state=GateState.ON if usable else GateState.HOLD,
            reason=position.reason,
            detail=wrong,
            engine_state=EngineState.READY,
            frame_sequence=position.frame_sequence,
            renewal=position.renewal,
            lease_ms=position.lease_ms if usable else 0.0,
            source_kind=position.source_kind,
            pacing=position.pacing,
            stamps=StageStamps(sent_ns=position.sent_ns),
        )


def oldest_age_ms(position: TargetPosition, needed: Sequence[int]) -> float | None:
    """Return the largest age of the coordinates along `needed` axes when a position was sent, ms; None: not known."""
    ages_ms = [age for axis in needed if (age := position.measured_ages_ms[axis]) is not None]
    return max(ages_ms) if ages_ms and len(ages_ms) == len(needed) else None


def displacement_mm(position: TargetPosition, needed: Sequence[int]) -> Mm:
    """Return where a structure will be relative to its reference, (3,) LPS.

    NaN on axes that are not known, and on those that the machine does not need: nothing has checked them.
    """
    pairs = zip(position.predicted_mm, position.reference_mm, strict=True)
    away_mm = np.array([np.nan if there is None or here is None else there - here for there, here in pairs])
    away_mm[[axis for axis in AXES.values() if axis not in needed]] = np.nan
    return away_mm


def _as_hold(command: GateCommand) -> GateCommand:
    return replace(command, state=GateState.HOLD, lease_ms=0.0)
