"""A Linux GPIO line as the gate line, by libgpiod 2, read back on a second one.

The kernel does not promise a level after a process has died: many controllers keep the last one. So the line either
drives a box with its own watchdog (`pulse`, the default: it toggles at every renewal, and a retriggerable monostable or
charge pump makes the level), or it is a plain level at the site's own risk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from drivers.extras import how_to_install
from gating.messages import GateState


class GpioSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of which chip."""

    chip: Annotated[str, Meta(min_length=1, max_length=256, description="Chip, for example /dev/gpiochip0.")]
    line: Annotated[int, Meta(ge=0, le=1023, description="Output that permits beam.")]
    read_back_line: Annotated[int, Meta(ge=0, le=1023, description="Input that confirms it: high is beam on.")]
    mode: Annotated[
        Literal["pulse", "level"], Meta(description="Toggle at every renewal for a box with a watchdog, or a level.")
    ] = "pulse"
    settle_ms: Annotated[float, Meta(gt=0, le=500, description="The read-back must agree after this time.")] = 30.0


class GpioLines(Protocol):
    """The two lines: one driven, one read."""

    def drive(self, level: bool) -> None:
        """Drive the output. Raises OSError."""
        ...

    def read(self) -> bool:
        """Read the input. Raises OSError."""
        ...

    def release(self) -> None:
        """Give both back."""
        ...


class _Gpiod:
    def __init__(self, settings: GpioSettings) -> None:
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ModuleNotFoundError:
            raise Unavailable(
                f"gpio needs gpiod, which is not installed; install it with: {how_to_install('gpio')}"
            ) from None
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
    settings : see `GpioSettings`.
    request : for tests: what stands in for libgpiod.
    """

    Settings = GpioSettings
    kind: Literal["simulated", "hardware"] = "hardware"

    def __init__(self, settings: GpioSettings, *, request: Callable[[GpioSettings], GpioLines] = _Gpiod) -> None:
        self._settings, self._request_lines = settings, request
        self._lines: GpioLines | None = None
        self._state, self._level = GateState.HOLD, False

    @property
    def settle_ms(self) -> float:
        """Time after which the read-back must agree with the line."""
        return self._settings.settle_ms

    def open(self) -> None:
        """Take the lines, held. Raises `Unavailable`."""
        if self._lines is not None:
            return
        if self._settings.line == self._settings.read_back_line:
            raise Unavailable(f"gpio read_back_line is {self._settings.line}; another line than the output is needed")
        try:
            self._lines = self._request_lines(self._settings)
            self._lines.drive(False)
        except (OSError, ValueError) as error:
            self.close()
            raise Unavailable(f"gpio lines of {self._settings.chip} cannot be had: {error}") from None
        self._state, self._level = GateState.HOLD, False

    def set_beam(self, state: GateState) -> None:
        """Drive the line. Raises `BeamFault`, with the line then held."""
        lines = self._opened()
        self._state = GateState.ON if state is GateState.ON else GateState.HOLD
        self._drive(lines, self._state is GateState.ON)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Return what the input says; a pulsed line is toggled. Raises `BeamFault`."""
        lines = self._opened()
        if self._settings.mode == "pulse" and self._state is GateState.ON:
            self._drive(lines, not self._level)
        try:
            return GateState.ON if lines.read() else GateState.HOLD
        except OSError as error:
            raise BeamFault(f"gpio line {self._settings.read_back_line} cannot be read: {error}") from None

    def close(self) -> None:
        """Hold, then give the lines back."""
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

    def _opened(self) -> GpioLines:
        if self._lines is None:
            raise BeamFault(f"gpio line {self._settings.line} of {self._settings.chip} is not open")
        return self._lines
