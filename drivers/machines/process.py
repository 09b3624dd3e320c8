"""The process of a simulated machine: positions in, moving axes out, and a record of what it followed and when."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import zmq

from drivers.machines.collimator import Collimator
from drivers.machines.couch import Couch
from drivers.machines.drives import Mm
from drivers.machines.lease import MAX_AWAY_MM, SI, PositionLease, displacement_mm, oldest_age_ms
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import TargetPosition
from gating.settings.config import Config
from gating.settings.private_file import private_file
from gating.wire.codec import WireError, decode
from gating.wire.security import check_obeyed
from gating.wire.sockets import ReconnectingSubscriber, receive

CYCLE_MS: Final = 10
BATCH: Final = 64
COLUMNS: Final = (
    "t_ns", "following", "reason", "publisher_id", "position_sequence", "frame_sequence", "sent_ns", "predicted_ns",
    "age_ms", "set_lr_mm", "set_ap_mm", "set_si_mm", "at_lr_mm", "at_ap_mm", "at_si_mm",
)  # fmt: skip
"""Of the record: one row a cycle. `set` is the displacement that is followed, `at` the one that the machine makes up
for; empty on axes that it does not move along, and while nothing is followed. `age` is of the oldest coordinate that it
needs."""

_log: Final = logging.getLogger("cinegate.machine")


class Machine(Protocol):
    """A machine that makes up for a displacement of the target."""

    needed: tuple[int, ...]
    """Indices of the LPS axes along which it moves."""
    reach_mm: float
    """Farthest displacement that it can make up for."""

    def follow(self, t_s: float, displacement_mm: Mm) -> None:
        """Ask for a displacement, (3,) LPS; NaN on axes that are not needed."""
        ...

    def hold(self) -> None:
        """Stand still."""
        ...

    def advance(self, t_s: float) -> Mm:
        """Move until `t_s`; return the displacement that is made up for, (3,) LPS, NaN on axes that do not move."""
        ...


class CollimatorMachine:
    """A collimator whose leaves travel along SI, seen from the side (AP across) or from the front (LR across)."""

    def __init__(self, collimator: Collimator, across: int) -> None:
        self._collimator, self._across = collimator, across
        self.needed: tuple[int, ...] = (across, SI)
        self.reach_mm = MAX_AWAY_MM

    def follow(self, t_s: float, displacement_mm: Mm) -> None:
        """Shape the aperture where the target is."""
        self._collimator.follow(t_s, float(displacement_mm[SI]), float(displacement_mm[self._across]))

    def hold(self) -> None:
        """Let the leaves stand."""
        self._collimator.hold()

    def advance(self, t_s: float) -> Mm:
        """Move the leaves; return where the aperture's centroid is."""
        self._collimator.advance(t_s)
        apart = self._collimator.exposure(0.0, 0.0)
        at = np.full(3, np.nan)
        at[[SI, self._across]] = apart.off_u_mm, apart.off_v_mm
        return at


class CouchMachine:
    """A couch that moves along the axes that it needs, and stands on the others."""

    def __init__(self, couch: Couch, needed: Sequence[int]) -> None:
        self._couch = couch
        self.needed = tuple(needed)
        self.reach_mm = couch.settings.reach_mm

    def follow(self, t_s: float, displacement_mm: Mm) -> None:
        """Move against the displacement."""
        self._couch.follow(t_s, np.nan_to_num(displacement_mm))

    def hold(self) -> None:
        """Stand still."""
        self._couch.hold()

    def advance(self, t_s: float) -> Mm:
        """Move; return the displacement that the couch makes up for."""
        made_up = -self._couch.advance(t_s)
        at = np.full(3, np.nan)
        at[list(self.needed)] = made_up[list(self.needed)]
        return at


class FollowingMachine:
    """Follow a structure of a session while its positions are valid, and stand still otherwise.

    Parameters
    ----------
    config
        Endpoints, and the longest lease.
    session_id, structure
        What to follow.
    machine
        What moves.
    record
        File that gets a row for each cycle of `CYCLE_MS`; it must not exist.
    allow_simulated
        Whether positions derived from a replay or a phantom are followed.
    """

    def __init__(
        self,
        config: Config,
        session_id: str,
        structure: str,
        machine: Machine,
        record: Path,
        *,
        allow_simulated: bool,
        clock: Clock | None = None,
    ) -> None:
        self._config, self._machine, self._record = config, machine, record
        self._clock = clock or MonotonicClock()
        self._lease = PositionLease(
            session_id,
            structure,
            machine.needed,
            reach_mm=machine.reach_mm,
            max_lease_ms=config.positions.lease_ms,
            allow_simulated=allow_simulated,
            clock_name=self._clock.name,
        )
        self._told = ""

    def run(self, stop: Callable[[], bool]) -> None:
        """Follow until `stop` returns true.

        Raises
        ------
        OSError
            If the record cannot be written.
        PermissionError
            If anybody could publish, or repeat, the positions: there are no keys, and the endpoint is not `ipc://`.
        """
        check_obeyed(self._config.endpoints.positions, "machine")
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            heard = ReconnectingSubscriber(context, self._config.endpoints.positions)
            with private_file(self._record).open("w", newline="", encoding="utf-8", buffering=1) as file:
                rows = csv.writer(file)
                rows.writerow(COLUMNS)
                due_ns = self._clock.now_ns()
                while not stop():
                    due_ns = max(due_ns + CYCLE_MS * 1_000_000, self._clock.now_ns())
                    self._hear_until(heard, due_ns)
                    rows.writerow(self._cycle(self._clock.now_ns()))
        finally:
            self._machine.hold()
            context.destroy(linger=0)

    def _hear_until(self, heard: ReconnectingSubscriber, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock.now_ns()) > 0:
            if heard.wait(-(-left_ns // 1_000_000)):
                self._drain(heard)
        heard.reopen_if_silent(self._clock.now_ns())

    def _drain(self, heard: ReconnectingSubscriber) -> None:
        for _ in range(BATCH):
            parts = receive(heard.socket)
            if parts is None:
                return
            now_ns = heard.last_message_ns = self._clock.now_ns()
            self._lease.note_awake(now_ns)
            try:
                message = decode(parts)
            except WireError as error:
                self._lease.refuse(str(error), now_ns)
                continue
            if isinstance(message, TargetPosition):
                self._lease.receive(message, now_ns)
            else:
                self._lease.refuse(f"message is a {type(message).__name__}; a TargetPosition is needed", now_ns)

    def _cycle(self, now_ns: int) -> list[Any]:
        """Follow or hold, move, and return a row of the record."""
        self._lease.note_awake(now_ns)
        position, reason = self._lease.followed(now_ns), self._lease.reason(now_ns)
        wanted = np.full(3, np.nan)
        if position is None:
            self._machine.hold()
        else:
            wanted = displacement_mm(position, self._machine.needed)
            self._machine.follow(now_ns / 1e9, wanted)
        at = self._machine.advance(now_ns / 1e9)
        self._tell(position is not None, reason)
        sent: list[Any] = [""] * 6
        if position is not None:
            oldest_ms = oldest_age_ms(position, self._machine.needed)
            age = "" if oldest_ms is None else f"{oldest_ms + (now_ns - position.sent_ns) / 1e6:.1f}"
            sent = [position.publisher_id, position.position_sequence, position.frame_sequence, position.sent_ns,
                    position.predicted_ns, age]  # fmt: skip
        numbers = ["" if np.isnan(value) else f"{value:.3f}" for value in (*wanted, *at)]
        return [now_ns, int(position is not None), reason, *sent, *numbers]

    def _tell(self, following: bool, reason: str) -> None:
        told = "follows" if following else f"holds ({reason})"
        if told != self._told:
            self._told = told
            _log.info("%s", told)
