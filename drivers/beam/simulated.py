"""A simulated linac: a gate line, a beam that follows it with a delay, and a record of the delivery."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from drivers.errors import BeamFault, Unavailable
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import GateState
from gating.settings.config import LinacSettings

_JITTER_LIMIT_SIGMA: Final = 3.0
_SETTLE_MARGIN_MS: Final = 10.0
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux."""


@dataclass(frozen=True, slots=True)
class DeliveryChange:
    """The beam itself came on or went off, at this time on the linac's clock."""

    t_ns: int
    beam_on: bool


class SimulatedLinac:
    """A `BeamSwitch` whose beam follows the line after a delay with seeded jitter, like a delay line.

    The beam may still come on for a moment after the line has fallen, if a beam-on was under way and the beam-off takes
    longer: the worst case of a real machine. `read_back` returns the state of the beam itself, not of the line.

    Parameters
    ----------
    settings
        Beam-on and beam-off delay, and the standard deviation of both (cut at three of them), ms.
    seed
        Seed of the jitter.
    clock
        Clock of the delays and of the delivery record.
    record_path
        File of the delivery record, one line `t_ns,on|off` for each change. While the line is on, the process holds an
        advisory lock on this file. The kernel drops the lock when the process dies: the line falls to hold, and another
        process can see that through `line_level`.
    """

    kind: Literal["simulated", "hardware"] = "simulated"

    def __init__(
        self,
        settings: LinacSettings | None = None,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        record_path: Path | None = None,
    ) -> None:
        self._settings = settings or LinacSettings()
        self._seed = seed
        self._clock = clock or MonotonicClock()
        self._record_path = record_path
        self._random = np.random.default_rng(seed)
        self._line = GateState.HOLD
        self._pending: list[DeliveryChange] = []
        self._record: list[DeliveryChange] = []
        self._file: int | None = None
        self._opened = False

    @property
    def settle_ms(self) -> float:
        """Time after which the beam must agree with the line, ms."""
        slower = max(self._settings.beam_on_delay_ms, self._settings.beam_off_delay_ms)
        return slower + _JITTER_LIMIT_SIGMA * self._settings.jitter_ms + _SETTLE_MARGIN_MS

    @property
    def line(self) -> GateState:
        """Level of the gate line now."""
        return self._line

    def delivery_record(self) -> list[DeliveryChange]:
        """Return every change of the beam so far."""
        self._advance()
        return list(self._record)

    def open(self) -> None:
        """Take the line and hold."""
        if self._opened:
            return
        if self._record_path is not None:
            try:
                self._file = os.open(self._record_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError as error:
                raise Unavailable(f"delivery record {self._record_path} cannot be written: {error.strerror}") from None
        self._opened = True

    def set_beam(self, state: GateState) -> None:
        """Drive the line; the beam follows."""
        if not self._opened:
            raise BeamFault("the simulated linac is not open")
        self._drive(GateState.ON if state is GateState.ON else GateState.HOLD)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Return the state of the beam, which may lag behind the line."""
        if not self._opened:
            raise BeamFault("the simulated linac is not open")
        self._advance()
        return GateState.ON if self._record and self._record[-1].beam_on else GateState.HOLD

    def close(self) -> None:
        """Hold, then release the line; the beam goes off after its delay."""
        if not self._opened:
            return
        self._drive(GateState.HOLD)
        self._advance(finish=True)
        self._opened = False
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _drive(self, state: GateState) -> None:
        self._advance()
        if state is self._line:
            return
        on = state is GateState.ON
        if self._file is not None:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB if on else fcntl.LOCK_UN)
            except OSError as error:
                raise BeamFault(f"delivery record {self._record_path} belongs to another linac: {error}") from None
        self._line = state
        delay_ms = self._settings.beam_on_delay_ms if on else self._settings.beam_off_delay_ms
        jitter = float(np.clip(self._random.standard_normal(), -_JITTER_LIMIT_SIGMA, _JITTER_LIMIT_SIGMA))
        at_ns = self._clock.now_ns() + round(max(0.0, delay_ms + jitter * self._settings.jitter_ms) * 1e6)
        self._pending = [change for change in self._pending if change.t_ns < at_ns]
        self._pending.append(DeliveryChange(at_ns, on))

    def _advance(self, *, finish: bool = False) -> None:
        now_ns = self._clock.now_ns()
        while self._pending and (finish or self._pending[0].t_ns <= now_ns):
            change = self._pending.pop(0)
            if change.beam_on != (bool(self._record) and self._record[-1].beam_on):
                self._record.append(change)
                if self._file is not None:
                    os.write(self._file, f"{change.t_ns},{'on' if change.beam_on else 'off'}\n".encode())


def line_level(record_path: Path) -> GateState:
    """Return the level of another process's line: on while a living process holds the record's lock."""
    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with record_path.open("rb+") as record:
        holder: int = struct.unpack(_FLOCK, fcntl.fcntl(record, fcntl.F_GETLK, query))[0]
    return GateState.HOLD if holder == fcntl.F_UNLCK else GateState.ON


def read_delivery_record(record_path: Path) -> list[DeliveryChange]:
    """Return the changes in a linac's record file."""
    rows = (row.split(",") for row in record_path.read_text(encoding="ascii").splitlines())
    return [DeliveryChange(int(t_ns), word == "on") for t_ns, word in rows]
