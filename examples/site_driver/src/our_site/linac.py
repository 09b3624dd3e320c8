"""A beam switch. Where this one writes a word to a file, yours drives the vendor's gating input."""

from __future__ import annotations

import fcntl
import os
from typing import Annotated, Literal

from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from gating.messages import GateState


class OurLinacSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `-o key=value` may set."""

    record: Annotated[str, Meta(min_length=1, max_length=4096, description="File whose lock is the line.")]


class OurLinac:
    """On while this process holds the lock of a file, which the kernel drops when the process dies."""

    Settings = OurLinacSettings
    kind: Literal["simulated", "hardware"] = "simulated"  # "hardware", once a real line is driven
    settle_ms = 20.0

    def __init__(self, settings: OurLinacSettings) -> None:
        self._settings = settings
        self._file: int | None = None
        self.line = GateState.HOLD

    def open(self) -> None:
        """Take the line, held."""
        if self._file is not None:
            return
        try:
            self._file = os.open(self._settings.record, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(f"our linac: {self._settings.record} cannot be opened: {error.strerror}") from None

    def set_beam(self, state: GateState) -> None:
        """Drive the line; anything but on holds."""
        file = self._opened()
        on = state is GateState.ON
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB if on else fcntl.LOCK_UN)
        self.line = GateState.ON if on else GateState.HOLD
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Return what the line confirms. Yours reads an input, never a variable."""
        self._opened()
        return self.line

    def close(self) -> None:
        """Hold, then release the line."""
        if self._file is not None:
            self.set_beam(GateState.HOLD)
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            raise BeamFault("our linac is not open")
        return self._file
