"""A Linux GPIO line as the gate line, driven through libgpiod 2 and read back on a second line.

The kernel promises no level after a process has died; many controllers keep the last one. So by default (`pulse`) the
line toggles at every renewal, and a box with its own watchdog (a retriggerable monostable or a charge pump) makes the
level. A plain level (`level`) is at the site's own risk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from drivers.extras import missing
from gating.messages import GateState


class GpioSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chip and its lines."""

    chip: Annotated[str, Meta(min_length=1, max_length=256, description="Chip, for example /dev/gpiochip0.")]
    line: Annotated[int, Meta(ge=0, le=1023, description="Output that permits the beam.")]
    read_back_line: Annotated[int, Meta(ge=0, le=1023, description="Input that confirms it: high is beam on.")]
    mode: Annotated[
        Literal["pulse", "level"],
        Meta(description="Toggle at every renewal (for a box with a watchdog), or a level."),
    ] = "pulse"
    settle_ms: Annotated[float, Meta(gt=0, le=500, description="Time after which the read-back must agree.")] = 30.0


class GpioLines(Protocol):
    """An output line and an input line."""

    def drive(self, level: bool) -> None:
        """Drive the output. Raises OSError."""
        ...

    def read(self) -> bool:
        """Read the input. Raises OSError."""
        ...

    def release(self) -> None:
        """Release both lines."""
        ...


class _GpiodLines:
    def __init__(self, settings: GpioSettings) -> None:
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ModuleNotFoundError:
            raise Unavailable(missing("gpio", "gpiod", "gpio")) from None
        self._settings, self._active, self._inactive = settings, Value.ACTIVE, Value.INACTIVE
        self._request = gpiod.request_lines(
            settings.chip,
            consumer="cinegate",
            config={
                settings.line: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE),
                settings.read_back_line: gpiod.LineSettings(direction=Direction.INPUT),
            },
        )

    def drive(self, level: bool) -> None:
        self._request.set_value(self._settings.line, self._active if level else self._inactive)

    def read(self) -> bool:
        return bool(self._request.get_value(self._settings.read_back_line) == self._active)

    def release(self) -> None:
        self._request.release()


class GpioSwitch:
    """A `BeamSwitch` on two GPIO lines.

    Parameters
    ----------
    settings
        See `GpioSettings`.
    request
        Returns the lines; a test passes a stand-in for libgpiod.
    """

    Settings = GpioSettings
    kind: Literal["simulated", "hardware"] = "hardware"

    def __init__(self, settings: GpioSettings, *, request: Callable[[GpioSettings], GpioLines] = _GpiodLines) -> None:
        self._settings, self._request_lines = settings, request
        self._lines: GpioLines | None = None
        self._state, self._level = GateState.HOLD, False

    @property
    def settle_ms(self) -> float:
        """Time after which the read-back must agree with the line, ms."""
        return self._settings.settle_ms

    def open(self) -> None:
        """Take the lines and hold. Raises `Unavailable`."""
        if self._lines is not None:
            return
        if self._settings.line == self._settings.read_back_line:
            raise Unavailable(f"gpio read_back_line is {self._settings.line}; another line than the output is needed")
        try:
            self._lines = self._request_lines(self._settings)
            self._lines.drive(False)
        except (OSError, ValueError) as error:
            self.close()
            raise Unavailable(f"gpio lines of {self._settings.chip} are not available: {error}") from None
        self._state, self._level = GateState.HOLD, False

    def set_beam(self, state: GateState) -> None:
        """Drive the line. Raises `BeamFault`."""
        lines = self._require_open()
        self._state = GateState.ON if state is GateState.ON else GateState.HOLD
        self._drive(lines, self._state is GateState.ON)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Return the state of the input, and toggle a pulsed line. Raises `BeamFault`."""
        lines = self._require_open()
        if self._settings.mode == "pulse" and self._state is GateState.ON:
            self._drive(lines, not self._level)
        try:
            return GateState.ON if lines.read() else GateState.HOLD
        except OSError as error:
            raise BeamFault(f"gpio line {self._settings.read_back_line} cannot be read: {error}") from None

    def close(self) -> None:
        """Hold, then release the lines."""
        if self._lines is None:
            return
        with contextlib.suppress(OSError):
            self._lines.drive(False)
        with contextlib.suppress(OSError):
            self._lines.release()
        self._lines = None

    def _drive(self, lines: GpioLines, level: bool) -> None:
        try:
            lines.drive(level)
        except OSError as error:
            raise BeamFault(f"gpio line {self._settings.line} does not take a level: {error}") from None
        self._level = level

    def _require_open(self) -> GpioLines:
        if self._lines is None:
            raise BeamFault(f"gpio line {self._settings.line} of {self._settings.chip} is not open")
        return self._lines
